import { randomInt } from "node:crypto";
import { type Family, formatAddr, formatPrefix, nthAddr, type Prefix, prefixContains, prefixSize, tryParseAddr } from "#ip";

// KEP-3070: the first addresses are left to those who choose theirs; 16 to 256 of them, a sixteenth of the range.
const STATIC_MIN = 16;
const STATIC_MAX = 256;
const STATIC_PART = 16;
const RANDOM_TRIES = 16;
/** Of a larger IPv6 range only this many are given out: enough, and a number that random integers reach. */
const MAX_OFFSET = 2 ** 32;

/** Which addresses of one Service range are taken. */
export class IpAllocator {
  readonly prefix: Prefix;
  readonly #taken: Set<string>;
  /** The last offset given out: IPv4 keeps its broadcast address back. */
  readonly #last: number;
  readonly #dynamicFrom: number;

  /** `taken`: shared by ranges that may overlap. */
  constructor(prefix: Prefix, taken: Set<string> = new Set()) {
    this.prefix = prefix;
    this.#taken = taken;
    const size = Number(prefixSize(prefix));
    this.#last = Math.min(size - (prefix.addr.family === 4 ? 2 : 1), MAX_OFFSET);
    const reserved = Math.min(Math.max(STATIC_MIN, Math.floor(size / STATIC_PART)), STATIC_MAX);
    this.#dynamicFrom = reserved < this.#last ? reserved + 1 : 1;
  }

  get family(): Family {
    return this.prefix.addr.family;
  }

  get takenCount(): number {
    return this.#taken.size;
  }

  /** Takes one address. Returns why it cannot be had, in upstream's words, or undefined. */
  take(text: string): string | undefined {
    const addr = tryParseAddr(text);
    if (addr === undefined || !this.contains(text)) {
      return `the provided IP (${text}) is not in the valid range. The range of valid IPs is ${formatPrefix(this.prefix)}`;
    }
    const key = formatAddr(addr);
    if (this.#taken.has(key)) return "provided IP is already allocated";
    this.#taken.add(key);
    return undefined;
  }

  /** Takes a free address; undefined when there is none. */
  takeNext(): string | undefined {
    return this.#pick(this.#dynamicFrom, this.#last) ?? this.#pick(1, this.#dynamicFrom - 1);
  }

  release(text: string): void {
    const addr = tryParseAddr(text);
    if (addr !== undefined) this.#taken.delete(formatAddr(addr));
  }

  /** Whether the address is in the range and not the range's own. */
  contains(text: string): boolean {
    const addr = tryParseAddr(text);
    return addr !== undefined && prefixContains(this.prefix, addr) && formatAddr(addr) !== formatAddr(this.prefix.addr);
  }

  #pick(from: number, to: number): string | undefined {
    if (to < from) return undefined;
    const span = Math.min(to - from + 1, MAX_OFFSET);
    for (let i = 0; i < RANDOM_TRIES; i++) {
      const found = this.#tryOffset(from + randomInt(span));
      if (found !== undefined) return found;
    }
    const start = randomInt(span);
    // Never longer than the number of addresses taken, plus one.
    for (let i = 0; i < span && i <= this.#taken.size; i++) {
      const found = this.#tryOffset(from + ((start + i) % span));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #tryOffset(offset: number): string | undefined {
    const text = formatAddr(nthAddr(this.prefix, offset));
    if (this.#taken.has(text)) return undefined;
    this.#taken.add(text);
    return text;
  }
}
