// Which modes have left a sign of themselves on this machine. Cheap, and asking loads nothing into the kernel: the first use of iptables
// makes empty tables, and naming IPVS loads its module.
import { readFileSync } from "node:fs";
import { type NetNs, openNft, openRoute } from "#linux";
import type { TableId } from "#nft";
import type { ProxyMode } from "./dataplane.ts";
import { TABLES } from "./iptables/rules.ts";
import * as ipvs from "./ipvs/names.ts";
import * as nftables from "./nftables/layout.ts";

/** What there is of a mode may be nothing of ours in mode iptables: then somebody uses tables of the names that we write to. */
export function tracesOf(netns: NetNs): ReadonlySet<ProxyMode> {
  const tables = tablesOf(netns);
  const has = ({ family, name }: TableId): boolean => tables.some((table) => table.family === family && table.name === name);
  const found = new Set<ProxyMode>();
  if (has(nftables.TABLE)) found.add("nftables");
  if (has(ipvs.TABLE) || hasLink(netns)) found.add("ipvs");
  if (TABLES.some((name) => has({ family: "ip", name }) || has({ family: "ip6", name })) || hasLegacyTables(netns)) found.add("iptables");
  return found;
}

function tablesOf(netns: NetNs): readonly TableId[] {
  const nft = openNft(netns);
  try {
    return nft.tables();
  } finally {
    nft.close();
  }
}

function hasLink(netns: NetNs): boolean {
  const route = openRoute(netns);
  try {
    return route.links.get(ipvs.LINK) !== undefined;
  } finally {
    route.close();
  }
}

/** The tables that legacy iptables has in this namespace (ip_tables.c, `xt_table_seq_show`). Without the module there is no such file. */
function hasLegacyTables(netns: NetNs): boolean {
  const names = (file: string): string[] => {
    try {
      return readFileSync(`/proc/thread-self/net/${file}`, "utf8").split("\n");
    } catch {
      return [];
    }
  };
  const all = netns.run(() => [...names("ip_tables_names"), ...names("ip6_tables_names")]);
  return TABLES.some((name) => all.includes(name));
}
