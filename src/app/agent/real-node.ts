// The Service proxy alone, on a node of a cluster that somebody else made: what kube-proxy does there.
import type { Node } from "kubernetes-types/core/v1";
import { backoffMs, errorCode, errorMessage, FairleadError, InputError, type Logger, systemClock } from "#base";
import {
  ApiError,
  type ClientConfig,
  createEventRecorder,
  createHttpClient,
  createInformer,
  dropManagedFields,
  type HttpClient,
  type Informer,
  isNotFound,
} from "#client";
import { type AddrPort, formatAddr, formatPrefix, type Prefix } from "#ip";
import { ENDPOINT_SLICES, NODES, SERVICES } from "#kube";
import { netns } from "#linux";
import { type ClusterCidrs, type ProxyMode, primaryAddresses, type ServiceProxy, startProxy } from "#proxy";
import { type AddressBlocks, givenBlocks, podBlocks, serviceBlocks } from "./address-blocks.ts";
import { nodeOfInterest } from "./node-of-interest.ts";
import { requireNetAdmin } from "./privileges.ts";
import { sliceWithLists } from "./slice-with-lists.ts";

export interface RealNodeOptions {
  readonly config: ClientConfig;
  readonly nodeName: string;
  readonly mode: ProxyMode;
  /** Where pods are; absent: what Nodes say, all of them or (`NodeCIDR`) this one. */
  readonly clusterCidrs: readonly Prefix[] | undefined;
  readonly detectLocal: "ClusterCIDR" | "NodeCIDR";
  /** Absent: what ServiceCIDR objects say. */
  readonly serviceCidrs: readonly Prefix[] | undefined;
  /** Where NodePorts answer; absent: at the Node's addresses. */
  readonly nodePortAddresses?: readonly Prefix[];
  readonly localhostNodePorts: boolean;
  readonly healthz: readonly AddrPort[];
  readonly metrics: readonly AddrPort[];
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Nodes come and go in groups. */
const SETTLE_MS = 500;

/** A cluster that is being made gives its Nodes their Pod CIDRs within seconds. */
const PATIENCE_MS = 30_000;

/** Resolves when the kernel holds all Services. What is wrong with flags, credentials or rights is thrown; a server that is away is waited for. */
export async function startRealNode(options: RealNodeOptions): Promise<ServiceProxy> {
  const { config, logger, mode, nodeName, signal } = options;
  requireNetAdmin();
  const client = createHttpClient({ ...config, userAgent: "fairlead-agent" });
  await checkAccess(client, options);
  const informed = { logger, signal };
  const nodes = watchNodes(client, options);
  const node = await ownNode(nodes, options);
  const pods = options.clusterCidrs === undefined ? podBlocks(nodes, logger) : givenBlocks(options.clusterCidrs);
  const services = options.serviceCidrs === undefined ? await serviceBlocks(client, logger, signal) : givenBlocks(options.serviceCidrs);
  await podBlocksKnown(pods, signal);
  const cidrs = (): ClusterCidrs => ({ podCidrs: pods.get(), serviceCidrs: services.get() });
  const addresses = primaryAddresses(node);
  logger.info("starting", { mode, node: nodeName, addresses: addresses.map(formatAddr), blocks: formatBlocks(cidrs()) });
  const proxy = startProxy({
    client,
    informers: {
      services: createInformer(client, SERVICES, { ...informed, transform: dropManagedFields }),
      slices: createInformer(client, ENDPOINT_SLICES, { ...informed, transform: sliceWithLists }),
      nodes,
    },
    netns: netns.current(),
    node: { name: nodeName, addresses },
    followNodeAddresses: true,
    ...cidrs(),
    // Who has to say where pods are has a network plugin that does not go by the Nodes (Calico's IPAM): then all of them count as this node's.
    followPodCidrs: options.clusterCidrs === undefined,
    mode,
    ...(options.nodePortAddresses && { nodePortAddresses: options.nodePortAddresses }),
    localhostNodePorts: options.localhostNodePorts,
    healthz: options.healthz,
    metricsAt: options.metrics,
    events: createEventRecorder(client, { component: "fairlead-agent", host: nodeName, logger }),
    logger,
    signal,
  });
  followBlocks(proxy, [pods, services], cidrs, options);
  await proxy.synced;
  return proxy;
}

const RETRY = { initialMs: 200, maxMs: 10_000 };

/** Of node:tls: what no waiting makes better. */
const TLS_ERRORS = /^(ERR_TLS_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|CERT_)/;

/** Waits for the API server; what it will not let us do is an error at once, not a line in a log for ever. */
async function checkAccess(client: HttpClient, { config, nodeName, logger, signal }: RealNodeOptions): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await client.get(NODES, { name: nodeName }, { signal });
      return;
    } catch (err) {
      if (isNotFound(err)) return;
      if (err instanceof ApiError && (err.code === "Unauthorized" || err.code === "Forbidden")) {
        const hint = "it needs the rights of kube-proxy's ClusterRole system:node-proxier";
        throw new FairleadError(`${config.server} does not let this agent in: ${err.message} (${hint})`, { code: err.code, cause: err });
      }
      if (signal.aborted || TLS_ERRORS.test(errorCode(err) ?? "")) throw err;
      const delayMs = backoffMs(RETRY, attempt);
      if (attempt % 10 === 0) logger.warn("the API server does not answer, trying again", { error: errorMessage(err) });
      await systemClock.sleep(delayMs, signal);
    }
  }
}

/** All of them only where their Pod CIDRs are asked for; of each only what is of interest here. */
function watchNodes(client: HttpClient, { clusterCidrs, detectLocal, nodeName, logger, signal }: RealNodeOptions): Informer<Node> {
  const all = clusterCidrs === undefined && detectLocal === "ClusterCIDR";
  return createInformer(client, NODES, {
    logger,
    signal,
    transform: nodeOfInterest,
    ...(!all && { fieldSelector: `metadata.name=${nodeName}` }),
  });
}

/** Resolves when the Node is there and has an address. */
async function ownNode(nodes: Informer<Node>, { nodeName, logger, signal }: RealNodeOptions): Promise<Node> {
  await until(nodes.synced, signal);
  const { promise, resolve } = Promise.withResolvers<Node>();
  const look = (): void => {
    const node = nodes.get(nodeName);
    if (node !== undefined && primaryAddresses(node).length > 0) resolve(node);
  };
  const found = nodes.get(nodeName);
  if (found === undefined) logger.warn("there is no Node of this name yet; waiting (is --node-name right?)", { node: nodeName });
  else if (primaryAddresses(found).length === 0) logger.warn("the Node has no InternalIP or ExternalIP yet; waiting", { node: nodeName });
  nodes.subscribe(look);
  return await until(promise, signal);
}

async function podBlocksKnown(pods: AddressBlocks, signal: AbortSignal): Promise<void> {
  if (pods.get().length > 0) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  pods.follow(() => {
    if (pods.get().length > 0) resolve();
  });
  const late = systemClock.sleep(PATIENCE_MS, signal).then(() => {
    throw new InputError("--cluster-cidr", "is missing, and no Node has spec.podCIDRs; pass the blocks that pods have addresses from");
  });
  await until(Promise.race([promise, late]), signal);
}

/** Rejects when the program is to end: what it waits for may never come. */
async function until<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new FairleadError("the agent is to end", { code: "Aborted" }));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, ended]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function followBlocks(
  proxy: ServiceProxy,
  sources: readonly AddressBlocks[],
  cidrs: () => ClusterCidrs,
  { logger, signal }: RealNodeOptions,
): void {
  let known = formatBlocks(cidrs());
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    timer = undefined;
    const next = cidrs();
    const text = formatBlocks(next);
    // Losing all Nodes says nothing about where pods are.
    if (text === known || next.podCidrs.length === 0) return;
    known = text;
    logger.info("the addresses of pods or Services have changed", { blocks: text });
    void proxy.setCidrs(next);
  };
  for (const { follow } of sources) {
    follow(() => {
      timer ??= setTimeout(look, SETTLE_MS);
    });
  }
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
}

function formatBlocks({ podCidrs, serviceCidrs }: ClusterCidrs): string {
  return `pods ${podCidrs.map(formatPrefix).join(",")}, Services ${serviceCidrs.map(formatPrefix).join(",")}`;
}
