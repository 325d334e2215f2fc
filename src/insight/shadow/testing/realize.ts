// A network in the model's words as real namespaces: links, addresses, routes, rules, neighbours, forwarding entries, switches and tables. Who
// listens is left to the caller.
import { type NetNs, netns, openNft, openRoute, type RouteSocket } from "#linux";
import type * as model from "#model";
import { diffTable, type Table } from "#nft";

export interface RealNamespace {
  readonly name: string;
  readonly ns: NetNs;
  readonly route: RouteSocket;
}

export interface RealNetwork {
  readonly namespaces: ReadonlyMap<string, RealNamespace>;
  /** Puts these tables in the place of those of the same names, forgetting what packets have left in them, and removes all others. */
  setTables(name: string, tables: readonly Table[]): void;
  close(): void;
}

/** An address answers at once, an error is told each time, and nothing is dropped for its source's sake. */
const PREPARED: Readonly<Record<string, number>> = {
  "net/ipv6/conf/all/accept_dad": 0,
  "net/ipv6/conf/default/accept_dad": 0,
  "net/ipv6/conf/all/disable_ipv6": 0,
  "net/ipv6/conf/default/disable_ipv6": 0,
  "net/ipv4/icmp_ratelimit": 0,
  "net/ipv6/icmp/ratelimit": 0,
  "net/ipv4/conf/all/rp_filter": 0,
  "net/ipv4/conf/default/rp_filter": 0,
};

export function realize({ namespaces }: model.NetworkState): RealNetwork {
  const real = new Map<string, RealNamespace>();
  for (const { name } of namespaces) {
    const ns = netns.createAnonymous();
    real.set(name, { name, ns, route: openRoute(ns) });
    for (const [sysctl, value] of Object.entries(PREPARED)) trySysctl(ns, sysctl, value);
  }
  const network = new Real(real);
  try {
    for (const one of namespaces) makeLinks(one, real);
    for (const one of namespaces) configure(one, get(real, one.name));
    for (const { name, tables = [] } of namespaces) if (tables.length > 0) network.setTables(name, tables);
  } catch (err) {
    network.close();
    throw err;
  }
  return network;
}

class Real implements RealNetwork {
  readonly namespaces: ReadonlyMap<string, RealNamespace>;

  constructor(namespaces: ReadonlyMap<string, RealNamespace>) {
    this.namespaces = namespaces;
  }

  setTables(name: string, tables: readonly Table[]): void {
    const nft = openNft(get(this.namespaces, name).ns);
    try {
      const old = nft.tables().map((table) => ({ op: "delete table", table }) as const);
      nft.apply([...old, ...tables.flatMap((table) => diffTable(undefined, table).changes)]);
    } finally {
      nft.close();
    }
  }

  close(): void {
    for (const { ns, route } of this.namespaces.values()) {
      route.close();
      ns.close();
    }
  }
}

function get(real: ReadonlyMap<string, RealNamespace>, name: string): RealNamespace {
  const one = real.get(name);
  if (one === undefined) throw new RangeError(`there is no namespace ${name}`);
  return one;
}

/** Some are there only once a module is, or where a link has IPv6. */
function trySysctl(ns: NetNs, name: string, value: number): void {
  try {
    ns.setSysctl(name, value);
  } catch {
    // Kernels come without it.
  }
}

function makeLinks({ name, links }: model.Namespace, real: ReadonlyMap<string, RealNamespace>): void {
  const { route } = get(real, name);
  for (const { name: link, type, mac, mtu } of links) {
    const more = { ...(mac !== undefined && { mac }), ...(mtu !== undefined && { mtu }) };
    if (type.kind === "loopback" || route.links.get(link) !== undefined) continue;
    if (type.kind === "veth") {
      const { namespace, link: peer } = type.peer;
      route.links.add({ name: link, type: { kind: "veth", peer: { name: peer, netns: get(real, namespace).ns } }, ...more });
    } else if (type.kind === "bridge" || type.kind === "dummy" || type.kind === "vxlan") route.links.add({ name: link, type, ...more });
  }
}

function configure(one: model.Namespace, { ns, route }: RealNamespace): void {
  for (const { name, type, mac, mtu, master, port, up } of one.links) {
    const isOwn = type.kind !== "loopback";
    route.links.change(name, {
      ...(isOwn && mac !== undefined && { mac }),
      ...(isOwn && mtu !== undefined && { mtu }),
      ...(master !== undefined && { master }),
    });
    if (port !== undefined) route.links.change(name, { bridgePort: port });
    // Nothing is learnt there, and the kernel makes no address of its own.
    if (type.kind === "vxlan") route.links.change(name, { addrGenModeNone: true });
    if (up) route.links.change(name, { up });
  }
  for (const [name, value] of Object.entries(one.sysctls ?? {})) trySysctl(ns, name, value);
  for (const addr of one.addrs) route.addrs.set(addr);
  for (const neigh of one.neighs ?? []) route.neighs.set(neigh);
  for (const entry of one.fdb ?? []) route.fdb.set(entry);
  for (const { type, ...rest } of one.routes) route.routes.set({ ...rest, ...(type !== undefined && type !== "broadcast" && { type }) });
  const known = new Set([4, 6].flatMap((family) => route.rules.list(family === 4 ? 4 : 6).map((rule) => `${family} ${rule.priority}`)));
  for (const rule of one.rules ?? []) if (!known.has(`${rule.family} ${rule.priority}`)) route.rules.add(rule);
}
