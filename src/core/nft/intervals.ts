// Intervals and prefixes: the same thing in nft, where a prefix is an interval whose ends are aligned.
import { type Addr, formatPrefix, maskPrefix, type Prefix } from "#ip";
import { type Datatype, formatValue, type Interval, type Value } from "./datatypes.ts";

/** All addresses of a prefix. */
export function prefixInterval(prefix: Prefix): Interval {
  const { addr } = maskPrefix(prefix);
  const last = addr.bytes.slice();
  for (let bit = prefix.bits; bit < last.length * 8; bit++) last[bit >> 3] = (last[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return { first: addr, last: { family: addr.family, bytes: last } };
}

/** The prefix that has exactly the interval's addresses, if there is one. */
export function intervalPrefix(interval: Interval): Prefix | undefined {
  const { first, last } = interval;
  if (!isAddr(first) || !isAddr(last)) return undefined;
  let bits = 0;
  while (bits < first.bytes.length * 8 && bitOf(first, bits) === bitOf(last, bits)) bits++;
  for (let bit = bits; bit < first.bytes.length * 8; bit++) {
    if (bitOf(first, bit) !== 0 || bitOf(last, bit) !== 1) return undefined;
  }
  return { addr: first, bits };
}

function isAddr(value: Value): value is Addr {
  return typeof value === "object" && "family" in value;
}

function bitOf(addr: Addr, bit: number): number {
  return ((addr.bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
}

/** A single value, a prefix or `first-last`. */
export function formatInterval(type: Datatype, interval: Interval): string {
  const prefix = intervalPrefix(interval);
  const first = formatValue(type, interval.first);
  if (prefix !== undefined) return prefix.bits === prefix.addr.bytes.length * 8 ? first : formatPrefix(prefix);
  const last = formatValue(type, interval.last);
  return first === last ? first : `${first}-${last}`;
}

/** How many leading bits of a mask are set, when no others are. */
export function maskBits(mask: Addr): number | undefined {
  let bits = 0;
  while (bits < mask.bytes.length * 8 && bitOf(mask, bits) === 1) bits++;
  for (let bit = bits; bit < mask.bytes.length * 8; bit++) if (bitOf(mask, bit) === 1) return undefined;
  return bits;
}
