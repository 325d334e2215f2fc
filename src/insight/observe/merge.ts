// Reports of several nodes as one network. Veths are joined over their namespaces' inodes; where nobody tells of what lies between
// nodes (real machines), an ideal switch and router is put there.
import { type Addr, addrEquals, compareAddrs, hostPrefix, type Prefix, prefixContains } from "#ip";
import type * as model from "#model";
import type { NodeReport, ObservedNamespace, VethEnd } from "./types.ts";

/** The namespace between nodes: the sandbox's own, or the one that is put there. */
const UNDERLAY = "underlay";

/** What the kernels hold, as the model walks over it. Of namespaces that two reports tell, the later report counts. */
export function mergeReports(reports: readonly NodeReport[]): model.NetworkState {
  const places = placesOf(reports);
  const peers = peersOf(places);
  const joined = places.map(({ observed }) => withPeers(observed, peers.get(observed) ?? new Map()));
  return { namespaces: joinNodes(joined, places) };
}

interface PlacedNamespace {
  readonly machine: string;
  readonly observed: ObservedNamespace;
}

function placesOf(reports: readonly NodeReport[]): PlacedNamespace[] {
  const byName = new Map<string, PlacedNamespace>();
  for (const { machine, namespaces } of reports.toSorted((a, b) => a.timeMs - b.timeMs)) {
    for (const observed of namespaces) byName.set(observed.state.name, { machine, observed });
  }
  return [...byName.values()];
}

type Peer = { readonly namespace: string; readonly link: string };
type Peers = Map<ObservedNamespace, Map<string, Peer>>;

interface End {
  readonly place: PlacedNamespace;
  readonly end: VethEnd;
}

function peersOf(places: readonly PlacedNamespace[]): Peers {
  const peers: Peers = new Map();
  const ends = places.flatMap((place) => place.observed.ends.map((end): End => ({ place, end })));
  const at = new Map(ends.map((one) => [keyOf(one.place.machine, one.place.observed.inode, one.end.index), one]));
  const join = (a: End, b: End): void => {
    setPeer(peers, a, b);
    setPeer(peers, b, a);
  };
  for (const one of ends) {
    if (one.end.peerInode === undefined) continue;
    const other = at.get(keyOf(one.place.machine, one.end.peerInode, one.end.peerIndex));
    if (other !== undefined) join(one, other);
  }
  // By numbers alone, where only one other end has them.
  const isOpen = ({ place, end }: End): boolean => peers.get(place.observed)?.has(end.link) !== true;
  const open = Map.groupBy(ends.filter(isOpen), ({ place, end }) => keyOf(place.machine, end.index, end.peerIndex));
  for (const [one, ...more] of open.values()) {
    if (one === undefined || more.length > 0 || one.end.peerInode !== undefined) continue;
    const [other, ...others] = open.get(keyOf(one.place.machine, one.end.peerIndex, one.end.index)) ?? [];
    if (other !== undefined && others.length === 0 && other.place !== one.place) join(one, other);
  }
  return peers;
}

function keyOf(machine: string, a: number, b: number): string {
  return `${machine} ${a} ${b}`;
}

function setPeer(peers: Peers, { place, end }: End, other: End): void {
  const own = peers.get(place.observed) ?? new Map<string, Peer>();
  own.set(end.link, { namespace: other.place.observed.state.name, link: other.end.link });
  peers.set(place.observed, own);
}

function withPeers({ state }: ObservedNamespace, peers: ReadonlyMap<string, Peer>): model.Namespace {
  if (peers.size === 0) return state;
  const links = state.links.map((link): model.Link => {
    const peer = peers.get(link.name);
    return peer === undefined ? link : { ...link, type: { kind: "veth", peer } };
  });
  return { ...state, links };
}

/** A link of a node that leads to other nodes, and that nobody tells where it ends. */
interface Uplink {
  readonly node: model.Namespace;
  readonly link: model.Link;
  /** The link with the addresses: it, or its bridge. */
  readonly at: string;
  readonly gateways: readonly Addr[];
}

function joinNodes(namespaces: readonly model.Namespace[], places: readonly PlacedNamespace[]): readonly model.Namespace[] {
  if (places.some(({ observed }) => observed.role === "underlay")) return namespaces;
  const nodes = new Set(places.filter(({ observed }) => observed.role === "node").map(({ observed }) => observed.state.name));
  const uplinks = namespaces.filter(({ name }) => nodes.has(name)).flatMap(uplinksOf);
  if (uplinks.length === 0) return namespaces;
  const rewired = namespaces.map((namespace) =>
    rewire(
      namespace,
      uplinks.filter(({ node }) => node === namespace),
    ),
  );
  return [...rewired, idealUnderlay(uplinks)];
}

/**
 * Hardware, other links with a MAC that the model does not know, and veths with an end that nobody tells: as far as they have addresses,
 * or are hardware in a bridge that has. Tunnels have no MAC.
 */
function uplinksOf(node: model.Namespace): Uplink[] {
  const hasAddr = (name: string): boolean => node.addrs.some(({ link, prefix }) => link === name && !isLinkLocal(prefix.addr));
  return node.links.flatMap((link): Uplink[] => {
    const { type, up, mac, master, name } = link;
    if (type.kind !== "other" || !up || mac === undefined) return [];
    const at = master === undefined ? name : type.name === HARDWARE ? master : undefined;
    return at !== undefined && hasAddr(at) ? [{ node, link, at, gateways: gatewaysOf(node, at) }] : [];
  });
}

/** Its kind in IFLA_INFO_KIND: it has none. */
const HARDWARE = "";

function isLinkLocal({ family, bytes }: Addr): boolean {
  return family === 6 && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}

/** Next hops on the link that are not nodes' own addresses are told apart by `idealUnderlay`. */
function gatewaysOf(node: model.Namespace, link: string): Addr[] {
  const via = node.routes.flatMap(({ nextHops }) => nextHops).filter((hop) => hop.link === link);
  return via.flatMap((hop) => hop.via ?? []);
}

const portName = ({ node, link }: Uplink): string => `${node.name}/${link.name}`;

function rewire(namespace: model.Namespace, uplinks: readonly Uplink[]): model.Namespace {
  if (uplinks.length === 0) return namespace;
  const of = (name: string): Uplink | undefined => uplinks.find(({ link }) => link.name === name);
  const links = namespace.links.map((link): model.Link => {
    const uplink = of(link.name);
    return uplink === undefined ? link : { ...link, type: { kind: "veth", peer: { namespace: UNDERLAY, link: portName(uplink) } } };
  });
  // What was learnt there are addresses of what really stands between; written entries are the overlay's affair.
  const neighs = namespace.neighs?.filter(({ link, state }) => state === "permanent" || !uplinks.some(({ at }) => at === link));
  return { ...namespace, links, ...(neighs && { neighs }) };
}

/** One switch for all uplinks, which has the addresses of all gateways and routes between the subnets. */
function idealUnderlay(uplinks: readonly Uplink[]): model.Namespace {
  const own = uplinks.flatMap(({ node }) => node.addrs.map(({ prefix }) => prefix.addr));
  const gateways = uplinks
    .flatMap(({ gateways: all }) => all)
    .filter((addr) => !isLinkLocal(addr) && !own.some((other) => addrEquals(addr, other)))
    .toSorted(compareAddrs)
    .filter((addr, i, all) => i === 0 || !addrEquals(addr, all[i - 1] ?? addr));
  const subnets = uplinks.flatMap(({ node, at }) => node.addrs.filter(({ link }) => link === at).map(({ prefix }) => prefix));
  const mtu = Math.max(...uplinks.map(({ link }) => link.mtu ?? 1500));
  return {
    name: UNDERLAY,
    links: [
      { name: "lo", type: { kind: "loopback" }, up: true },
      { name: UNDERLAY, type: { kind: "bridge" }, up: true, mtu },
      ...uplinks.map((uplink): model.Link => {
        const peer = { namespace: uplink.node.name, link: uplink.link.name };
        return { name: portName(uplink), type: { kind: "veth", peer }, up: true, mtu, master: UNDERLAY };
      }),
    ],
    addrs: gateways.map((addr) => ({ link: UNDERLAY, prefix: subnetOf(addr, subnets) })),
    routes: [],
    sysctls: { "net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1 },
  };
}

function subnetOf(addr: Addr, subnets: readonly Prefix[]): Prefix {
  const subnet = subnets.find((prefix) => prefixContains(prefix, addr));
  return subnet === undefined ? hostPrefix(addr) : { addr, bits: subnet.bits };
}
