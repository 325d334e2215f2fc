// The dataplanes to choose from.
import type { Logger } from "#base";
import { type NetNs, openNft } from "#linux";
import type { Dataplane, ProxyMode } from "./dataplane.ts";
import { IptablesDataplane } from "./iptables/dataplane.ts";
import { openIptables } from "./iptables/tool.ts";
import type { ProxyMetrics } from "./metrics.ts";
import { NftablesDataplane } from "./nftables/dataplane.ts";
import type { ClusterCidrs } from "./types.ts";

export interface DataplaneOptions {
  /** The node's network namespace; absent: the one this process is in. */
  readonly netns: NetNs | undefined;
  /** To be read at each `replace`: they change when nodes come. */
  readonly cidrs: ClusterCidrs;
  readonly metrics: ProxyMetrics;
  readonly logger: Logger;
}

/** Each mode's own; opens what it needs of the kernel. Throws KernelError where the kernel lacks it. */
export const DATAPLANES: Readonly<Partial<Record<ProxyMode, (options: DataplaneOptions) => Dataplane>>> = {
  nftables: ({ netns, ...options }) => new NftablesDataplane({ ...options, nft: openNft(netns) }),
  /** Throws FairleadError where the package "iptables" is missing. */
  iptables: (options) => new IptablesDataplane({ ...options, iptables: openIptables(options.netns) }),
};
