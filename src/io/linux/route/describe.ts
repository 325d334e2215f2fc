// How requests are named in errors: after "Cannot". Kernel and fake say the same.
import { formatAddr, formatMac, formatPrefix, maskPrefix } from "#ip";
import type { Fdb, LinkAddr, Neigh, NextHop, Route, Rule } from "../types.ts";

export function describeRoute(route: Route): string {
  const type = route.type === undefined || route.type === "unicast" ? "" : `${route.type} `;
  const hops = route.nextHops.map(describeHop).join(", ");
  const table = route.table === undefined || route.table === 254 ? "" : ` in table ${route.table}`;
  return `route ${type}${formatPrefix(maskPrefix(route.dst))}${hops === "" ? "" : ` ${hops}`}${table}`;
}

function describeHop(hop: NextHop): string {
  const via = hop.via === undefined ? [] : [`via ${formatAddr(hop.via)}`];
  const dev = hop.link === undefined ? [] : [`on "${hop.link}"`];
  return [...via, ...dev].join(" ");
}

export function describeAddr(addr: LinkAddr): string {
  return `address ${formatPrefix(addr.prefix)} on "${addr.link}"`;
}

export function describeNeigh(neigh: Neigh): string {
  return `${neigh.proxy === true ? "proxy " : ""}neighbour ${formatAddr(neigh.addr)} on "${neigh.link}"`;
}

export function describeFdb(entry: Fdb): string {
  return `forwarding entry ${formatMac(entry.mac)}${entry.dst === undefined ? "" : ` to ${formatAddr(entry.dst)}`} on "${entry.link}"`;
}

export function describeRule(rule: Rule): string {
  return `IPv${rule.family} rule ${rule.priority} to table ${rule.table}`;
}
