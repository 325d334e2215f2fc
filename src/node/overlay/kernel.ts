// Reads what the overlay has in the kernel, and does one step there. What it owns: the device VXLAN_LINK with everything on it, and
// the routes of protocol ROUTE_PROTOCOL.
import { FairleadError } from "#base";
import { type Addr, addrEquals, formatAddr, maskPrefix } from "#ip";
import type { NetNs, NewLink, RouteSocket } from "#linux";
import type { Observed } from "./diff.ts";
import { ROUTE_PROTOCOL, VXLAN_LINK } from "./names.ts";
import type { OverlayStep, Underlay } from "./types.ts";

/** The namespace of a node and a socket in it. */
export interface NodeKernel {
  readonly ns: NetNs;
  readonly route: RouteSocket;
}

export function observe({ route }: NodeKernel): Observed {
  const link = route.links.get(VXLAN_LINK);
  const routes = route.routes.list({ protocol: ROUTE_PROTOCOL });
  if (link === undefined) return { links: [], addrs: [], fdb: [], neighs: [], routes };
  return {
    links: [link],
    addrs: route.addrs.list(VXLAN_LINK),
    // The kernel's own all-zero entry is where unknown MACs would go; we never make one, and it has no destination.
    fdb: route.fdb.list(VXLAN_LINK).filter((entry) => entry.dst !== undefined),
    // Multicast addresses have entries of the kernel's own, in state noarp.
    neighs: route.neighs.list(VXLAN_LINK).filter((neigh) => neigh.state !== "noarp"),
    routes,
  };
}

/** The link that has the node's address. Thrown when there is none: "NoUnderlay". */
export function findUnderlay({ route }: NodeKernel, addrs: readonly Addr[]): Underlay {
  const all = route.addrs.list();
  const name = all.find((one) => addrs.some((addr) => addrEquals(addr, one.prefix.addr)))?.link;
  const link = name === undefined ? undefined : route.links.get(name);
  if (link === undefined) {
    const wanted = addrs.map(formatAddr).join(", ");
    throw new FairleadError(`Cannot build the overlay: no link of this node has the address ${wanted}; check the node's addresses`, {
      code: "NoUnderlay",
      op: "find underlay",
      facts: { addrs: wanted },
    });
  }
  const onLink = all.filter((one) => one.link === link.name && !isLinkLocal(one.prefix.addr)).map((one) => maskPrefix(one.prefix));
  return { link: link.name, mtu: link.mtu, onLink };
}

function isLinkLocal(addr: Addr): boolean {
  return addr.family === 6 && addr.bytes[0] === 0xfe && ((addr.bytes[1] ?? 0) & 0xc0) === 0x80;
}

export function applyStep(kernel: NodeKernel, step: OverlayStep): void {
  const { links, addrs, routes, neighs, fdb } = kernel.route;
  if (step.op === "add link") addLink(kernel, step.link);
  else if (step.op === "change link") links.change(step.link.name, pick(step.link));
  else if (step.op === "del link") links.del(step.name);
  else if (step.op === "set addr") addrs.set(step.addr);
  else if (step.op === "del addr") addrs.del(step.addr);
  else if (step.op === "set route") routes.set(step.route);
  else if (step.op === "del route") routes.del(step.route);
  else if (step.op === "set neigh") neighs.set(step.neigh);
  else if (step.op === "del neigh") neighs.del(step.neigh);
  else if (step.op === "set fdb") fdb.set(step.fdb);
  else if (step.op === "del fdb") fdb.del(step.fdb);
}

function pick(link: NewLink): { mtu?: number; mac?: Uint8Array; up?: boolean } {
  const { mtu, mac, up } = link;
  return { ...(mtu === undefined ? {} : { mtu }), ...(mac === undefined ? {} : { mac }), ...(up === undefined ? {} : { up }) };
}

function addLink({ ns, route }: NodeKernel, link: NewLink): void {
  route.links.add({ ...link, up: false });
  // No link-local address: nothing is to be learnt or advertised on this device, all of its neighbours are written by us.
  route.links.change(link.name, { addrGenModeNone: true });
  // Loose: a host's packet to a ClusterIP keeps its node address when the backend is elsewhere, and its reply is routed otherwise.
  ns.setSysctl(`net/ipv4/conf/${link.name}/rp_filter`, 2);
  if (link.up === true) route.links.change(link.name, { up: true });
}
