// The dataplanes to choose from.
import { InputError, type Logger, silentLogger } from "#base";
import { type NetNs, netns as namespaces, openConntrack, openIpvs, openNft, openRoute } from "#linux";
import type { Dataplane, ProxyMode } from "./dataplane.ts";
import { IptablesDataplane } from "./iptables/dataplane.ts";
import { openIptables } from "./iptables/tool.ts";
import { IpvsDataplane } from "./ipvs/dataplane.ts";
import { createMetrics, type ProxyMetrics } from "./metrics.ts";
import { NftablesDataplane } from "./nftables/dataplane.ts";
import { tracesOf } from "./traces.ts";
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
  ipvs: ({ netns = namespaces.current(), ...options }) =>
    new IpvsDataplane({
      ...options,
      netns,
      ipvs: openIpvs(netns),
      nft: openNft(netns),
      route: openRoute(netns),
      openConntrack: () => openConntrack(netns),
    }),
};

/** Throws InputError where there is no such mode. */
export function openDataplane(mode: ProxyMode, options: DataplaneOptions): Dataplane {
  const open = DATAPLANES[mode];
  if (open === undefined) throw new InputError("--proxy-mode", `"${mode}" is not one of ${Object.keys(DATAPLANES).join(", ")}`);
  return open(options);
}

/** Throws where this machine cannot do it: the kernel, or a program that the mode needs. Changes nothing. */
export function checkMode(mode: ProxyMode): void {
  openToAsk(mode, undefined).close();
}

export interface ModeRemoval {
  readonly mode: ProxyMode;
  readonly removed: readonly string[];
  /** Why this machine cannot have anything of this mode. */
  readonly unavailable?: unknown;
  /** Why something may be left. */
  readonly error?: unknown;
}

/** Takes out what any mode has put into the kernel, but for `kept`. Modes that have left no sign are not asked. */
export async function removeModes(netns: NetNs | undefined, kept?: ProxyMode): Promise<readonly ModeRemoval[]> {
  const out: ModeRemoval[] = [];
  for (const mode of tracesOf(netns ?? namespaces.current())) if (mode !== kept) out.push(await removeMode(mode, netns));
  return out;
}

async function removeMode(mode: ProxyMode, netns: NetNs | undefined): Promise<ModeRemoval> {
  let dataplane: Dataplane;
  try {
    dataplane = openToAsk(mode, netns);
  } catch (unavailable) {
    return { mode, removed: [], unavailable };
  }
  try {
    return { mode, removed: await dataplane.remove() };
  } catch (error) {
    return { mode, removed: [], error };
  } finally {
    dataplane.close();
  }
}

function openToAsk(mode: ProxyMode, netns: NetNs | undefined): Dataplane {
  return openDataplane(mode, { netns, cidrs: { podCidrs: [], serviceCidrs: [] }, metrics: createMetrics(), logger: silentLogger });
}
