// Sets of ports over all protocols, each known by a small number: equal sets are the same number, and what has been computed once is
// remembered. Clusters have millions of pairs and a few hundred different sets. Pure.
import { SCTP, TCP, UDP } from "#nft";

/** A set of ports in one `PortSets`. */
export type PortSet = number;

/** Both ends belong to it. `protocol` "other" is everything without ports, such as ICMP: its interval is 0 to 0. */
export interface ProtocolPorts {
  readonly protocol: "TCP" | "UDP" | "SCTP" | "other";
  readonly first: number;
  readonly last: number;
}

const PORTS = 65_536;
const PROTOCOLS = ["TCP", "UDP", "SCTP", "other"] as const;
const OFFSETS: Readonly<Record<number, number>> = { [TCP]: 0, [UDP]: PORTS, [SCTP]: 2 * PORTS };
const OTHER = 3 * PORTS;

/** HTTP, HTTPS, DNS. */
const WELL_KNOWN: readonly number[] = [80, 443, PORTS + 53];

/** The place of a packet on the line of all ports; protocols without ports share one. */
export function pointOf(protocol: number, port: number): number {
  const offset = OFFSETS[protocol];
  return offset === undefined ? OTHER : offset + port;
}

export interface PortRange {
  readonly protocol: number;
  readonly first: number;
  readonly last: number;
}

type Ranges = readonly number[];

/** `first, last, first, last, …` ascending, with a gap between any two: so equal sets read the same. */
export class PortSets {
  readonly #sets: Ranges[] = [];
  readonly #ids = new Map<string, PortSet>();
  readonly #unions = new Map<number, PortSet>();
  readonly #intersections = new Map<number, PortSet>();
  readonly #differences = new Map<number, PortSet>();
  readonly none: PortSet = this.#intern([]);
  readonly all: PortSet = this.#intern([0, OTHER]);

  /** `protocol` is IPPROTO_*. */
  of(ranges: Iterable<PortRange>): PortSet {
    let set = this.none;
    for (const { protocol, first, last } of ranges) {
      set = this.union(set, this.#intern([pointOf(protocol, first), pointOf(protocol, last)]));
    }
    return set;
  }

  union(a: PortSet, b: PortSet): PortSet {
    if (a === b || b === this.none) return a;
    if (a === this.none) return b;
    return this.#remember(this.#unions, a < b ? [a, b] : [b, a], (x, y) => x || y);
  }

  intersect(a: PortSet, b: PortSet): PortSet {
    if (a === b || b === this.all) return a;
    if (a === this.all) return b;
    if (a === this.none || b === this.none) return this.none;
    return this.#remember(this.#intersections, a < b ? [a, b] : [b, a], (x, y) => x && y);
  }

  subtract(a: PortSet, b: PortSet): PortSet {
    if (b === this.none || a === this.none) return a;
    if (a === b) return this.none;
    return this.#remember(this.#differences, [a, b], (x, y) => x && !y);
  }

  has(set: PortSet, point: number): boolean {
    const ranges = this.#ranges(set);
    for (let i = 0; i < ranges.length; i += 2) if (point >= (ranges[i] ?? 0) && point <= (ranges[i + 1] ?? 0)) return true;
    return false;
  }

  /** A place of the set: one that people know, where it has one; undefined where it is empty. */
  example(set: PortSet): number | undefined {
    const [first] = this.points(set);
    const known = WELL_KNOWN.find((point) => this.has(set, point));
    return known ?? (first !== undefined && first % PORTS === 0 && this.has(set, first + 1) ? first + 1 : first);
  }

  /** The first place of each interval of the set. */
  points(set: PortSet): number[] {
    return this.intervals(set).map(({ protocol, first }) => PROTOCOLS.indexOf(protocol) * PORTS + first);
  }

  intervals(set: PortSet): ProtocolPorts[] {
    const out: ProtocolPorts[] = [];
    const ranges = this.#ranges(set);
    for (let i = 0; i < ranges.length; i += 2) {
      let first = ranges[i] ?? 0;
      const last = ranges[i + 1] ?? 0;
      for (; first <= last; first = (Math.floor(first / PORTS) + 1) * PORTS) {
        const which = Math.floor(first / PORTS);
        const end = Math.min(last, (which + 1) * PORTS - 1);
        out.push({ protocol: PROTOCOLS[which] ?? "other", first: first % PORTS, last: end % PORTS });
      }
    }
    return out;
  }

  #ranges(set: PortSet): Ranges {
    return this.#sets[set] ?? [];
  }

  #remember(memo: Map<number, PortSet>, [a, b]: readonly [PortSet, PortSet], keep: (x: boolean, y: boolean) => boolean): PortSet {
    const key = a * 0x100_0000 + b;
    const known = memo.get(key);
    if (known !== undefined) return known;
    const made = this.#intern(combine(this.#ranges(a), this.#ranges(b), keep));
    memo.set(key, made);
    return made;
  }

  #intern(ranges: Ranges): PortSet {
    const key = ranges.join();
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    this.#sets.push(ranges);
    this.#ids.set(key, this.#sets.length - 1);
    return this.#sets.length - 1;
  }
}

/** Goes through all places where one of the two begins or ends. */
function combine(a: Ranges, b: Ranges, keep: (x: boolean, y: boolean) => boolean): number[] {
  const edges = [...edgesOf(a), ...edgesOf(b)].sort((x, y) => x - y);
  const out: number[] = [];
  const inside = (ranges: Ranges, point: number): boolean => {
    for (let i = 0; i < ranges.length; i += 2) if (point >= (ranges[i] ?? 0) && point <= (ranges[i + 1] ?? 0)) return true;
    return false;
  };
  let isIn = false;
  for (const [i, edge] of edges.entries()) {
    if (i > 0 && edge === edges[i - 1]) continue;
    const now = keep(inside(a, edge), inside(b, edge));
    if (now !== isIn) out.push(now ? edge : edge - 1);
    isIn = now;
  }
  return out;
}

/** Where it begins, and the first place after it. */
function edgesOf(ranges: Ranges): number[] {
  return ranges.map((value, i) => (i % 2 === 0 ? value : value + 1));
}

/** `TCP 80, 443, 8000-8080; UDP all`; `everything`, `nothing`. */
export function formatPorts(intervals: readonly ProtocolPorts[]): string {
  const isAll = ({ protocol, first, last }: ProtocolPorts): boolean => protocol === "other" || (first === 0 && last === PORTS - 1);
  if (intervals.length === 0) return "nothing";
  if (intervals.length === PROTOCOLS.length && intervals.every(isAll)) return "everything";
  return PROTOCOLS.flatMap((protocol) => {
    const own = intervals.filter((interval) => interval.protocol === protocol);
    if (own.length === 0) return [];
    if (protocol === "other") return ["ICMP and other protocols"];
    if (own.every(isAll)) return [`${protocol} all`];
    return [`${protocol} ${own.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(", ")}`];
  }).join("; ");
}

/** A packet at that place, for people: `TCP 80`. */
export function formatPoint(point: number): string {
  const protocol = PROTOCOLS[Math.floor(point / PORTS)] ?? "other";
  return protocol === "other" ? "ICMP" : `${protocol} ${point % PORTS}`;
}
