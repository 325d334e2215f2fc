// The state as iproute2 would print it: what people read, what golden tests compare, and what tells two objects apart in a diff.
import { formatAddr, formatMac, formatPrefix } from "#ip";
import type { Fdb, LinkAddr, Neigh, NewLink, NextHop, Route } from "#linux";
import type { OverlayState, OverlayStep } from "./types.ts";

export function formatOverlay(state: OverlayState): string {
  return [
    ...state.links.map(formatLink),
    ...state.addrs.map(formatLinkAddr),
    ...state.fdb.map(formatFdb),
    ...state.neighs.map(formatNeigh),
    ...state.routes.map(formatRoute),
  ].join("\n");
}

export function formatStep(step: OverlayStep): string {
  const verb = step.op.slice(0, step.op.indexOf(" "));
  if ("name" in step) return `del link ${step.name}`;
  if ("link" in step) return `${verb} ${formatLink(step.link)}`;
  if ("addr" in step) return `${verb} ${formatLinkAddr(step.addr)}`;
  if ("route" in step) return `${verb} ${formatRoute(step.route)}`;
  return `${verb} ${"neigh" in step ? formatNeigh(step.neigh) : formatFdb(step.fdb)}`;
}

function formatLink(link: NewLink): string {
  const { type } = link;
  const words = [`link ${link.name} type ${type.kind}`];
  if (type.kind === "vxlan") {
    words.push(`id ${type.vni} dstport ${type.port}`);
    if (type.local !== undefined) words.push(`local ${formatAddr(type.local)}`);
    words.push(type.learning ? "learning" : "nolearning");
  }
  if (link.mac !== undefined) words.push(`address ${formatMac(link.mac)}`);
  if (link.mtu !== undefined) words.push(`mtu ${link.mtu}`);
  return words.join(" ");
}

export function formatLinkAddr(addr: LinkAddr): string {
  return `addr ${formatPrefix(addr.prefix)} dev ${addr.link}`;
}

/** Without the metric, which the kernel chooses where we do not (1024 for IPv6). */
export function formatRoute(route: Route): string {
  const words = [`route ${formatPrefix(route.dst)}`, ...route.nextHops.map(formatNextHop)];
  if (route.protocol !== undefined) words.push(`proto ${route.protocol}`);
  return words.join(" ");
}

function formatNextHop(hop: NextHop): string {
  const words: string[] = [];
  if (hop.via !== undefined) words.push(`via ${formatAddr(hop.via)}`);
  if (hop.link !== undefined) words.push(`dev ${hop.link}`);
  if (hop.onlink === true) words.push("onlink");
  return words.join(" ");
}

export function formatNeigh(neigh: Neigh): string {
  const mac = neigh.mac === undefined ? "" : ` lladdr ${formatMac(neigh.mac)}`;
  return `neigh ${formatAddr(neigh.addr)}${mac} dev ${neigh.link} ${neigh.state ?? "permanent"}`;
}

export function formatFdb(entry: Fdb): string {
  const dst = entry.dst === undefined ? "" : ` dst ${formatAddr(entry.dst)}`;
  return `fdb ${formatMac(entry.mac)}${dst} dev ${entry.link}`;
}
