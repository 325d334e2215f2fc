// Routing tables: longest prefix, then metric. Mirrors net/ipv4/fib_trie.c (fib_table_lookup), fib_rules.c and, as far as the model goes,
// net/ipv6/ip6_fib.c and route.c.
import { type Addr, addrBits, type Family, hostPrefix, maskPrefix, type Prefix, parsePrefix, prefixContains } from "#ip";
import type { Choices } from "../choices.ts";
import { type Scalar, scalarOfAddr } from "../evaluate/scalar.ts";
import type { LinkAddr, NextHop, Route, RouteType, RoutingRule } from "../state.ts";

/** RT_TABLE_* of linux/rtnetlink.h. */
export const TABLE_LOCAL = 255;
const TABLE_MAIN = 254;
const TABLE_DEFAULT = 253;

export interface FibResult {
  readonly route: Route;
  readonly type: RouteType;
  readonly table: number;
  readonly link?: string;
  readonly via?: Addr;
}

export interface FibQuestion {
  readonly dst: Addr;
  readonly src?: Addr | undefined;
  readonly mark?: number;
  /** Absent: loopback, where what is made here counts as come in by (LOOPBACK_IFINDEX in ip_route_output_key_hash, ip6_route_output_flags). */
  readonly linkIn?: string | undefined;
  /** Only routes over this link. */
  readonly linkOut?: string | undefined;
}

type Bucket = Map<Scalar, Route[]>;

/** Routes of one table and family, by prefix length. */
class Lpm {
  readonly #byBits: Map<number, Bucket> = new Map();
  #lengths: readonly number[] = [];

  add(route: Route): void {
    const { bits, addr } = route.dst;
    let bucket = this.#byBits.get(bits);
    if (bucket === undefined) {
      bucket = new Map();
      this.#byBits.set(bits, bucket);
      this.#lengths = [...this.#byBits.keys()].sort((a, b) => b - a);
    }
    const key = maskScalar(scalarOfAddr(addr), bits);
    const list = bucket.get(key);
    if (list === undefined) bucket.set(key, [route]);
    else {
      list.push(route);
      list.sort((a, b) => metricOf(a) - metricOf(b));
    }
  }

  /** The first route, from the longest prefix on, for which `accept` gives something. */
  find<T>(dst: Addr, accept: (route: Route) => T | undefined): T | undefined {
    const scalar = scalarOfAddr(dst);
    for (const bits of this.#lengths) {
      for (const route of this.#byBits.get(bits)?.get(maskScalar(scalar, bits)) ?? []) {
        const found = accept(route);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }
}

function metricOf({ metric, dst }: Route): number {
  return metric ?? (dst.addr.family === 4 ? 0 : 1024);
}

/** The first `bits` bits; of an IPv6 address only the units that they fill. */
function maskScalar(scalar: Scalar, bits: number): Scalar {
  if (typeof scalar === "number") return bits === 0 ? 0 : (scalar & (0xffffffff << (32 - bits))) >>> 0;
  const whole = bits >> 4;
  const rest = bits & 15;
  if (rest === 0) return scalar.slice(0, whole);
  return scalar.slice(0, whole) + String.fromCharCode(scalar.charCodeAt(whole) & (0xffff << (16 - rest)));
}

const DEFAULT_RULES: readonly Omit<RoutingRule, "family">[] = [
  { priority: 0, table: TABLE_LOCAL },
  { priority: 32_766, table: TABLE_MAIN },
  { priority: 32_767, table: TABLE_DEFAULT },
];

export class Fib {
  readonly #tables: Map<string, Lpm> = new Map();
  readonly #rules: Readonly<Record<Family, readonly Omit<RoutingRule, "family">[]>>;
  readonly #isUp: (link: string) => boolean;

  constructor(routes: readonly Route[], rules: readonly RoutingRule[] | undefined, isUp: (link: string) => boolean) {
    this.#isUp = isUp;
    const of = (family: Family): readonly Omit<RoutingRule, "family">[] => {
      const own = rules?.filter((rule) => rule.family === family) ?? [];
      return own.length === 0 ? DEFAULT_RULES : own.sort((a, b) => a.priority - b.priority);
    };
    this.#rules = { 4: of(4), 6: of(6) };
    for (const route of routes) {
      const id = `${route.table ?? TABLE_MAIN} ${route.dst.addr.family}`;
      const table = this.#tables.get(id) ?? new Lpm();
      this.#tables.set(id, table);
      table.add(route);
    }
  }

  /** Undefined: no route. */
  lookup(question: FibQuestion, choices?: Choices): FibResult | undefined {
    const { family } = question.dst;
    for (const rule of this.#rules[family]) {
      if (!applies(rule, question)) continue;
      const found = this.inTable(rule.table, question, choices);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  inTable(table: number, { dst, linkOut }: FibQuestion, choices?: Choices): FibResult | undefined {
    return this.#tables.get(`${table} ${dst.family}`)?.find(dst, (route) => {
      const { type = "unicast" } = route;
      if (type !== "unicast" && type !== "local" && type !== "broadcast") return { route, type, table };
      const usable = route.nextHops.filter(
        ({ link }) => link === undefined || ((type === "local" || this.#isUp(link)) && (linkOut === undefined || link === linkOut)),
      );
      const hop = usable.length > 1 ? pick(usable, choices) : usable[0];
      if (hop === undefined) return undefined;
      const link = hop.link ?? this.#linkOf(hop, table);
      if (link === undefined) return undefined;
      return { route, type, table, link, ...(hop.via !== undefined && { via: hop.via }) };
    });
  }

  /** Of a next hop that is given by address only. */
  #linkOf({ via }: NextHop, table: number): string | undefined {
    return via === undefined ? undefined : this.inTable(table, { dst: via })?.link;
  }
}

/** Which way of several a flow goes is a hash's choice (fib_select_multipath). */
function pick(hops: readonly NextHop[], choices: Choices | undefined): NextHop | undefined {
  const weights = hops.map(({ weight }) => weight ?? 1);
  return hops[choices?.choose(weights, "which next hop") ?? 0];
}

function applies(rule: Omit<RoutingRule, "family">, { dst, src, mark = 0, linkIn = "lo" }: FibQuestion): boolean {
  if (rule.from !== undefined && (src === undefined || !prefixContains(rule.from, src))) return false;
  if (rule.to !== undefined && !prefixContains(rule.to, dst)) return false;
  if (rule.iif !== undefined && rule.iif !== linkIn) return false;
  return rule.fwmark === undefined || (mark & rule.fwmark.mask) === rule.fwmark.value;
}

const MULTICAST6: Prefix = parsePrefix("ff00::/8");

/** What the kernel makes of addresses: itself local, its subnet reachable (fib_add_ifaddr, addrconf_prefix_route). */
export function routesOfAddrs(addrs: readonly LinkAddr[], isUp: (link: string) => boolean): Route[] {
  const routes: Route[] = [];
  for (const { link, prefix } of addrs) {
    const { addr, bits } = prefix;
    const nextHops = [{ link }];
    const isLoopback = link === "lo";
    // A link that goes down loses its IPv6 addresses and all routes but those to its IPv4 addresses (fib_sync_down_dev).
    if (!isUp(link) && addr.family === 6) continue;
    routes.push({ dst: hostPrefix(addr), type: "local", nextHops, src: addr, table: TABLE_LOCAL });
    if (!isUp(link) || bits === addrBits(addr.family)) continue;
    const subnet = maskPrefix(prefix);
    if (addr.family === 6) routes.push({ dst: subnet, nextHops, metric: 256 });
    else {
      // Loopback has the whole of 127.0.0.0/8.
      routes.push(
        isLoopback ? { dst: subnet, type: "local", nextHops, src: addr, table: TABLE_LOCAL } : { dst: subnet, nextHops, src: addr },
      );
      if (bits < 31 && !isLoopback) {
        routes.push({ dst: hostPrefix(broadcastOf(prefix)), type: "broadcast", nextHops, src: addr, table: TABLE_LOCAL });
      }
    }
  }
  for (const link of new Set(
    addrs.filter(({ prefix, link: name }) => prefix.addr.family === 6 && name !== "lo" && isUp(name)).map(({ link: name }) => name),
  )) {
    routes.push({ dst: MULTICAST6, nextHops: [{ link }], metric: 256, table: TABLE_LOCAL });
  }
  return routes;
}

function broadcastOf({ addr, bits }: Prefix): Addr {
  const bytes = addr.bytes.slice();
  for (let bit = bits; bit < bytes.length * 8; bit++) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return { family: addr.family, bytes };
}
