// Sets of ports of each protocol, with what has no ports as one more member. Pure.
import { SCTP, TCP, UDP } from "#nft";

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

const PORT_PROTOCOLS: readonly number[] = [TCP, UDP, SCTP];

export interface PortSet {
  /** By IPPROTO_*; sorted, and none touches the next. */
  readonly ranges: ReadonlyMap<number, readonly PortRange[]>;
  /** Every protocol without ports. */
  readonly other: boolean;
}

const EVERY_PORT: readonly PortRange[] = [{ first: 0, last: 65_535 }];

export const NO_PORTS: PortSet = { ranges: new Map(), other: false };
export const EVERYTHING: PortSet = { ranges: new Map(PORT_PROTOCOLS.map((protocol) => [protocol, EVERY_PORT])), other: true };

export function portSet(list: Iterable<PortRange & { readonly protocol: number }>): PortSet {
  const ranges = new Map<number, PortRange[]>();
  for (const { protocol, first, last } of list) ranges.set(protocol, [...(ranges.get(protocol) ?? []), { first, last }]);
  return { ranges: new Map([...ranges].map(([protocol, own]) => [protocol, merge(own)])), other: false };
}

export function unionPorts(a: PortSet, b: PortSet): PortSet {
  return combine(a, b, { ranges: (x, y) => merge([...x, ...y]), other: a.other || b.other });
}

export function intersectPorts(a: PortSet, b: PortSet): PortSet {
  return combine(a, b, { ranges: (x, y) => without(x, complement(y)), other: a.other && b.other });
}

export function subtractPorts(a: PortSet, b: PortSet): PortSet {
  return combine(a, b, { ranges: without, other: a.other && !b.other });
}

export function isEmptyPorts({ ranges, other }: PortSet): boolean {
  return !other && [...ranges.values()].every((own) => own.length === 0);
}

type Combination = { readonly ranges: (a: readonly PortRange[], b: readonly PortRange[]) => PortRange[]; readonly other: boolean };

function combine(a: PortSet, b: PortSet, { ranges, other }: Combination): PortSet {
  return { ranges: new Map(PORT_PROTOCOLS.map((key) => [key, ranges(a.ranges.get(key) ?? [], b.ranges.get(key) ?? [])])), other };
}

function merge(list: readonly PortRange[]): PortRange[] {
  const out: PortRange[] = [];
  for (const range of list.toSorted((a, b) => a.first - b.first)) {
    const before = out.at(-1);
    if (before === undefined || range.first > before.last + 1) out.push(range);
    else if (range.last > before.last) out[out.length - 1] = { first: before.first, last: range.last };
  }
  return out;
}

function complement(list: readonly PortRange[]): PortRange[] {
  return without(EVERY_PORT, list);
}

/** Both sorted and disjoint. */
function without(list: readonly PortRange[], holes: readonly PortRange[]): PortRange[] {
  const out: PortRange[] = [];
  for (const range of list) {
    let { first } = range;
    for (const hole of holes) {
      if (hole.last < first || hole.first > range.last) continue;
      if (hole.first > first) out.push({ first, last: hole.first - 1 });
      first = hole.last + 1;
    }
    if (first <= range.last) out.push({ first, last: range.last });
  }
  return out;
}
