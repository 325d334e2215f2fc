import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { errorMessage, type Logger } from "#base";
import { type Client, createInformer, dropManagedFields, type Informer } from "#client";
import type { Prefix } from "#ip";
import { ENDPOINT_SLICES, SERVICES } from "#kube";
import { type ConntrackSocket, type NetNs, type NftSocket, openConntrack, openNft } from "#linux";
import type { ProxyMetrics } from "./metrics.ts";
import { Reconciler } from "./reconcile.ts";
import type { ProxyNode } from "./types.ts";

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
  readonly informers?: { readonly services: Informer<Service>; readonly slices: Informer<EndpointSlice> };
  readonly openNft?: (netns?: NetNs) => NftSocket;
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
  const informers = options.informers ?? {
    services: createInformer(client, SERVICES, { ...own, transform: dropManagedFields }),
    slices: createInformer(client, ENDPOINT_SLICES, { ...own, transform: dropManagedFields }),
  };
  const nft = (options.openNft ?? openNft)(netns);
  const conntrack = netns && (options.openConntrack ?? openConntrack)(netns);
  const reconciler = new Reconciler({ ...informers, nft, conntrack, node, cidrs: { podCidrs, serviceCidrs }, logger });
  const stop = (): void => {
    reconciler.stop();
    if (options.informers === undefined) for (const informer of Object.values(informers)) informer.stop();
    nft.close();
    conntrack?.close();
  };
  signal?.addEventListener("abort", stop, { once: true });
  const synced = Promise.all([informers.services.synced, informers.slices.synced]).then(async () => {
    await reconciler.start();
    if (netns !== undefined) beLiberal(netns, logger);
  });
  return { synced, metrics: reconciler.metrics, idle: () => reconciler.idle(), resync: () => reconciler.resync(), stop };
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
