// What kernels hold, as the model's data. For tests that compare what it foresees with what packets meet.
import { type Link, type NetNs, openNft, type RouteSocket } from "#linux";
import type * as model from "#model";

export interface ReadableNamespace {
  readonly name: string;
  readonly ns: NetNs;
  readonly route: RouteSocket;
  readonly listeners?: readonly model.Listener[];
  /** Where the other ends of veths are, where numbers do not say it: two namespaces may have links with the same ones. */
  readonly peers?: Readonly<Record<string, { readonly namespace: string; readonly link: string }>>;
}

export function readNetworkState(all: readonly ReadableNamespace[]): model.NetworkState {
  const links = new Map(all.map((one) => [one, one.route.links.list()]));
  return { namespaces: all.map((one) => readNamespace(one, links)) };
}

type Links = ReadonlyMap<ReadableNamespace, readonly Link[]>;

const GLOBAL_SYSCTLS: readonly string[] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/netfilter/nf_conntrack_tcp_loose"];
const LINK_SYSCTLS: readonly string[] = ["forwarding", "rp_filter", "accept_local", "route_localnet", "proxy_arp", "proxy_arp_pvlan"];

function readNamespace(one: ReadableNamespace, links: Links): model.Namespace {
  const own = links.get(one) ?? [];
  const { route, ns, name, listeners = [] } = one;
  const perLink = [...own.map((link) => link.name), "all"].flatMap((link) =>
    LINK_SYSCTLS.map((sysctl) => `net/ipv4/conf/${link}/${sysctl}`),
  );
  const nft = openNft(ns);
  try {
    return {
      name,
      links: own.map((link) => readLink(one, link, links)),
      addrs: route.addrs.list(),
      routes: route.routes.list(),
      neighs: route.neighs.list(),
      fdb: own.filter(({ kind, bridgePort }) => kind === "vxlan" || bridgePort !== undefined).flatMap((link) => route.fdb.list(link.name)),
      sysctls: Object.fromEntries([...GLOBAL_SYSCTLS, ...perLink].flatMap((sysctl) => readSysctl(ns, sysctl))),
      tables: nft.tables().flatMap((id) => nft.list(id) ?? []),
      listeners,
    };
  } finally {
    nft.close();
  }
}

/** Some are there only once a module is. */
function readSysctl(ns: NetNs, name: string): [string, number][] {
  try {
    return [[name, Number(ns.sysctl(name))]];
  } catch {
    return [];
  }
}

function readLink(one: ReadableNamespace, link: Link, links: Links): model.Link {
  const { name, index, mtu, up, bridgePort } = link;
  const master = links.get(one)?.find((other) => other.index === link.masterIndex)?.name;
  return {
    name,
    index,
    mtu,
    up,
    type: readType(one, link, links),
    ...(link.mac !== undefined && { mac: link.mac }),
    ...(master !== undefined && { master }),
    ...(bridgePort !== undefined && { port: bridgePort }),
  };
}

function readType(one: ReadableNamespace, link: Link, links: Links): model.LinkType {
  if (link.name === "lo") return { kind: "loopback" };
  if (link.kind === "bridge" || link.kind === "dummy") return { kind: link.kind };
  if (link.kind === "vxlan" && link.vxlan !== undefined) {
    const { vni, port, local, learning } = link.vxlan;
    return { kind: "vxlan", vni, port, learning, ...(local !== undefined && { local }) };
  }
  const peer = link.kind === "veth" ? (one.peers?.[link.name] ?? peerByIndex(one, link, links)) : undefined;
  return peer === undefined ? { kind: "other", name: link.kind } : { kind: "veth", peer };
}

function peerByIndex(one: ReadableNamespace, link: Link, links: Links): { namespace: string; link: string } | undefined {
  for (const [other, list] of links) {
    const peer = list.find(({ index, peerIndex }) => other !== one && index === link.peerIndex && peerIndex === link.index);
    if (peer !== undefined) return { namespace: other.name, link: peer.name };
  }
  return undefined;
}
