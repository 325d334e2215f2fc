// The first process of a sandboxed cluster, pid 1 of its pid namespace: builds the underlay, starts the components, starts them again
// when they die, and reaps what they leave. When it ends, the kernel ends everything inside.
// usage: sandbox --home DIR --options JSON [--progress-fd N]
import { existsSync, type FSWatcher, mkdirSync, watch } from "node:fs";
import { parseArgs } from "node:util";
import { errorMessage, type Logger } from "#base";
import { type NetNs, netns } from "#linux";
import { createLogger } from "../log.ts";
import { startBootstrap } from "./bootstrap.ts";
import { clusterPaths, componentSpecs } from "./components.ts";
import { serveControl } from "./control.ts";
import { createDialer, createUdpDialer } from "./dial.ts";
import { startNodePortWatch } from "./node-ports.ts";
import { lazyObserver } from "./observer.ts";
import { type ClusterOptions, type ClusterPlan, planCluster } from "./plan.ts";
import { openProgress, type ProgressPipe } from "./progress.ts";
import { startReaper } from "./reap.ts";
import { Component } from "./supervise.ts";
import { addPodRules, buildUnderlay, type Underlay } from "./underlay.ts";

const { values } = parseArgs({
  options: { home: { type: "string" }, options: { type: "string" }, "progress-fd": { type: "string" } },
});
const home = values.home ?? "";
const plan = planCluster(JSON.parse(values.options ?? "") as ClusterOptions);
const logger = createLogger("sandbox");
const progress = openProgress(values["progress-fd"] === undefined ? undefined : Number(values["progress-fd"]));

// The lifeline: the supervisor on the host holds the other end of our standard input.
process.stdin.on("end", () => process.exit(0)).on("error", () => process.exit(0));
process.stdin.resume();

try {
  await start(plan, progress, logger);
} catch (err) {
  logger.error("cannot start", { err: errorMessage(err) });
  progress.send({ type: "error", message: errorMessage(err) });
  process.exit(1);
}

async function start(cluster: ClusterPlan, steps: ProgressPipe, log: Logger): Promise<void> {
  const paths = clusterPaths(home);
  for (const dir of [`${paths.run}/netns`, paths.logs, ...cluster.nodes.map((node) => `${home}/nodes/${node.name}`)]) {
    mkdirSync(dir, { recursive: true });
  }
  const root = netns.current();
  const underlay = buildUnderlay(cluster, root, `${paths.run}/netns`);
  addPodRules(underlay.router, cluster);
  steps.send({ type: "step", step: "namespaces and underlay", atMs: Date.now() });

  await fileExists(paths.pki, "complete");
  const ready = (step: string) => (): void => steps.send({ type: "step", step, atMs: Date.now() });
  const components = startComponents(cluster, underlay, log, ready);
  startReaper({ childPids: () => components.map((c) => c.pid), exitsDir: `${paths.run}/exits` });
  const nodePorts = startNodePortWatch();
  const dialOutside = createDialer(underlay.outside);
  const openOutside = createUdpDialer(underlay.outside);
  const target = cluster.nodes[0]?.addresses[0] ?? "";
  serveControl(paths.controlSocket, {
    status: () => ({ components: components.map((component) => component.status()) }),
    dialNodePort: (port) => dialOutside(target, port),
    openNodePort: (port) => openOutside(target, port),
    watchNodePorts: (listener) => nodePorts.subscribe(listener),
    observer: lazyObserver(root, underlay),
  });
  startBootstrap({ plan: cluster, home, underlay, nodePorts, progress: steps, logger: log });
}

function startComponents(cluster: ClusterPlan, underlay: Underlay, log: Logger, ready: (step: string) => () => void): Component[] {
  const paths = clusterPaths(home);
  return componentSpecs(cluster, home).map((spec) => {
    const ns: NetNs | undefined = spec.node === undefined ? undefined : underlay.nodes.get(spec.node);
    const component = new Component({
      spec,
      netns: ns,
      programsDir: import.meta.dirname,
      logFile: `${paths.logs}/${spec.id}.log`,
      logger: log,
      onReady: ready(spec.id),
    });
    component.start();
    return component;
  });
}

/** Waits, without polling, until `dir/name` is there. */
async function fileExists(dir: string, name: string): Promise<void> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const { promise, resolve } = Promise.withResolvers<void>();
  const watcher: FSWatcher = watch(dir, (_, file) => {
    if (file === name) resolve();
  });
  if (existsSync(`${dir}/${name}`)) resolve();
  await promise;
  watcher.close();
}
