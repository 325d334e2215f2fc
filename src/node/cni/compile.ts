// From a node's Pod CIDRs and a pod's addresses to what the kernel should have. Pure. The reasons are in docs/adr/0005-pod-link.md.
import { type Addr, type Family, hostPrefix, type Mac, macOfAddr, type Prefix, parsePrefix } from "#ip";
import type { Owner } from "#ipam";
import type { Neigh, Route } from "#linux";
import type { BridgePlan, PodPlan, PodRange, Sysctl } from "./types.ts";

export const BRIDGE = "cni0";
/** RTPROT of the routes in a pod. */
const ROUTE_PROTOCOL = 201;
const MAC_TAG = 0;
const DEFAULT: Readonly<Record<Family, Prefix>> = { 4: parsePrefix("0.0.0.0/0"), 6: parsePrefix("::/0") };

/** The bridge has the gateways of the Pod CIDRs, and a MAC that follows from them: pods keep their neighbour entry when it is made again. */
export function compileBridge(ranges: readonly PodRange[], mtu: number): BridgePlan {
  return {
    link: { name: BRIDGE, type: { kind: "bridge" }, mac: bridgeMac(ranges), mtu, up: true },
    addrs: ranges.map(({ gateway, prefix }) => ({ link: BRIDGE, prefix: { addr: gateway, bits: prefix.bits }, noDad: true })),
    sysctls: [...nodeSysctls(ranges), ...bridgeSysctls(ranges)],
  };
}

function hasFamily(ranges: readonly PodRange[], family: Family): boolean {
  return ranges.some(({ gateway }) => gateway.family === family);
}

function nodeSysctls(ranges: readonly PodRange[]): Sysctl[] {
  const four = [
    { name: "net/ipv4/ip_forward", value: 1 },
    // A redirect is sent when "all" or the link says so.
    { name: "net/ipv4/conf/all/send_redirects", value: 0 },
  ];
  return [...(hasFamily(ranges, 4) ? four : []), ...(hasFamily(ranges, 6) ? [{ name: "net/ipv6/conf/all/forwarding", value: 1 }] : [])];
}

function bridgeSysctls(ranges: readonly PodRange[]): Sysctl[] {
  const four = [
    { name: `net/ipv4/conf/${BRIDGE}/forwarding`, value: 1 },
    { name: `net/ipv4/conf/${BRIDGE}/send_redirects`, value: 0 },
    { name: `net/ipv4/conf/${BRIDGE}/accept_redirects`, value: 0 },
    // Strict: what comes from a pod has an address of the Pod CIDR.
    { name: `net/ipv4/conf/${BRIDGE}/rp_filter`, value: 1 },
  ];
  const six = [
    { name: `net/ipv6/conf/${BRIDGE}/disable_ipv6`, value: 0 },
    { name: `net/ipv6/conf/${BRIDGE}/forwarding`, value: 1 },
    { name: `net/ipv6/conf/${BRIDGE}/accept_ra`, value: 0 },
    { name: `net/ipv6/conf/${BRIDGE}/accept_dad`, value: 0 },
  ];
  return [...(hasFamily(ranges, 4) ? four : []), ...(hasFamily(ranges, 6) ? six : [withoutIpv6(BRIDGE)])];
}

/** Such a link joins no multicast groups, sends no reports of them, and asks for no routers. */
function withoutIpv6(link: string): Sysctl {
  return { name: `net/ipv6/conf/${link}/disable_ipv6`, value: 1, optional: true };
}

function bridgeMac(ranges: readonly PodRange[]): Mac {
  return macOf(ranges.map(({ gateway }) => gateway));
}

/** After the IPv4 address where there is one, so that a person can read one from the other. */
function macOf(addrs: readonly Addr[]): Mac {
  const addr = addrs.find((one) => one.family === 4) ?? addrs[0];
  return addr === undefined ? new Uint8Array([2, 0, 0, 0, 0, 1]) : macOfAddr(addr, MAC_TAG);
}

/**
 * A pod has host addresses and routes everything through its gateway, whose MAC it knows: no pod ever asks by ARP or neighbour
 * discovery for anything, and the node knows the MAC and the bridge port of every pod in the same way.
 */
export function compilePod(ranges: readonly PodRange[], owner: Owner, addrs: readonly Addr[], mtu: number): PodPlan {
  const mac = macOf(addrs);
  const link = owner.ifName;
  const gateways = ranges.map(({ gateway }) => gateway).filter((gateway) => addrs.some((addr) => addr.family === gateway.family));
  const hostLink = hostLinkName(owner);
  return {
    owner,
    hostLink,
    mac,
    mtu,
    node: {
      neighs: addrs.map((addr) => permanent(BRIDGE, addr, mac)),
      // "Permanent" makes it an address of the bridge itself, as far as frames from ports go. The node's own frames do leave by the
      // port, and a pod's frame to another pod's MAC comes up to the node, which is what must happen where br_netfilter is on:
      // it turns a packet that was translated to a pod of the same node into such a frame (`br_nf_pre_routing_finish`).
      fdb: { link: hostLink, mac, permanent: true },
      sysctls: [withoutIpv6(hostLink)],
    },
    pod: {
      addrs: addrs.map((addr) => ({ link, prefix: hostPrefix(addr), noDad: true })),
      neighs: gateways.map((gateway) => permanent(link, gateway, bridgeMac(ranges))),
      routes: gateways.map((gateway) => defaultRoute(link, gateway)),
      sysctls: podSysctls(link, addrs),
    },
  };
}

function permanent(link: string, addr: Addr, mac: Mac): Neigh {
  return { link, addr, mac, state: "permanent" };
}

function defaultRoute(link: string, via: Addr): Route {
  return { dst: DEFAULT[via.family], nextHops: [{ via, link, onlink: true }], protocol: ROUTE_PROTOCOL };
}

function podSysctls(link: string, addrs: readonly Addr[]): Sysctl[] {
  if (!addrs.some((addr) => addr.family === 6)) return [withoutIpv6(link)];
  return [
    // Runtimes switch IPv6 off in new namespaces.
    { name: "net/ipv6/conf/all/disable_ipv6", value: 0 },
    { name: `net/ipv6/conf/${link}/disable_ipv6`, value: 0 },
    // The link-local address is usable at once too, and nobody asks for routers.
    { name: `net/ipv6/conf/${link}/accept_dad`, value: 0 },
    { name: `net/ipv6/conf/${link}/accept_ra`, value: 0 },
  ];
}

/** The same name for the same attachment, whoever asks: 14 of the 15 characters that a link name may have. */
export function hostLinkName(owner: Owner): string {
  return `veth${fnv1a64(`${owner.containerId}/${owner.ifName}`).slice(0, 10)}`;
}

/** Whether a link's name is one that `hostLinkName` makes. */
export function isHostLinkName(name: string): boolean {
  return /^veth[0-9a-f]{10}$/.test(name);
}

function fnv1a64(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}
