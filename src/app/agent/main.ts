// What runs on a node: kubelet, runtime, pod network, overlay and Service proxy, wired by hand. It runs in the node's network namespace.
//
// READY is told when the API has the node Ready: its kubelet serves, pods can be connected, other nodes and Services are reached.
// On SIGTERM it only ends; pods, links, routes and rules stay, and the next agent goes on with them.
import { readFileSync, writeSync } from "node:fs";
import { errorMessage, FairleadError, formatMetrics, InputError, systemClock } from "#base";
import { createEventRecorder, createHttpClient, createInformer, dropManagedFields, type HttpClient, readKubeconfig } from "#client";
import { formatAddr } from "#ip";
import { ENDPOINT_SLICES, NODES, SERVICES } from "#kube";
import { type KubeletOptions, startKubelet } from "#kubelet";
import { netns, openConntrack } from "#linux";
import { type ProxyOptions, startProxy } from "#proxy";
import { createEmbeddedRuntime, type ImageService, type PodNetwork, type RuntimeService } from "#runtime";
import { createLogger } from "../log.ts";
import { settleMemory } from "../settle.ts";
import { type AgentFlags, parseFlags, USAGE } from "./flags.ts";
import { startNodeNetwork } from "./node-network.ts";
import { observePages } from "./observe-pages.ts";

/** How long an API server that starts beside us may take to listen. */
const API_SERVER_START_MS = 60_000;

/** By then the pods that waited for the node have started. */
const SETTLE_MS = 10_000;

const logger = createLogger("agent");

async function main(flags: AgentFlags): Promise<void> {
  const abort = new AbortController();
  const { signal } = abort;
  const client = connect(flags);
  const informed = { logger, signal };
  const informers = {
    services: createInformer(client, SERVICES, { ...informed, transform: dropManagedFields }),
    slices: createInformer(client, ENDPOINT_SLICES, { ...informed, transform: dropManagedFields }),
  };
  const nodes = createInformer(client, NODES, { ...informed, transform: dropManagedFields });
  const events = createEventRecorder(client, { component: "fairlead-agent", host: flags.nodeName, logger });
  const ns = netns.current();

  const network = startNodeNetwork({
    flags,
    ns,
    client,
    nodes,
    events,
    logger,
    onPodCidrsChanged() {
      logger.error("this node has got other Pod CIDRs; starting again with them");
      end(1);
    },
  });
  const proxy = startProxy({
    client,
    informers: { ...informers, nodes },
    logger,
    netns: ns,
    openConntrack,
    signal,
    events,
    furtherMetrics: () => formatMetrics(network.metrics()),
    ...proxySettings(flags),
  });
  const runtime = startRuntime(flags, network.pods);
  const networkReady = Promise.all([network.open(runtime), network.ready, proxy.synced]).then(() => undefined);
  const { services } = informers;
  const debugPages: KubeletOptions["debugPages"] = {
    ...network.debugPages,
    services: ({ path: [namespace, name] }) => proxy.inspect(`${namespace}/${name}`),
    ...observePages(flags.nodeName, ns, runtime),
  };
  const kubelet = startKubelet({ ...kubeletSettings(flags), client, runtime, signal, services, networkReady, debugPages });

  function end(code: number): void {
    abort.abort();
    network.stop();
    runtime.close();
    // What has been said is worth a moment, but not a delay of the end.
    void Promise.race([events.flush(), systemClock.sleep(100)]).finally(() => process.exit(code));
  }
  process.once("SIGTERM", () => end(0));
  process.once("SIGINT", () => end(0));
  await kubelet.ready;
  tellReady(flags);
  settleMemory(SETTLE_MS);
}

function connect(flags: AgentFlags): HttpClient {
  return createHttpClient({ ...readKubeconfig(flags.kubeconfig), userAgent: "fairlead-agent", retryRefusedMs: API_SERVER_START_MS });
}

function proxySettings(flags: AgentFlags): Partial<ProxyOptions> & Pick<ProxyOptions, "node" | "podCidrs" | "serviceCidrs"> {
  return {
    node: { name: flags.nodeName, addresses: flags.nodeAddrs },
    podCidrs: flags.clusterCidrs,
    serviceCidrs: flags.serviceCidrs,
    mode: flags.proxyMode,
    ...(flags.nodePortAddresses && { nodePortAddresses: flags.nodePortAddresses }),
    localhostNodePorts: flags.localhostNodePorts,
    healthz: flags.healthz,
    metricsAt: flags.metrics,
  };
}

function startRuntime(flags: AgentFlags, network: PodNetwork): RuntimeService & ImageService {
  return createEmbeddedRuntime({
    stateDir: `${flags.nodeRoot}/runtime`,
    programs: { nodePath: process.execPath, distDir: flags.imageDir },
    network,
    ...(flags.exitsDir === undefined ? {} : { exitsDir: flags.exitsDir }),
    logger: logger.child({ room: "runtime" }),
  });
}

function kubeletSettings(flags: AgentFlags): Omit<KubeletOptions, "client" | "runtime" | "signal"> {
  return {
    nodeName: flags.nodeName,
    nodeAddresses: flags.nodeAddrs.map(formatAddr),
    clusterDns: flags.clusterDns.map(formatAddr),
    clusterDomain: flags.clusterDomain,
    nodeRoot: flags.nodeRoot,
    kubeletToken: readToken(flags.kubeletTokenFile),
    logger: logger.child({ room: "kubelet" }),
  };
}

function tellReady(flags: AgentFlags): void {
  logger.info("ready", { node: flags.nodeName, overlay: flags.overlay.name });
  const readyFd = process.env["FAIRLEAD_READY_FD"];
  if (readyFd !== undefined) writeSync(Number(readyFd), "READY\n");
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (err) {
    throw new InputError("--kubelet-token-file", errorMessage(err));
  }
}

if (process.argv.includes("--help")) {
  console.log(USAGE);
  process.exit(0);
}
try {
  await main(parseFlags(process.argv.slice(2), import.meta.dirname));
} catch (err) {
  logger.error("cannot start", { err: errorMessage(err), ...(err instanceof FairleadError ? { code: err.code } : {}) });
  process.exit(err instanceof InputError ? 2 : 1);
}
