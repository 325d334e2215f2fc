// Brings a new cluster to where it can be used: creates the addons, follows the nodes, and reports each step until a Service name resolves.
import { readFileSync } from "node:fs";
import type { Node } from "kubernetes-types/core/v1";
import { errorMessage, type Logger, systemClock } from "#base";
import { type Client, createHttpClient, createInformer, type Informer, isAlreadyExists, loadKubeconfig } from "#client";
import { ENDPOINT_SLICES, internalAddrsOf, type KubeObject, NODES, SERVICES } from "#kube";
import { addons, DNS_NAMESPACE } from "./addons.ts";
import { clusterPaths, componentKubeconfig } from "./components.ts";
import { createDialer } from "./dial.ts";
import { resolveOverTcp } from "./dns-check.ts";
import type { NodePortWatch } from "./node-ports.ts";
import type { ClusterPlan } from "./plan.ts";
import type { ProgressPipe } from "./progress.ts";
import { setPodRoutes, type Underlay } from "./underlay.ts";

export interface BootstrapOptions {
  readonly plan: ClusterPlan;
  readonly home: string;
  readonly underlay: Underlay;
  readonly nodePorts: NodePortWatch;
  readonly progress: ProgressPipe;
  readonly logger: Logger;
}

const RETRY_MS = 50;

export function startBootstrap(options: BootstrapOptions): void {
  bootstrap(options).catch((err) => {
    options.logger.error("bootstrap failed", { err: errorMessage(err) });
    options.progress.send({ type: "error", message: errorMessage(err) });
  });
}

async function bootstrap(options: BootstrapOptions): Promise<void> {
  const { plan, home, progress, logger } = options;
  const kubeconfig = loadKubeconfig(readFileSync(componentKubeconfig(home, "sandbox"), "utf8"));
  const client = createHttpClient({ ...kubeconfig, socketPath: clusterPaths(home).apiSocket });
  const step = (name: string): void => progress.send({ type: "step", step: name, atMs: Date.now() });

  const nodes = createInformer(client, NODES, { logger });
  followPodRoutes(options, nodes);
  options.nodePorts.follow(createInformer(client, SERVICES, { logger }));
  await createAddons(client, plan, logger);
  await until(nodes, () => nodes.list().filter(isReady).length === plan.nodes.length);
  step("nodes Ready");

  const selector = { namespace: DNS_NAMESPACE, labelSelector: "kubernetes.io/service-name=kube-dns", logger };
  const slices = createInformer(client, ENDPOINT_SLICES, selector);
  await until(slices, () => slices.list().some((slice) => slice.endpoints.some((endpoint) => endpoint.conditions?.ready !== false)));
  slices.stop();
  step("DNS Ready");
  await resolves(options);
  step("a Service name resolves on every node");
  progress.send({ type: "ready" });
  progress.close();
}

/** Retries while the API server starts. */
async function createAddons(client: Client, plan: ClusterPlan, logger: Logger): Promise<void> {
  for (const { resource, object } of addons(plan)) {
    for (;;) {
      try {
        await client.create(resource, object);
        break;
      } catch (err) {
        if (isAlreadyExists(err)) break;
        logger.debug("cannot create addon yet", { kind: resource.kind, err: errorMessage(err) });
        await systemClock.sleep(RETRY_MS);
      }
    }
  }
}

function isReady(node: Node): boolean {
  return node.status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false;
}

/** Resolves when `condition` holds, looked at after each change. */
function until<T extends KubeObject>(informer: Informer<T>, condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    informer.subscribe(() => {
      if (condition()) resolve();
    });
  });
}

function followPodRoutes({ underlay, logger }: BootstrapOptions, nodes: Informer<Node>): void {
  nodes.subscribe((change) => {
    if (change.type === "delete") return;
    const { addrs, ignored } = internalAddrsOf(change.object);
    if (ignored.length > 0) logger.warn("ignoring what is not an IP address in status.addresses of a node", { node: change.key, ignored });
    if (addrs.length === 0) return;
    try {
      setPodRoutes(underlay.router, change.object.spec?.podCIDRs ?? [], addrs);
    } catch (err) {
      logger.error("cannot add routes to the pods of a node", { node: change.key, err: errorMessage(err) });
    }
  });
}

/** Asks the DNS Service for the API server's name from each node, until every node has had an answer. */
async function resolves({ plan, underlay }: BootstrapOptions): Promise<void> {
  const [dns = ""] = plan.dnsAddresses;
  const name = `kubernetes.default.svc.${plan.clusterDomain}`;
  await Promise.all(
    [...underlay.nodes.values()].map(async (ns) => {
      const dial = createDialer(ns);
      while (!(await resolveOverTcp(dial, dns, name).catch(() => false))) await systemClock.sleep(RETRY_MS);
    }),
  );
}
