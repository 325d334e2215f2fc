// For tests, in namespaces of its own (see two-nodes.e2e.ts): the real API server, controllers and agents on a real underlay, without
// the sandbox program. Everything ends with this process, the first of its pid namespace.
import { mkdirSync, symlinkSync } from "node:fs";
import { build } from "esbuild";
import { silentLogger } from "#base";
import { createHttpClient, type HttpClient, readKubeconfig } from "#client";
import { netns } from "#linux";
import { BUNDLING, PROGRAMS } from "../../../../scripts/programs.ts";
import { type AdminCredentials, writePki } from "../../cli/pki.ts";
import { clusterPaths, componentKubeconfig, componentSpecs } from "../../sandbox/components.ts";
import { type ClusterOptions, type ClusterPlan, planCluster } from "../../sandbox/plan.ts";
import { startReaper } from "../../sandbox/reap.ts";
import { Component } from "../../sandbox/supervise.ts";
import { buildUnderlay, type Underlay } from "../../sandbox/underlay.ts";

const ROOT: string = new URL("../../../..", import.meta.url).pathname;

export interface TestCluster {
  readonly home: string;
  readonly plan: ClusterPlan;
  readonly admin: AdminCredentials;
  readonly underlay: Underlay;
  readonly client: HttpClient;
  readonly components: ReadonlyMap<string, Component>;
  /** Milliseconds from the start of all components until each was ready. */
  readonly readyMs: Readonly<Record<string, number>>;
}

/** `home` is an empty directory; whoever made it removes it, when this process has ended and its mounts are gone. */
export async function startTestCluster(
  home: string,
  options: Partial<ClusterOptions> = {},
  { withAgents = true }: { withAgents?: boolean } = {},
): Promise<TestCluster> {
  const plan = planCluster({ name: "test", nodes: 2, ipFamily: "dual", overlay: "vxlan", ...options });
  const programsDir = `${home}/dist`;
  // Where koffi is found from the bundles.
  symlinkSync(`${ROOT}node_modules`, `${home}/node_modules`);
  await bundle(programsDir);
  const admin = await writePki(plan, home);
  const paths = clusterPaths(home);
  for (const dir of [`${paths.run}/netns`, paths.logs, ...plan.nodes.map((node) => `${home}/nodes/${node.name}`)]) {
    mkdirSync(dir, { recursive: true });
  }
  const underlay = buildUnderlay(plan, netns.current(), `${paths.run}/netns`);
  const start = performance.now();
  const readyMs: Record<string, number> = {};
  const components = new Map<string, Component>();
  const specs = componentSpecs(plan, home).filter(({ name }) => withAgents || name !== "agent");
  await Promise.all(
    specs.map((spec) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const component = new Component({
        spec,
        netns: spec.node === undefined ? undefined : underlay.nodes.get(spec.node),
        programsDir,
        logFile: `${paths.logs}/${spec.id}.log`,
        logger: silentLogger,
        onReady() {
          readyMs[spec.id] ??= Math.round(performance.now() - start);
          resolve();
        },
      });
      components.set(spec.id, component);
      component.start();
      return promise;
    }),
  );
  startReaper({ childPids: () => [...components.values()].map(({ pid }) => pid), exitsDir: `${paths.run}/exits` });
  const client = createHttpClient({ ...readKubeconfig(componentKubeconfig(home, "controllers")), socketPath: paths.apiSocket });
  return { home, plan, admin, underlay, client, components, readyMs };
}

/** As scripts/build.ts does, but beside nobody else's build. */
async function bundle(outdir: string): Promise<void> {
  await build({ absWorkingDir: ROOT, entryPoints: PROGRAMS, outdir, ...BUNDLING, logLevel: "warning" });
}
