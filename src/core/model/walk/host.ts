// A namespace made ready for packets: what is asked for each packet is indexed once.
import { type Addr, addrEquals, type Family, formatMac, type Mac, parsePrefix } from "#ip";
import type { Hook } from "#nft";
import { type Scalar, scalarOfAddr } from "../evaluate/scalar.ts";
import { type PreparedTable, prepareTable } from "../evaluate/table.ts";
import type { Fdb, Link, LinkAddr, Listener, Namespace, Neigh } from "../state.ts";
import { Fib, routesOfAddrs } from "./fib.ts";
import { type HookEntry, hookEntries } from "./hook-order.ts";

export interface HostLink extends Link {
  readonly index: number;
  readonly mac: Mac;
  readonly mtu: number;
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
  readonly ports: ReadonlyMap<string, readonly HostLink[]>;
  readonly #addrsOf: Map<string, LinkAddr[]> = new Map();
  readonly #owned: Map<Scalar, string[]> = new Map();
  readonly #neighs: Map<string, Neigh> = new Map();
  readonly #fdb: Map<string, Fdb> = new Map();
  readonly #listeners: Map<string, Listener[]> = new Map();
  readonly #hooks: Map<string, readonly HookEntry[]> = new Map();
  readonly #portOfMac: Map<string, string | null> = new Map();

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
    for (const addr of this.addrs) {
      push(this.#addrsOf, addr.link, addr);
      push(this.#owned, scalarOfAddr(addr.prefix.addr), addr.link);
    }
    for (const neigh of namespace.neighs ?? []) this.#neighs.set(neighKey(neigh.link, neigh.addr), neigh);
    for (const entry of namespace.fdb ?? []) this.#fdb.set(`${this.#fdbOwner(entry.link)} ${formatMac(entry.mac)}`, entry);
    for (const listener of namespace.listeners ?? []) push(this.#listeners, `${listener.protocol} ${listener.port}`, listener);
  }

  /** Entries of ports are entries of their bridge. */
  #fdbOwner(link: string): string {
    return this.links.get(link)?.master ?? link;
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
    return this.#fdb.size === 0 ? undefined : this.#fdb.get(`${owner} ${formatMac(mac)}`);
  }

  listener(protocol: number, addr: Addr, port: number): Listener | undefined {
    const candidates = this.#listeners.get(`${protocol} ${port}`);
    const exact = candidates?.find((one) => one.addr !== undefined && addrEquals(one.addr, addr));
    return exact ?? candidates?.find((one) => one.addr === undefined && (one.family === undefined || one.family === addr.family));
  }

  hooks(family: Family, hook: Hook): readonly HookEntry[] {
    const id = `${family}${hook}`;
    let entries = this.#hooks.get(id);
    if (entries === undefined) {
      entries = hookEntries(this.tables, family, hook, this.tracks);
      this.#hooks.set(id, entries);
    }
    return entries;
  }

  sysctl(name: string, otherwise: number): number {
    return this.namespace.sysctls?.[name] ?? otherwise;
  }

  /** A setting of one link, else the one for all, else the default. */
  linkSysctl(family: Family, link: string, name: string): number {
    const at = `net/ipv${family}/conf`;
    return this.sysctl(`${at}/${link}/${name}`, this.sysctl(`${at}/default/${name}`, 0));
  }

  /** Behind which port a MAC was found, as bridges learn it. */
  rememberedPort(bridge: string, mac: string, find: () => string | undefined): string | undefined {
    const id = `${bridge} ${mac}`;
    const known = this.#portOfMac.get(id);
    if (known !== undefined) return known ?? undefined;
    const found = find();
    this.#portOfMac.set(id, found ?? null);
    return found;
  }
}

function hostLink(namespace: Namespace, link: Link, at: number): HostLink {
  const { type, mtu, mac } = link;
  return {
    ...link,
    index: link.index ?? at + 1,
    mtu: mtu ?? (type.kind === "loopback" ? 65_536 : 1500),
    mac: mac ?? madeUpMac(`${namespace.name} ${link.name}`),
  };
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
