// Makes the bridge of a node what its plan says, whatever is there.
import { FairleadError } from "#base";
import { formatMac, formatPrefix } from "#ip";
import { isErrno, type Link, type NetNs, type RouteSocket } from "#linux";
import { BRIDGE } from "./compile.ts";
import type { BridgePlan, Sysctl } from "./types.ts";

export interface NodeKernel {
  readonly ns: NetNs;
  readonly route: RouteSocket;
}

/** RTPROT_RA of linux/rtnetlink.h: routes learnt from router advertisements. */
const PROTOCOL_RA = 9;

/** Thrown when something else has the bridge's name: "NotABridge". */
export function ensureBridge(node: NodeKernel, plan: BridgePlan): Link {
  const { addrs, links } = node.route;
  const { link } = plan;
  const found = links.get(BRIDGE);
  if (found !== undefined && found.kind !== "bridge") {
    throw new FairleadError(`Cannot make the bridge ${BRIDGE}: this node has a ${found.kind} link of that name; rename or remove it`, {
      code: "NotABridge",
      op: "make bridge",
      facts: { kind: found.kind },
    });
  }
  if (found === undefined) {
    switchOffBridgeNetfilter(node);
    links.add({ ...link, up: false });
  }
  // Without a link-local address the kernel sends no IPv6 redirects (`ndisc_send_redirect`), for which there is no sysctl; a pod
  // must not be told that another pod of its node is on its link.
  if (found === undefined || !found.up) links.change(BRIDGE, { addrGenModeNone: true });
  keepAdvertisedRoutes(node, plan.sysctls);
  setSysctls(node.ns, plan.sysctls);
  if (found === undefined || !isAs(found, link))
    links.change(BRIDGE, { mac: link.mac, ...(link.mtu === undefined ? {} : { mtu: link.mtu }), up: true });
  const wanted = new Set(plan.addrs.map((addr) => formatPrefix(addr.prefix)));
  const present = addrs.list(BRIDGE);
  for (const addr of present) if (!wanted.has(formatPrefix(addr.prefix))) addrs.del(addr);
  const has = new Set(present.map((addr) => formatPrefix(addr.prefix)));
  for (const addr of plan.addrs) if (!has.has(formatPrefix(addr.prefix))) addrs.set(addr);
  const made = links.get(BRIDGE);
  if (made === undefined)
    throw new FairleadError(`Cannot make the bridge ${BRIDGE}: it is removed again by somebody`, { code: "BridgeGone" });
  return made;
}

function isAs(link: Link, want: BridgePlan["link"]): boolean {
  return link.up && link.mtu === want.mtu && link.mac !== undefined && formatMac(link.mac) === formatMac(want.mac);
}

/** Writes only what differs: switching forwarding on, even again, makes the kernel go through all links. */
export function setSysctls(ns: NetNs, sysctls: readonly Sysctl[]): void {
  for (const { name, optional, value } of sysctls) {
    try {
      if (ns.sysctl(name) !== String(value)) ns.setSysctl(name, value);
    } catch (err) {
      if (optional !== true || !isErrno(err, "ENOENT")) throw err;
    }
  }
}

/**
 * Where br_netfilter is on, IP hooks see packets on the bridge as well, and each packet of a pod twice. Its switch is one for the
 * whole namespace; so it is turned off only where ours is the only bridge. With it on everything works too (see compilePod).
 */
function switchOffBridgeNetfilter({ ns, route }: NodeKernel): void {
  if (route.links.list().some((link) => link.kind === "bridge" && link.name !== BRIDGE)) return;
  const tables = ["iptables", "ip6tables", "arptables"];
  setSysctls(
    ns,
    tables.map((table) => ({ name: `net/bridge/bridge-nf-call-${table}`, value: 0, optional: true })),
  );
}

/**
 * A node that forwards IPv6 ignores router advertisements and drops the routes it learnt from them, unless accept_ra is 2
 * (Documentation/networking/ip-sysctl.rst): a real node would lose its default route.
 */
function keepAdvertisedRoutes({ ns, route }: NodeKernel, sysctls: readonly Sysctl[]): void {
  if (!sysctls.some(({ name }) => name === "net/ipv6/conf/all/forwarding")) return;
  const learnt = route.routes.list({ family: 6, protocol: PROTOCOL_RA }).flatMap(({ nextHops }) => nextHops.map((hop) => hop.link));
  for (const link of new Set(learnt)) if (link !== undefined) setSysctls(ns, [{ name: `net/ipv6/conf/${link}/accept_ra`, value: 2 }]);
}
