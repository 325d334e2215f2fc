// From nodes to what the kernel should have, one function per backend. Pure.
import {
  type Addr,
  addrBits,
  addrFromBytes,
  type Family,
  formatAddr,
  formatMac,
  formatPrefix,
  type Mac,
  macOfAddr,
  nthAddr,
  type Prefix,
  prefixContains,
} from "#ip";
import type { Fdb, LinkAddr, Neigh, NextHop, Route } from "#linux";
import { type Claim, Claims } from "./claims.ts";
import { ROUTE_PROTOCOL, VNI, VXLAN_LINK, VXLAN_PORT } from "./names.ts";
import type { Compiled, LocalNode, OverlayBackend, OverlayProblem, PeerNode } from "./types.ts";

const VTEP_MAC_TAG = 0x66;
/** RFC 7348 §5: outer Ethernet is the underlay's own; inner Ethernet 14, VXLAN 8, UDP 8, and the outer IP header. */
const VXLAN_OVERHEAD: Readonly<Record<Family, number>> = { 4: 50, 6: 70 };

export const vxlan: OverlayBackend = {
  name: "vxlan",
  overhead: (family) => VXLAN_OVERHEAD[family],
  vtepMac(local) {
    const addr = underlayAddr(local.addrs);
    return addr && macOfAddr(addr, VTEP_MAC_TAG);
  },
  compile: compileVxlan,
};

export const hostGw: OverlayBackend = {
  name: "host-gw",
  overhead: () => 0,
  vtepMac: () => undefined,
  compile: compileHostGw,
};

export const BACKENDS: Readonly<Record<OverlayBackend["name"], OverlayBackend>> = { vxlan, "host-gw": hostGw };

/** One device carries both families of pods; its packets are IPv4 where the node has IPv4. */
export function underlayAddr(addrs: readonly Addr[]): Addr | undefined {
  return addrs.find((addr) => addr.family === 4) ?? addrs[0];
}

/**
 * Per peer one FDB entry, and per family one route and one permanent neighbour, so no packet ever waits for ARP. The
 * device has the node's gateway address as its own: what the node itself sends to a pod elsewhere has a source that every other
 * node routes back the same way (a node address would come back over the underlay, and strict rp_filter would drop it).
 */
function compileVxlan(local: LocalNode, peers: readonly PeerNode[]): Compiled {
  const own = underlayAddr(local.addrs);
  const mac = vxlan.vtepMac(local);
  if (own === undefined || mac === undefined) return { state: EMPTY, problems: [] };
  const { valid, problems } = withoutOverlaps(local, peers);
  const addrs: LinkAddr[] = local.podCidrs.map((podCidr) => ({ link: VXLAN_LINK, prefix: host(gateway(podCidr)), noDad: true }));
  const routes: Route[] = [];
  const neighs: Neigh[] = [];
  const fdb: Fdb[] = [];
  const macs = new Map([[formatMac(mac), local.name]]);
  for (const peer of valid) {
    const { vtepMac } = peer;
    // A peer whose agent has not made its device yet publishes no MAC; there is nobody to send to.
    if (vtepMac === undefined || peer.addrs.length === 0) continue;
    const dst = peer.addrs.find((addr) => addr.family === own.family);
    const other = macs.get(formatMac(vtepMac));
    if (dst === undefined) problems.push(noUnderlay(peer, own.family));
    else if (other !== undefined) problems.push(duplicateMac(peer, other));
    else {
      macs.set(formatMac(vtepMac), peer.name);
      fdb.push({ link: VXLAN_LINK, mac: vtepMac, dst, permanent: true });
      const hops = peer.podCidrs.map((podCidr) => ({ podCidr, hop: vxlanHop(podCidr, vtepMac) }));
      for (const { hop, podCidr } of hops) routes.push({ dst: podCidr, nextHops: [hop], protocol: ROUTE_PROTOCOL });
      const vias = new Map(hops.map(({ hop }) => [formatAddr(hop.via), hop.via]));
      for (const addr of vias.values()) neighs.push({ link: VXLAN_LINK, addr, mac: vtepMac, state: "permanent" });
    }
  }
  const mtu = local.underlay.mtu - vxlan.overhead(own.family);
  const type = { kind: "vxlan", vni: VNI, port: VXLAN_PORT, local: own, learning: false } as const;
  return { state: { links: [{ name: VXLAN_LINK, type, mac, mtu, up: true }], addrs, routes, neighs, fdb }, problems };
}

/** Per Pod CIDR of a peer one route to its node address, which must be on-link: a router between would not know the Pod CIDR. */
function compileHostGw(local: LocalNode, peers: readonly PeerNode[]): Compiled {
  const { valid, problems } = withoutOverlaps(local, peers);
  const routes: Route[] = [];
  for (const peer of valid) {
    // A Node that has not been reported on yet.
    if (peer.addrs.length === 0) continue;
    for (const podCidr of peer.podCidrs) {
      const { family } = podCidr.addr;
      const via = peer.addrs.find((addr) => addr.family === family);
      if (via === undefined) problems.push(noUnderlay(peer, family));
      else if (!local.underlay.onLink.some((prefix) => prefixContains(prefix, via))) problems.push(notOnLink(local, peer, via));
      else routes.push({ dst: podCidr, nextHops: [{ via, link: local.underlay.link }], protocol: ROUTE_PROTOCOL });
    }
  }
  return { state: { ...EMPTY, routes }, problems };
}

const EMPTY = { links: [], addrs: [], routes: [], neighs: [], fdb: [] } as const;

/** Of two nodes that claim the same addresses the one that comes first in `peers` has them; the local node always keeps its own. */
function withoutOverlaps(local: LocalNode, peers: readonly PeerNode[]): { valid: PeerNode[]; problems: OverlayProblem[] } {
  const claims = new Claims([local, ...peers].flatMap((node) => node.podCidrs.map((podCidr) => podCidr.bits)));
  for (const podCidr of local.podCidrs) claims.add({ podCidr, node: local.name });
  const problems: OverlayProblem[] = [];
  const valid = peers.map((peer) => {
    const podCidrs = peer.podCidrs.filter((podCidr) => {
      const other = claims.overlapping(podCidr);
      if (other !== undefined) problems.push(overlapping(peer, podCidr, other));
      else claims.add({ podCidr, node: peer.name });
      return other === undefined;
    });
    return { ...peer, podCidrs };
  });
  return { valid, problems };
}

/**
 * The peer's gateway address for IPv4. For IPv6 its link-local address (RFC 4291 appendix A): the kernel refuses another next hop,
 * onlink or not, when a wider route of somebody else leads to it over another link (`ip6_route_check_nh_onlink`).
 */
function vxlanHop(podCidr: Prefix, mac: Mac): NextHop & { readonly via: Addr } {
  if (podCidr.addr.family === 4) return { via: gateway(podCidr), link: VXLAN_LINK, onlink: true };
  return { via: linkLocal(mac), link: VXLAN_LINK };
}

function linkLocal(mac: Mac): Addr {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac;
  return addrFromBytes(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f));
}

function gateway(podCidr: Prefix): Addr {
  return nthAddr(podCidr, 1);
}

function host(addr: Addr): Prefix {
  return { addr, bits: addrBits(addr.family) };
}

function overlapping(peer: PeerNode, podCidr: Prefix, other: Claim): OverlayProblem {
  const message = `Pod CIDR ${formatPrefix(podCidr)} of node ${peer.name} overlaps ${formatPrefix(other.podCidr)} of node ${other.node}, which keeps it`;
  return { node: peer.name, reason: "OverlappingPodCidr", message };
}

function noUnderlay(peer: PeerNode, family: Family): OverlayProblem {
  const message = `Node ${peer.name} has no IPv${family} address of type InternalIP, so its pods cannot be reached over IPv${family}`;
  return { node: peer.name, reason: "NoUnderlayAddress", message };
}

function duplicateMac(peer: PeerNode, other: string): OverlayProblem {
  const message = `Nodes ${peer.name} and ${other} publish the same vxlan MAC, so only ${other} is reached`;
  return { node: peer.name, reason: "DuplicateVtepMac", message };
}

function notOnLink(local: LocalNode, peer: PeerNode, addr: Addr): OverlayProblem {
  const { link, onLink } = local.underlay;
  const message =
    `Node ${peer.name} (${formatAddr(addr)}) is not on-link at ${link} (${onLink.map(formatPrefix).join(", ")}), ` +
    "so host-gw cannot reach its pods; put the nodes into one subnet or choose the overlay vxlan";
  return { node: peer.name, reason: "PeerNotOnLink", message };
}
