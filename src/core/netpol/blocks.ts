// Address blocks with exceptions as disjoint intervals, since the kernel refuses nested and overlapping ones. Pure.
import { type Addr, addrFromBigInt, addrToBigInt, type Family, maskPrefix, type Prefix, prefixSize, tryParsePrefix } from "#ip";
import type { Interval } from "#nft";

export interface Block {
  readonly cidr: Prefix;
  readonly except: readonly Prefix[];
}

interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/** The addresses of any of the blocks, each without its own exceptions: an exception takes nothing from another block. */
export function decompose(blocks: readonly Block[], family: Family): Interval[] {
  const ranges = blocks
    .filter(({ cidr }) => cidr.addr.family === family)
    .flatMap(({ cidr, except }) => subtract(rangeOf(cidr), except.filter(({ addr }) => addr.family === family).map(rangeOf)));
  const addr = (value: bigint): Addr => addrFromBigInt(family, value);
  return union(ranges).map(({ first, last }) => ({ first: addr(first), last: addr(last) }));
}

function rangeOf(prefix: Prefix): Range {
  const first = addrToBigInt(maskPrefix(prefix).addr);
  return { first, last: first + prefixSize(prefix) - 1n };
}

function subtract(whole: Range, holes: readonly Range[]): Range[] {
  const out: Range[] = [];
  let { first } = whole;
  for (const hole of union(holes)) {
    if (hole.last < first || hole.first > whole.last) continue;
    if (hole.first > first) out.push({ first, last: hole.first - 1n });
    first = hole.last + 1n;
  }
  if (first <= whole.last) out.push({ first, last: whole.last });
  return out;
}

/** Sorted, with what overlaps or touches made one. */
function union(ranges: readonly Range[]): Range[] {
  const out: Range[] = [];
  for (const range of ranges.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const before = out.at(-1);
    if (before === undefined || range.first > before.last + 1n) out.push(range);
    else if (range.last > before.last) out[out.length - 1] = { first: before.first, last: range.last };
  }
  return out;
}

/** Objects from before Kubernetes 1.36 may have leading zeros, which were always read as decimal (`netutils.ParseCIDRSloppy`). */
export function parseCidr(text: string): Prefix | undefined {
  return tryParsePrefix(text.includes(":") ? text : text.replaceAll(/(^|[./])0+(?=\d)/g, "$1"));
}
