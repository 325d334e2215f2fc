// From what is there and what should be there to the requests that lead from one to the other, in an order in which no packet is
// sent to a neighbour that is not known yet. Pure.
import { addrEquals, formatAddr, formatMac, formatPrefix } from "#ip";
import type { Link, NewLink } from "#linux";
import { formatFdb, formatLinkAddr, formatNeigh, formatRoute } from "./format.ts";
import type { OverlayState, OverlayStep } from "./types.ts";

/** What the kernel has of ours. */
export interface Observed extends Omit<OverlayState, "links"> {
  readonly links: readonly Link[];
}

export function diffOverlay(actual: Observed, desired: OverlayState): OverlayStep[] {
  const links = diffLinks(actual.links, desired.links);
  // What is on a device that goes away goes with it.
  const gone = new Set(links.flatMap((step) => (step.op === "del link" ? [step.name] : [])));
  const stays = (object: { readonly link: string }): boolean => !gone.has(object.link);
  const addrs = diffObjects(actual.addrs.filter(stays), desired.addrs, formatLinkAddr, formatLinkAddr);
  const fdb = diffObjects(actual.fdb.filter(stays), desired.fdb, (entry) => `${entry.link} ${formatMac(entry.mac)}`, formatFdb);
  const neighs = diffObjects(
    actual.neighs.filter(stays),
    desired.neighs,
    (neigh) => `${neigh.link} ${formatAddr(neigh.addr)}`,
    formatNeigh,
  );
  const routes = diffObjects(
    actual.routes.filter((route) => !route.nextHops.some((hop) => hop.link !== undefined && gone.has(hop.link))),
    desired.routes,
    (route) => formatPrefix(route.dst),
    formatRoute,
  );
  return [
    ...routes.del.map((route) => ({ op: "del route", route }) as const),
    ...links,
    ...addrs.del.map((addr) => ({ op: "del addr", addr }) as const),
    ...addrs.set.map((addr) => ({ op: "set addr", addr }) as const),
    ...fdb.set.map((entry) => ({ op: "set fdb", fdb: entry }) as const),
    ...neighs.set.map((neigh) => ({ op: "set neigh", neigh }) as const),
    ...routes.set.map((route) => ({ op: "set route", route }) as const),
    ...neighs.del.map((neigh) => ({ op: "del neigh", neigh }) as const),
    ...fdb.del.map((entry) => ({ op: "del fdb", fdb: entry }) as const),
  ];
}

function diffLinks(actual: readonly Link[], desired: readonly NewLink[]): OverlayStep[] {
  const steps: OverlayStep[] = [];
  for (const link of actual) {
    if (!desired.some((want) => want.name === link.name && isCompatible(link, want))) steps.push({ op: "del link", name: link.name });
  }
  for (const want of desired) {
    const link = actual.find((one) => one.name === want.name);
    if (link === undefined || !isCompatible(link, want)) steps.push({ op: "add link", link: want });
    else if (!isSame(link, want)) steps.push({ op: "change link", link: want });
  }
  return steps;
}

/** The kernel cannot change these of a vxlan device that exists (`vxlan_changelink`), or not without surprises. */
function isCompatible(link: Link, want: NewLink): boolean {
  if (link.kind !== want.type.kind) return false;
  if (want.type.kind !== "vxlan") return true;
  const { vxlan } = link;
  if (vxlan === undefined || vxlan.vni !== want.type.vni || vxlan.port !== want.type.port || vxlan.learning !== want.type.learning)
    return false;
  if (vxlan.local === undefined || want.type.local === undefined) return vxlan.local === want.type.local;
  return addrEquals(vxlan.local, want.type.local);
}

function isSame(link: Link, want: NewLink): boolean {
  const mac = want.mac === undefined || (link.mac !== undefined && formatMac(link.mac) === formatMac(want.mac));
  return mac && (want.mtu === undefined || link.mtu === want.mtu) && (want.up === undefined || link.up === want.up);
}

/** `key` tells which object it is, `text` how it is: one with another text is set again, one with an unknown key is deleted. */
function diffObjects<T>(
  actual: readonly T[],
  desired: readonly T[],
  key: (object: T) => string,
  text: (object: T) => string,
): { set: T[]; del: T[] } {
  const present = new Map(actual.map((object) => [key(object), text(object)]));
  const wanted = new Set(desired.map(key));
  return {
    set: desired.filter((object) => present.get(key(object)) !== text(object)),
    del: actual.filter((object) => !wanted.has(key(object))),
  };
}
