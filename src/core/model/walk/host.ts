// A namespace made ready for packets: what is asked for each packet is indexed once.
import { type Addr, addrEquals, type Family, type Mac, parsePrefix } from "#ip";
import type { Hook } from "#nft";
import { type Scalar, scalarOfAddr } from "../evaluate/scalar.ts";
import { type PreparedTable, prepareTable } from "../evaluate/table.ts";
import type { Fdb, Link, LinkAddr, Listener, Namespace, Neigh } from "../state.ts";
import { Fib, routesOfAddrs } from "./fib.ts";
import { type HookEntry, hookEntries } from "./hook-order.ts";

export interface HostLink extends Link {
  readonly index: number;
  readonly mac: Mac;
  /** Equal keys are equal MACs. */
  readonly macKey: number;
  readonly mtu: number;
}

/** A MAC as a number of 48 bits. */
export function macKey(mac: Mac): number {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac;
  return ((a << 16) | (b << 8) | c) * 0x100_0000 + ((d << 16) | (e << 8) | f);
}

/** Settings of the namespace that packets ask for. */
interface Settings {
  readonly conntrackMax: number;
  readonly tcpLoose: boolean;
  readonly forwarding6: boolean;
}

/** Settings of a link, those for all links included. */
interface LinkSettings {
  readonly forwarding4: boolean;
  readonly rpFilter: number;
  readonly acceptLocal: boolean;
  readonly routeLocalnet: boolean;
  readonly proxyArp: boolean;
  readonly proxyArpPvlan: boolean;
}

const LOOPBACK = "lo";
const LOOPBACK_ADDRS: readonly LinkAddr[] = ["127.0.0.1/8", "::1/128"].map((text) => ({ link: LOOPBACK, prefix: parsePrefix(text) }));

export class Host {
  readonly name: string;
  readonly namespace: Namespace;
  readonly links: ReadonlyMap<string, HostLink>;
  readonly addrs: readonly LinkAddr[];
  readonly fib: Fib;
  readonly tables: readonly PreparedTable[];
  /** Whether anything asks for connections. */
  readonly tracks: boolean;
  /** By bridge. */
  readonly ports: ReadonlyMap<string, readonly HostLink[]>;
  readonly #bridgeMacs: Map<string, ReadonlySet<number>> = new Map();
  readonly #addrsOf: Map<string, LinkAddr[]> = new Map();
  readonly #owned: Map<Scalar, string[]> = new Map();
  readonly #neighs: Map<string, Neigh> = new Map();
  readonly #fdb: Map<string, Fdb> = new Map();
  readonly #listeners: Map<string, Listener[]> = new Map();
  readonly settings: Settings;
  readonly #hooks: Readonly<Record<Family, Map<Hook, readonly HookEntry[]>>> = { 4: new Map(), 6: new Map() };
  readonly #linkSettings: Map<string, LinkSettings> = new Map();

  constructor(namespace: Namespace) {
    this.name = namespace.name;
    this.namespace = namespace;
    this.links = new Map(namespace.links.map((link, i) => [link.name, hostLink(namespace, link, i)]));
    const isUp = (name: string): boolean => this.links.get(name)?.up === true;
    this.addrs = withLoopback(namespace, isUp(LOOPBACK));
    this.fib = new Fib([...routesOfAddrs(this.addrs, isUp), ...namespace.routes], namespace.rules, isUp);
    this.tables = (namespace.tables ?? []).map((table) => prepareTable(table));
    this.tracks = this.tables.some(({ tracks }) => tracks);
    this.ports = Map.groupBy(
      [...this.links.values()].filter(({ master }) => master !== undefined),
      ({ master }) => master ?? "",
    );
    this.settings = {
      conntrackMax: this.#sysctl("net/netfilter/nf_conntrack_max", 0),
      tcpLoose: this.#sysctl("net/netfilter/nf_conntrack_tcp_loose", 1) !== 0,
      forwarding6: this.#sysctl("net/ipv6/conf/all/forwarding", 0) !== 0,
    };
    for (const addr of this.addrs) {
      push(this.#addrsOf, addr.link, addr);
      push(this.#owned, scalarOfAddr(addr.prefix.addr), addr.link);
    }
    for (const neigh of namespace.neighs ?? []) this.#neighs.set(neighKey(neigh.link, neigh.addr), neigh);
    for (const entry of namespace.fdb ?? []) this.#fdb.set(`${this.#fdbOwner(entry)} ${macKey(entry.mac)}`, entry);
    for (const listener of namespace.listeners ?? []) push(this.#listeners, `${listener.protocol} ${listener.port}`, listener);
  }

  /** Entries of ports are entries of their bridge; those with an underlay address are the vxlan link's own. */
  #fdbOwner({ link, dst }: Fdb): string {
    return dst === undefined ? (this.links.get(link)?.master ?? link) : link;
  }

  /** Addresses of a bridge and of its ports. */
  bridgeMacs(bridge: HostLink): ReadonlySet<number> {
    const known = this.#bridgeMacs.get(bridge.name);
    if (known !== undefined) return known;
    const macs = new Set([bridge, ...(this.ports.get(bridge.name) ?? [])].map((link) => link.macKey));
    this.#bridgeMacs.set(bridge.name, macs);
    return macs;
  }

  /** Links that have this address. */
  owners(addr: Addr): readonly string[] {
    return this.#owned.get(scalarOfAddr(addr)) ?? [];
  }

  addrsOf(link: string, family: Family): readonly LinkAddr[] {
    return (this.#addrsOf.get(link) ?? []).filter(({ prefix }) => prefix.addr.family === family);
  }

  neigh(link: string, addr: Addr): Neigh | undefined {
    return this.#neighs.get(neighKey(link, addr));
  }

  /** `owner`: a bridge or a vxlan link. */
  fdb(owner: string, mac: Mac): Fdb | undefined {
    return this.#fdb.size === 0 ? undefined : this.#fdb.get(`${owner} ${macKey(mac)}`);
  }

  listener(protocol: number, addr: Addr, port: number): Listener | undefined {
    const candidates = this.#listeners.get(`${protocol} ${port}`);
    const exact = candidates?.find((one) => one.addr !== undefined && addrEquals(one.addr, addr));
    return exact ?? candidates?.find((one) => one.addr === undefined && (one.family === undefined || one.family === addr.family));
  }

  hooks(family: Family, hook: Hook): readonly HookEntry[] {
    const known = this.#hooks[family].get(hook);
    if (known !== undefined) return known;
    const entries = hookEntries(this.tables, family, hook, this.tracks);
    this.#hooks[family].set(hook, entries);
    return entries;
  }

  linkSettings(link: string): LinkSettings {
    const known = this.#linkSettings.get(link);
    if (known !== undefined) return known;
    const own = (name: string): number => this.#sysctl(`net/ipv4/conf/${link}/${name}`, this.#sysctl(`net/ipv4/conf/default/${name}`, 0));
    const all = (name: string): number => this.#sysctl(`net/ipv4/conf/all/${name}`, 0);
    const either = (name: string): boolean => own(name) !== 0 || all(name) !== 0;
    const forwarding = this.#sysctl("net/ipv4/ip_forward", all("forwarding"));
    const settings: LinkSettings = {
      forwarding4: this.#sysctl(`net/ipv4/conf/${link}/forwarding`, forwarding) !== 0,
      rpFilter: Math.max(own("rp_filter"), all("rp_filter")),
      acceptLocal: either("accept_local"),
      routeLocalnet: either("route_localnet"),
      proxyArp: either("proxy_arp"),
      proxyArpPvlan: either("proxy_arp_pvlan"),
    };
    this.#linkSettings.set(link, settings);
    return settings;
  }

  #sysctl(name: string, otherwise: number): number {
    return this.namespace.sysctls?.[name] ?? otherwise;
  }
}

function hostLink(namespace: Namespace, link: Link, at: number): HostLink {
  const { type, mtu } = link;
  const mac = link.mac ?? madeUpMac(`${namespace.name} ${link.name}`);
  return { ...link, index: link.index ?? at + 1, mtu: mtu ?? (type.kind === "loopback" ? 65_536 : 1500), mac, macKey: macKey(mac) };
}

/** Locally administered, by FNV-1a of the link's name. */
function madeUpMac(text: string): Mac {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return Uint8Array.of(0x02, 0xfa, hash >>> 24, (hash >>> 16) & 0xff, (hash >>> 8) & 0xff, hash & 0xff);
}

function withLoopback({ addrs }: Namespace, up: boolean): readonly LinkAddr[] {
  if (!up) return addrs;
  const missing = LOOPBACK_ADDRS.filter(({ prefix }) => !addrs.some((addr) => addrEquals(addr.prefix.addr, prefix.addr)));
  return [...missing, ...addrs];
}

function neighKey(link: string, addr: Addr): string {
  return `${link} ${scalarOfAddr(addr)}`;
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
