// What stands between nodes: a bridge that is their switch and router, and a client on another subnet behind it. As the sandbox builds it
// (src/app/sandbox/underlay.ts); of other clusters, the nearest to it that has the Nodes' addresses.
import {
  type Addr,
  addrBits,
  addrEquals,
  type Family,
  formatAddr,
  maskPrefix,
  nthAddr,
  type Prefix,
  parsePrefix,
  prefixContains,
} from "#ip";
import type * as model from "#model";
import type { UnderlayPlan } from "./types.ts";

export const ROUTER = "underlay";
export const OUTSIDE = "outside";
/** The nodes' link to the router. */
export const UPLINK = "eth0";

const BRIDGE = "underlay";
const MTU = 1500;
const FAMILIES: readonly Family[] = [4, 6];

interface Blocks {
  readonly underlay: Prefix;
  readonly outside: Prefix;
}

/** RFC 1918, RFC 4193; RFC 5737, RFC 3849. */
const BLOCKS: Readonly<Record<Family, Blocks>> = {
  4: { underlay: parsePrefix("172.18.0.0/16"), outside: parsePrefix("203.0.113.0/24") },
  6: { underlay: parsePrefix("fd00:18::/64"), outside: parsePrefix("2001:db8:113::/64") },
};

/** For the addresses of all Nodes. */
export function planUnderlay(nodeAddrs: readonly Addr[]): UnderlayPlan {
  const families = FAMILIES.filter((family) => nodeAddrs.some((addr) => addr.family === family));
  const at = (block: Prefix, n: number): Prefix => ({ addr: nthAddr(block, n), bits: block.bits });
  return {
    router: families.map((family) => routerAmong(nodeAddrs.filter((addr) => addr.family === family))),
    outsideRouter: families.map((family) => at(BLOCKS[family].outside, 1)),
    outside: families.map((family) => at(BLOCKS[family].outside, 2)),
  };
}

/** The first address of their subnet that no node has. */
function routerAmong(addrs: readonly Addr[]): Prefix {
  const block = blockAround(addrs);
  const taken = new Set(addrs.map(formatAddr));
  let n = 1;
  while (taken.has(formatAddr(nthAddr(block, n)))) n++;
  return { addr: nthAddr(block, n), bits: block.bits };
}

/** The sandbox's block, or the smallest that has all of these and twice as much room. */
function blockAround(addrs: readonly Addr[]): Prefix {
  const [first] = addrs;
  const own = BLOCKS[first?.family ?? 4].underlay;
  if (first === undefined || addrs.every((addr) => prefixContains(own, addr))) return own;
  let bits = addrBits(first.family) - 2;
  const blockOf = (): Prefix => maskPrefix({ addr: first, bits });
  while (bits > 1 && !(addrs.every((addr) => prefixContains(blockOf(), addr)) && addrs.length + 2 < 2 ** (addrBits(first.family) - bits))) {
    bits--;
  }
  return blockOf();
}

const ANY: Readonly<Record<Family, Prefix>> = { 4: parsePrefix("0.0.0.0/0"), 6: parsePrefix("::/0") };
const LO: model.Link = { name: "lo", type: { kind: "loopback" }, up: true };

function veth(name: string, namespace: string, link: string, mtu: number): model.Link {
  return { name, type: { kind: "veth", peer: { namespace, link } }, mtu, up: true };
}

export function underlayMtu({ mtu = MTU }: UnderlayPlan): number {
  return mtu;
}

/** A node's own part of it: its uplink, its addresses there, and the way out. */
export function uplinkOf(
  plan: UnderlayPlan,
  node: { readonly name: string; readonly addrs: readonly Addr[] },
): Pick<model.Namespace, "links" | "addrs" | "routes"> {
  const subnetOf = (addr: Addr): Prefix | undefined => plan.router.find((prefix) => prefix.addr.family === addr.family);
  return {
    links: [LO, veth(UPLINK, ROUTER, node.name, underlayMtu(plan))],
    addrs: node.addrs.map((addr) => ({ link: UPLINK, prefix: { addr, bits: subnetOf(addr)?.bits ?? addrBits(addr.family) } })),
    routes: plan.router
      .filter(({ addr }) => node.addrs.some(({ family }) => family === addr.family))
      .map(({ addr }) => defaultRoute(addr, UPLINK)),
  };
}

function defaultRoute(via: Addr, link: string): model.Route {
  return { dst: ANY[via.family], nextHops: [{ via, link }] };
}

/** The routing table that only the router's own processes use, so that the API server reaches pods and `outside` does not. */
const POD_TABLE = 100;

export interface RouterNode {
  readonly name: string;
  readonly addrs: readonly Addr[];
  readonly podCidrs: readonly Prefix[];
}

export function routerNamespace(plan: UnderlayPlan, nodes: readonly RouterNode[], listeners: readonly model.Listener[]): model.Namespace {
  const mtu = underlayMtu(plan);
  const families = plan.router.map(({ addr }) => addr.family);
  const podRoutes = nodes.flatMap(({ addrs, podCidrs }) =>
    podCidrs.flatMap((dst): model.Route[] => {
      const via = addrs.find(({ family }) => family === dst.addr.family);
      return via === undefined ? [] : [{ dst, nextHops: [{ via, link: BRIDGE }], table: POD_TABLE }];
    }),
  );
  return {
    name: ROUTER,
    links: [
      LO,
      { name: BRIDGE, type: { kind: "bridge" }, mtu, up: true },
      ...nodes.map(({ name }): model.Link => ({ ...veth(name, name, UPLINK, mtu), master: BRIDGE })),
      veth(OUTSIDE, OUTSIDE, UPLINK, mtu),
    ],
    addrs: [...plan.router.map((prefix) => ({ link: BRIDGE, prefix })), ...plan.outsideRouter.map((prefix) => ({ link: OUTSIDE, prefix }))],
    // There is no way out of the sandbox.
    routes: [...families.map((family): model.Route => ({ dst: ANY[family], type: "prohibit", nextHops: [] })), ...podRoutes],
    rules: families.flatMap(routerRules),
    sysctls: { "net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1 },
    listeners,
  };
}

/** The kernel's own, and one for what is made here. */
function routerRules(family: Family): model.RoutingRule[] {
  return [
    { family, priority: 0, table: 255 },
    { family, priority: 1000, table: POD_TABLE, iif: "lo" },
    { family, priority: 32_766, table: 254 },
    ...(family === 4 ? [{ family, priority: 32_767, table: 253 }] : []),
  ];
}

export function outsideNamespace(plan: UnderlayPlan, listeners: readonly model.Listener[]): model.Namespace {
  return {
    name: OUTSIDE,
    links: [LO, veth(UPLINK, ROUTER, OUTSIDE, underlayMtu(plan))],
    addrs: plan.outside.map((prefix) => ({ link: UPLINK, prefix })),
    routes: plan.outside.flatMap(({ addr }) => {
      const gateway = plan.outsideRouter.find((prefix) => prefix.addr.family === addr.family);
      return gateway === undefined ? [] : [defaultRoute(gateway.addr, UPLINK)];
    }),
    listeners,
  };
}

export function isRouter(plan: UnderlayPlan, addr: Addr): boolean {
  return plan.router.some((prefix) => addrEquals(prefix.addr, addr));
}
