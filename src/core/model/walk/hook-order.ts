// What is called at a hook, in which order: chains by priority, with conntrack and address translation between them. Mirrors
// nf_hook_entries_grow (net/netfilter/core.c), where of two with one priority the one that came later is called first, and
// nf_nat_register_fn (net/netfilter/nf_nat_core.c): all nat chains of a hook are asked in one place, whatever their priorities.
import type { Family } from "#ip";
import type { Hook } from "#nft";
import type { PreparedBase, PreparedTable } from "../evaluate/table.ts";

export interface HookedChain {
  readonly table: PreparedTable;
  readonly chain: PreparedBase;
}

export type HookEntry =
  | ({ readonly kind: "chain"; readonly priority: number } & HookedChain)
  | { readonly kind: "conntrack"; readonly priority: number }
  | { readonly kind: "nat"; readonly priority: number; readonly chains: readonly HookedChain[] };

/** NF_IP_PRI_* of linux/netfilter_ipv4.h. */
const CONNTRACK = -200;
const NAT: Readonly<Partial<Record<Hook, number>>> = { prerouting: -100, output: -100, input: 100, postrouting: 100 };

export function hookEntries(tables: readonly PreparedTable[], family: Family, hook: Hook, tracks: boolean): readonly HookEntry[] {
  const wanted = family === 4 ? "ip" : "ip6";
  const chains = tables
    .filter((table) => table.family === "inet" || table.family === wanted)
    .flatMap((table) => table.bases.filter(({ base }) => base.hook === hook).map((chain) => ({ table, chain })))
    .reverse();
  const byPriority = (list: readonly HookedChain[]): HookedChain[] =>
    [...list].sort((a, b) => a.chain.base.priority - b.chain.base.priority);
  const entries: HookEntry[] = byPriority(chains.filter(({ chain }) => chain.base.type !== "nat")).map((each) => ({
    kind: "chain",
    priority: each.chain.base.priority,
    ...each,
  }));
  const natPriority = NAT[hook];
  const hasNat = tables.some(
    ({ bases, family: own }) => (own === "inet" || own === wanted) && bases.some(({ base }) => base.type === "nat"),
  );
  if (hasNat && natPriority !== undefined) {
    const nat = byPriority(chains.filter(({ chain }) => chain.base.type === "nat"));
    insert(entries, { kind: "nat", priority: natPriority, chains: nat });
  }
  if (tracks && (hook === "prerouting" || hook === "output")) insert(entries, { kind: "conntrack", priority: CONNTRACK });
  return entries;
}

function insert(entries: HookEntry[], entry: HookEntry): void {
  const at = entries.findIndex(({ priority }) => priority >= entry.priority);
  entries.splice(at < 0 ? entries.length : at, 0, entry);
}
