// All addresses of a family cut into pieces that no block of any policy divides, and pieces in the same blocks joined again. Pure.
import { type Addr, addrFromBigInt, addrToBigInt, type Family } from "#ip";
import type { Interval } from "#nft";
import type { BlockTerm } from "./types.ts";

const LAST: Readonly<Record<Family, bigint>> = { 4: (1n << 32n) - 1n, 6: (1n << 128n) - 1n };

/** Addresses that people know to be examples: 203.0.113.1 (RFC 5737), 2001:db8::1 (RFC 3849). */
const EXAMPLES: Readonly<Record<Family, readonly bigint[]>> = { 4: [0xcb007101n], 6: [(0x20010db8n << 96n) + 1n] };

export interface AddressClasses {
  /** The number of the class that has the address. */
  classOf(addr: Addr): number;
  readonly count: number;
  /** Which classes the block has. */
  inside(term: BlockTerm): ReadonlySet<number>;
  /** What of a class nobody of these has, as intervals and an address of it; undefined where they have all of it. */
  outside(cls: number, taken: ReadonlySet<bigint>): { readonly intervals: readonly Interval[]; readonly sample: Addr } | undefined;
}

export function classifyAddresses(family: Family, terms: Iterable<BlockTerm>): AddressClasses {
  const blocks = new Map(Array.from(terms, (term) => [textOf(term, family), rangesOf(term, family)]));
  const cuts = cutsOf([...blocks.values()].flat());
  const indexOf = (value: bigint): number => {
    let [low, high] = [0, cuts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((cuts[middle] ?? 0n) <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  const classes = refine(
    cuts.length,
    [...blocks.values()].map((ranges) => ranges.map(({ first, last }) => [indexOf(first), indexOf(last)] as const)),
  );
  const pieces: number[][] = Array.from({ length: classes.count }, () => []);
  for (const [piece, cls] of classes.of.entries()) pieces[cls]?.push(piece);
  const range = (piece: number): Range => ({ first: cuts[piece] ?? 0n, last: (cuts[piece + 1] ?? LAST[family] + 1n) - 1n });
  const insides = new Map<string, ReadonlySet<number>>();
  return {
    count: classes.count,
    classOf: (addr) => classes.of[indexOf(addrToBigInt(addr))] ?? 0,
    inside(term) {
      const text = textOf(term, family);
      const known = insides.get(text);
      if (known !== undefined) return known;
      const found = new Set<number>();
      for (const { first, last } of rangesOf(term, family)) {
        for (let piece = indexOf(first); piece <= indexOf(last); piece++) found.add(classes.of[piece] ?? 0);
      }
      insides.set(text, found);
      return found;
    },
    outside(cls, taken) {
      const own = (pieces[cls] ?? []).map(range);
      const isFree = (value: bigint): boolean => !taken.has(value) && own.some(({ first, last }) => first <= value && value <= last);
      const sample = EXAMPLES[family].find(isFree) ?? freeAddress(own, taken);
      if (sample === undefined) return undefined;
      const addr = (value: bigint): Addr => addrFromBigInt(family, value);
      return { intervals: joined(own).map(({ first, last }) => ({ first: addr(first), last: addr(last) })), sample: addr(sample) };
    },
  };
}

interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

const texts = new WeakMap<BlockTerm, Record<Family, string>>();

function textOf(term: BlockTerm, family: Family): string {
  let known = texts.get(term);
  if (known === undefined) {
    const text = (of: Family): string =>
      rangesOf(term, of)
        .map(({ first, last }) => `${first}-${last}`)
        .join();
    known = { 4: text(4), 6: text(6) };
    texts.set(term, known);
  }
  return known[family];
}

function rangesOf(term: BlockTerm, family: Family): Range[] {
  return term.intervals[family].flatMap(({ first, last }) =>
    isAddr(first) && isAddr(last) ? [{ first: addrToBigInt(first), last: addrToBigInt(last) }] : [],
  );
}

function isAddr(value: Interval["first"]): value is Addr {
  return typeof value === "object" && "family" in value;
}

/** Where pieces begin. */
function cutsOf(ranges: readonly Range[]): bigint[] {
  const cuts = new Set([0n, ...ranges.flatMap(({ first, last }) => [first, last + 1n])]);
  return [...cuts].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Pieces that are in the same sets get the same number. */
function refine(count: number, sets: readonly (readonly (readonly [number, number])[])[]): { of: Int32Array; count: number } {
  const of = new Int32Array(count);
  let next = 1;
  for (const ranges of sets) {
    const renamed = new Map<number, number>();
    for (const [first, last] of ranges) {
      for (let piece = first; piece <= last; piece++) {
        const old = of[piece] ?? 0;
        let name = renamed.get(old);
        if (name === undefined) {
          name = next++;
          renamed.set(old, name);
        }
        of[piece] = name;
      }
    }
  }
  const dense = new Map<number, number>();
  for (const [piece, name] of of.entries()) {
    let number = dense.get(name);
    if (number === undefined) {
      number = dense.size;
      dense.set(name, number);
    }
    of[piece] = number;
  }
  return { of, count: dense.size };
}

/** 0.0.0.0 and :: are nobody's. */
function freeAddress(ranges: readonly Range[], taken: ReadonlySet<bigint>): bigint | undefined {
  for (const { first, last } of ranges) {
    for (let value = first === 0n ? 1n : first; value <= last; value++) if (!taken.has(value)) return value;
  }
  return undefined;
}

function joined(ranges: readonly Range[]): Range[] {
  const out: Range[] = [];
  for (const range of ranges) {
    const before = out.at(-1);
    if (before !== undefined && before.last + 1n === range.first) out[out.length - 1] = { first: before.first, last: range.last };
    else out.push(range);
  }
  return out;
}
