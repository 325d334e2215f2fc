import type { Node, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { errorMessage, InputError, type Logger } from "#base";
import { type Client, createInformer, dropManagedFields, type Informer } from "#client";
import type { Prefix } from "#ip";
import { ENDPOINT_SLICES, SERVICES } from "#kube";
import { type ConntrackSocket, type NetNs, openConntrack } from "#linux";
import type { Dataplane, ProxyMode } from "./dataplane.ts";
import { createMetrics, type ProxyMetrics } from "./metrics.ts";
import { DATAPLANES, type DataplaneOptions } from "./modes.ts";
import { type ProxyObserver, Reconciler } from "./reconcile.ts";
import type { ProxyNode } from "./types.ts";

interface ProxyInformers {
  readonly services: Informer<Service>;
  readonly slices: Informer<EndpointSlice>;
  /** For the node's zone; without it `node.zone` stays as it is. */
  readonly nodes?: Informer<Node>;
}

export interface ProxyOptions {
  readonly client: Client;
  /** The node's network namespace; absent: the one this process is in. */
  readonly netns?: NetNs;
  readonly node: ProxyNode;
  /** Of the whole cluster: pods of these addresses are not translated among themselves. */
  readonly podCidrs: readonly Prefix[];
  readonly serviceCidrs: readonly Prefix[];
  readonly logger: Logger;
  readonly signal?: AbortSignal;
  /** Informers that the program has already; absent: ones of our own. */
  readonly informers?: ProxyInformers;
  /** Who else wants to know what is compiled and programmed. */
  readonly observers?: readonly ProxyObserver[];
  /** How the kernel is made to do it; default: nftables. */
  readonly mode?: ProxyMode;
  readonly openDataplane?: (options: DataplaneOptions) => Dataplane;
  /** Used where `netns` is given; without one, stale UDP flows are left to time out. */
  readonly openConntrack?: (netns: NetNs) => ConntrackSocket;
}

export interface ServiceProxy {
  /** Resolves when the kernel holds all Services for the first time. */
  readonly synced: Promise<void>;
  readonly metrics: ProxyMetrics;
  /** Resolves when everything that the informers have told is in the kernel. */
  idle(): Promise<void>;
  /** Reads the kernel's table and puts right what differs. */
  resync(): Promise<void>;
  /** Stops watching. The rules stay: connections go on, and the next proxy takes over. */
  stop(): void;
}

export function startProxy(options: ProxyOptions): ServiceProxy {
  const { client, netns, node, podCidrs, serviceCidrs, signal } = options;
  const logger = options.logger.child({ room: "proxy" });
  const own = { logger, ...(signal && { signal }) };
  const informers: ProxyInformers = options.informers ?? {
    services: createInformer(client, SERVICES, { ...own, transform: dropManagedFields }),
    slices: createInformer(client, ENDPOINT_SLICES, { ...own, transform: dropManagedFields }),
  };
  const conntrack = netns && (options.openConntrack ?? openConntrack)(netns);
  const metrics = createMetrics();
  const dataplane = (options.openDataplane ?? openDataplane(options.mode))({ netns, cidrs: { podCidrs, serviceCidrs }, metrics, logger });
  const reconciler = new Reconciler({ ...informers, dataplane, metrics, conntrack, node, observers: options.observers ?? [], logger });
  if (informers.nodes !== undefined) watchZone(informers.nodes, node, (next) => reconciler.setNode(next));
  const stop = (): void => {
    reconciler.stop();
    if (options.informers === undefined) for (const informer of [informers.services, informers.slices]) informer.stop();
    dataplane.close();
    conntrack?.close();
  };
  signal?.addEventListener("abort", stop, { once: true });
  const synced = Promise.all([informers.services.synced, informers.slices.synced]).then(async () => {
    await reconciler.start();
    if (netns !== undefined) beLiberal(netns, logger);
  });
  return { synced, metrics, idle: () => reconciler.idle(), resync: () => reconciler.resync(), stop };
}

function openDataplane(mode: ProxyMode = "nftables"): (options: DataplaneOptions) => Dataplane {
  const open = DATAPLANES[mode];
  if (open === undefined) throw new InputError("mode", `"${mode}" is not one of ${Object.keys(DATAPLANES).join(", ")}`);
  return open;
}

const ZONE = "topology.kubernetes.io/zone";

/** Calls `onChange` whenever the node's label says another zone. Losing the Node keeps the last one. */
function watchZone(nodes: Informer<Node>, node: ProxyNode, onChange: (node: ProxyNode) => void): void {
  const { zone: given, ...rest } = node;
  let known = given;
  nodes.subscribe((change) => {
    if (change.type !== "set" || change.key !== node.name) return;
    const zone = change.object.metadata.labels?.[ZONE];
    if (zone === known) return;
    known = zone;
    onChange({ ...rest, ...(zone !== undefined && { zone }) });
  });
}

/**
 * A packet out of window is INVALID to conntrack, passes without translation, and the client answers with a reset
 * (kubernetes/kubernetes#74839). Taking such packets as belonging to their flow avoids it; dropping them would break asymmetric paths.
 */
function beLiberal(netns: NetNs, logger: Logger): void {
  try {
    netns.setSysctl("net.netfilter.nf_conntrack_tcp_be_liberal", 1);
  } catch (err) {
    logger.warn("cannot make conntrack liberal about TCP windows: connections may be reset under load", { error: errorMessage(err) });
  }
}
