// Reads what the kernel holds of namespaces: a report. The only file here that asks for state.
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { errorMessage } from "#base";
import {
  type Ipv4Conf,
  type ConntrackUse as KernelConntrackUse,
  type ListeningSocket as KernelSocket,
  type Link,
  listListeners,
  type NetNs,
  netnsIds,
  openConntrack,
  openNft,
  openRoute,
  type RouteSocket,
  type SocketOwner,
  socketOwners,
} from "#linux";
import type * as model from "#model";
import type { Table } from "#nft";
import { IPPROTO_UDP } from "#wire";
import { ARM_TABLE_PREFIX } from "./arm.ts";
import type {
  ConntrackUse,
  ListeningSocket,
  NamespaceRole,
  NetworkRequest,
  NodeReport,
  ObservedNamespace,
  PodRef,
  VethEnd,
} from "./types.ts";

/** A namespace that is open in this process. */
export interface OpenNamespace {
  readonly role: NamespaceRole;
  readonly name: string;
  readonly ns: NetNs;
  readonly pod?: PodRef;
}

export interface ReportSource {
  readonly node: string;
  readonly namespaces: readonly OpenNamespace[];
  /** Others that veths may lead to. */
  readonly beyond?: readonly NetNs[];
}

/** What cannot be read is among the report's problems. Others may work between one namespace (1 ms) and the next. */
export async function readReport(source: ReportSource, request: NetworkRequest = {}): Promise<NodeReport> {
  const problems: string[] = [];
  const read: ReadNamespace[] = [];
  for (const open of source.namespaces) {
    try {
      read.push(readNamespace(open, source, request));
    } catch (err) {
      problems.push(`${open.name}: ${errorMessage(err)}`);
    }
    await setImmediate();
  }
  const owners = request.processes === false ? new Map<number, SocketOwner>() : await ownersOf(read);
  const namespaces = read.map(({ observed, inodes }) =>
    withOwners(
      observed,
      inodes.map((inode) => owners.get(inode)),
    ),
  );
  problems.push(...read.flatMap((one) => one.problems));
  return { node: source.node, timeMs: Date.now(), machine: bootId(), namespaces, problems };
}

async function ownersOf(read: readonly ReadNamespace[]): Promise<Map<number, SocketOwner>> {
  const listening = read.filter(({ inodes }) => inodes.length > 0);
  const steps = socketOwners(new Set(listening.flatMap(({ inodes }) => inodes)), new Set(listening.map(({ observed }) => observed.inode)));
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    await setImmediate();
  }
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

interface ReadNamespace {
  readonly observed: ObservedNamespace;
  /** Of its listening sockets. */
  readonly inodes: readonly number[];
  readonly problems: readonly string[];
}

function readNamespace(open: OpenNamespace, source: ReportSource, request: NetworkRequest): ReadNamespace {
  const { role, name, ns, pod } = open;
  const problems: string[] = [];
  const tolerate = <T>(read: () => T, otherwise: T): T => {
    try {
      return read();
    } catch (err) {
      problems.push(`${name}: ${errorMessage(err)}`);
      return otherwise;
    }
  };
  const conntrack = tolerate(() => readConntrack(ns, request), { count: 0, max: 0 });
  const tables = tolerate(() => readTables(ns), []);
  const route = openRoute(ns);
  try {
    const links = route.links.list();
    const listening = tolerate(() => listListeners(ns), []).filter((one) => !isVxlan(one, links));
    const listeners = listening.map(
      ({ protocol, port, addr, family }): model.Listener => ({ protocol, port, ...(addr && { addr }), ...(family && { family }) }),
    );
    const sysctls = readSysctls(ns, links, conntrack);
    const state: model.Namespace = { name, ...readLinkLayer(route, links), sysctls, tables, listeners };
    const sockets = listening.map(({ queued, backlog }): ListeningSocket => ({ ...(queued !== undefined && { queued, backlog }) }));
    const ends = readEnds(links, netnsIds(ns, neighboursOf(open, source)));
    const observed = { role, inode: ns.inode, state, ...(pod && { pod }), ends, conntrack, sockets };
    return { observed, inodes: listening.map(({ inode }) => inode), problems };
  } finally {
    route.close();
  }
}

/** The kernel's own socket, which takes no datagram but vxlan's. */
function isVxlan({ protocol, port }: KernelSocket, links: readonly Link[]): boolean {
  return protocol === IPPROTO_UDP && links.some(({ vxlan }) => vxlan?.port === port);
}

/** Pods and `outside` lead to where they hang; nodes and the underlay may lead anywhere. */
function neighboursOf(open: OpenNamespace, { namespaces, beyond = [] }: ReportSource): NetNs[] {
  const isLeaf = ({ role }: OpenNamespace): boolean => role === "pod" || role === "outside";
  const others = namespaces.filter((other) => other !== open && !(isLeaf(open) && isLeaf(other)));
  return [...others.map(({ ns }) => ns), ...beyond];
}

function readConntrack(ns: NetNs, request: NetworkRequest): ConntrackUse {
  const conntrack = openConntrack(ns);
  try {
    return { ...conntrack.use(), ...(request.conntrackEntries === true && { entries: conntrack.list() }) };
  } finally {
    conntrack.close();
  }
}

/** In the order in which they were made; those of watches are not the network's. */
function readTables(ns: NetNs): Table[] {
  const nft = openNft(ns);
  try {
    const ids = nft.tables().filter(({ name }) => !name.startsWith(ARM_TABLE_PREFIX));
    return ids.flatMap((id) => nft.list(id) ?? []);
  } finally {
    nft.close();
  }
}

function readLinkLayer(
  route: RouteSocket,
  links: readonly Link[],
): Required<Pick<model.Namespace, "links" | "addrs" | "routes" | "rules" | "neighs" | "fdb">> {
  const names = new Map(links.map(({ index, name }) => [index, name]));
  const switched = links.filter(({ kind, bridgePort }) => kind === "vxlan" || bridgePort !== undefined);
  return {
    links: links.map((link) => readLink(link, names)),
    addrs: route.addrs.list().map(({ link, prefix }) => ({ link, prefix })),
    routes: route.routes.list(),
    rules: [...route.rules.list(4), ...route.rules.list(6)],
    neighs: route.neighs.list(),
    fdb: switched.flatMap(({ name }) => route.fdb.list(name)),
  };
}

function readLink(link: Link, names: ReadonlyMap<number, string>): model.Link {
  const { name, index, mtu, up, mac, bridgePort, masterIndex } = link;
  const master = masterIndex === undefined ? undefined : names.get(masterIndex);
  return {
    name,
    index,
    mtu,
    up,
    type: readType(link, names),
    ...(mac !== undefined && { mac }),
    ...(master !== undefined && { master }),
    ...(bridgePort !== undefined && { port: bridgePort }),
  };
}

function readType(link: Link, names: ReadonlyMap<number, string>): model.LinkType {
  if (link.name === "lo") return { kind: "loopback" };
  if (link.kind === "bridge" || link.kind === "dummy") return { kind: link.kind };
  if (link.kind !== "vxlan" || link.vxlan === undefined) return { kind: "other", name: link.kind };
  const { vni, port, local, learning } = link.vxlan;
  const device = link.parentIndex === undefined ? undefined : names.get(link.parentIndex);
  return { kind: "vxlan", vni, port, learning, ...(local !== undefined && { local }), ...(device !== undefined && { device }) };
}

function readEnds(links: readonly Link[], ids: ReadonlyMap<number, NetNs>): VethEnd[] {
  return links.flatMap(({ kind, name, index, peerIndex, peerNetnsId }): VethEnd[] => {
    if (kind !== "veth" || peerIndex === undefined) return [];
    const peer = peerNetnsId === undefined ? undefined : ids.get(peerNetnsId);
    return [{ link: name, index, peerIndex, ...(peer && { peerInode: peer.inode }) }];
  });
}

const CONFS: readonly Ipv4Conf[] = ["forwarding", "rp_filter", "accept_local", "route_localnet", "proxy_arp", "proxy_arp_pvlan"];
const GLOBAL_SYSCTLS: readonly string[] = [
  "net/ipv4/ip_forward",
  "net/ipv6/conf/all/forwarding",
  "net/netfilter/nf_conntrack_tcp_loose",
  ...CONFS.map((conf) => `net/ipv4/conf/all/${conf}`),
];

function readSysctls(ns: NetNs, links: readonly Link[], { max }: KernelConntrackUse): Record<string, number> {
  const global = ns.run(() => GLOBAL_SYSCTLS.flatMap(readSysctl));
  const perLink = links.flatMap(({ name, ipv4Conf }) =>
    CONFS.map((conf): [string, number] => [`net/ipv4/conf/${name}/${conf}`, ipv4Conf?.[conf] ?? 0]),
  );
  return { ...Object.fromEntries([...global, ...perLink]), "net/netfilter/nf_conntrack_max": max };
}

/** Some are there only once a module is. */
function readSysctl(name: string): [string, number][] {
  try {
    return [[name, Number(readFileSync(`/proc/sys/${name}`, "utf8"))]];
  } catch {
    return [];
  }
}

/** Of a command line; more is cut off. */
const MAX_COMMAND = 200;

/** Of a script the script's: the interpreter says little. */
function programName({ name, args }: SocketOwner): string {
  const [program = name, ...rest] = args;
  const script = /(^|\/)(node|python[0-9.]*|perl|ruby|sh|bash)$/.test(program) ? rest.find((arg) => !arg.startsWith("-")) : undefined;
  // Some write their whole command line into one argument.
  const [word = name] = (script ?? program).split(" ");
  return word.replace(/^.*\//, "").replace(/\.[cm]?js$/, "") || name;
}

function withOwners(observed: ObservedNamespace, owners: readonly (SocketOwner | undefined)[]): ObservedNamespace {
  const { state, sockets } = observed;
  const listeners = state.listeners?.map((listener, i): model.Listener => {
    const owner = owners[i];
    return owner === undefined ? listener : { ...listener, name: `${programName(owner)} (pid ${owner.pid})` };
  });
  return {
    ...observed,
    state: { ...state, ...(listeners && { listeners }) },
    sockets: sockets.map((socket, i): ListeningSocket => {
      const owner = owners[i];
      return owner === undefined
        ? socket
        : { ...socket, pid: owner.pid, command: (owner.args.join(" ") || owner.name).slice(0, MAX_COMMAND) };
    }),
  };
}
