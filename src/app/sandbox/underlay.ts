// The machine room of a sandboxed cluster: a bridge that is the nodes' switch and router, a namespace for each node, and `outside`,
// a client on another subnet behind the router.
import { FairleadError } from "#base";
import { type Addr, type Prefix, parseAddr, parsePrefix } from "#ip";
import { type NetNs, netns, openRoute, type RouteSocket } from "#linux";
import type { ClusterPlan } from "./plan.ts";

const BRIDGE = "underlay";
const OUTSIDE = "outside";

export interface Underlay {
  readonly nodes: ReadonlyMap<string, NetNs>;
  readonly outside: NetNs;
  readonly router: RouteSocket;
}

/** Builds it in the namespace of the calling thread, which must be the sandbox's own and empty. `netnsDir` is on a tmpfs of the sandbox. */
export function buildUnderlay(plan: ClusterPlan, root: NetNs, netnsDir: string): Underlay {
  const router = openRoute(root);
  enableForwarding(root, plan);
  router.links.change("lo", { up: true });
  router.links.add({ name: BRIDGE, type: { kind: "bridge" }, up: true });
  setAddrs(router, BRIDGE, plan.router.prefixes);
  forbidTheRest(router, plan);

  const nodes = new Map<string, NetNs>();
  for (const node of plan.nodes) {
    const ns = netns.create(`${netnsDir}/${node.name}`);
    router.links.add({ name: node.name, type: { kind: "veth", peer: { name: "eth0", netns: ns } }, master: BRIDGE, up: true });
    connect(ns, node.prefixes, plan.router.addresses);
    nodes.set(node.name, ns);
  }

  const outside = netns.create(`${netnsDir}/${OUTSIDE}`);
  router.links.add({ name: OUTSIDE, type: { kind: "veth", peer: { name: "eth0", netns: outside } }, up: true });
  setAddrs(router, OUTSIDE, plan.outside.router);
  connect(outside, plan.outside.client, plan.outside.gateways);
  return { nodes, outside, router };
}

/**
 * There is no way out of the sandbox. That a router forbids it (ICMP type 3 code 13) is told to UDP sockets too, and at once; that it
 * has no route is not (`icmp_err_convert` in Linux net/ipv4/icmp.c), and whoever asks a name server would wait for its time to be up.
 */
function forbidTheRest(router: RouteSocket, plan: ClusterPlan): void {
  for (const family of plan.families) router.routes.set({ dst: defaultPrefix(family), type: "prohibit", nextHops: [] });
}

function enableForwarding(ns: NetNs, plan: ClusterPlan): void {
  disableReversePathFilter(ns);
  if (plan.families.includes(4)) ns.setSysctl("net.ipv4.ip_forward", 1);
  if (!plan.families.includes(6)) return;
  ns.setSysctl("net.ipv6.conf.all.disable_ipv6", 0);
  ns.setSysctl("net.ipv6.conf.all.forwarding", 1);
  ns.setSysctl("net.ipv6.conf.default.accept_dad", 0);
}

/** Replies from pods reach the router without a route back in its main table; distributions differ in what they set here. */
function disableReversePathFilter(ns: NetNs): void {
  for (const conf of ["all", "default"]) ns.setSysctl(`net.ipv4.conf.${conf}.rp_filter`, 0);
}

/** Loopback up, addresses on eth0, default routes through the gateways. */
function connect(ns: NetNs, prefixes: readonly string[], gateways: readonly string[]): void {
  const route = openRoute(ns);
  try {
    route.links.change("lo", { up: true });
    // While a link-local address waits for duplicate address detection, the kernel asks for no neighbour of a packet that it forwards
    // (`ndisc_send_ns`): for the first seconds IPv6 from pods would not leave the node.
    if (prefixes.some((text) => text.includes(":"))) ns.setSysctl("net/ipv6/conf/eth0/accept_dad", 0);
    route.links.change("eth0", { up: true });
    setAddrs(route, "eth0", prefixes);
    for (const text of gateways) {
      const via = parseAddr(text);
      route.routes.set({ dst: defaultPrefix(via.family), nextHops: [{ via, link: "eth0" }] });
    }
  } finally {
    route.close();
  }
}

function setAddrs(route: RouteSocket, link: string, prefixes: readonly string[]): void {
  for (const text of prefixes) route.addrs.set({ link, prefix: parsePrefix(text), noDad: true });
}

function defaultPrefix(family: 4 | 6): Prefix {
  return parsePrefix(family === 4 ? "0.0.0.0/0" : "::/0");
}

/** The routing table that only the router's own processes use, so that the API server reaches pods and `outside` does not. */
const POD_TABLE = 100;
const POD_RULE_PRIORITY = 1000;

/** Prepares `setPodRoutes`. */
export function addPodRules(router: RouteSocket, plan: ClusterPlan): void {
  for (const family of plan.families) router.rules.add({ family, priority: POD_RULE_PRIORITY, table: POD_TABLE, iif: "lo" });
}

/** Lets the router's own processes (the API server's proxy) reach the pods of a node. */
export function setPodRoutes(router: RouteSocket, podCidrs: readonly string[], nodeAddrs: readonly Addr[]): void {
  for (const cidr of podCidrs) {
    const dst = parsePrefix(cidr);
    const via = nodeAddrs.find((addr) => addr.family === dst.addr.family);
    if (via === undefined) throw new FairleadError(`no node address of the family of ${cidr}`, { code: "NoAddress" });
    router.routes.set({ dst, nextHops: [{ via, link: BRIDGE }], table: POD_TABLE });
  }
}
