// All ranges that Services get their addresses from: the server's own and those of further ServiceCIDRs (KEP-1880). Ranges may overlap;
// an address is taken once, whichever of them it is in.
import { type Family, formatAddr, formatPrefix, type Prefix, prefixContains, tryParseAddr } from "#ip";
import { IpAllocator } from "./ip-allocator.ts";

/** Whose the server's own ranges are: the ServiceCIDR that shows them, which comes and goes without any effect on them. */
const OWN = "";

interface Range {
  readonly owner: string;
  readonly allocator: IpAllocator;
  /** Keeps what it has and gives out nothing more. */
  isRetired: boolean;
}

export class AddressRanges {
  /** The cluster's, the default one first. */
  readonly families: readonly Family[];
  readonly #taken = new Set<string>();
  #ranges: Range[] = [];
  #onRelease: () => void = () => {};

  constructor(own: readonly Prefix[]) {
    this.families = own.map(({ addr }) => addr.family);
    this.set(OWN, own);
  }

  /** Called after an address was given back. */
  onRelease(listener: () => void): void {
    this.#onRelease = listener;
  }

  /** The ranges of a ServiceCIDR, from now on. */
  set(owner: string, prefixes: readonly Prefix[]): void {
    const before = this.#ranges.filter((range) => range.owner === owner);
    const after = prefixes.map((prefix): Range => {
      const same = before.find(({ allocator }) => formatPrefix(allocator.prefix) === formatPrefix(prefix));
      return { owner, allocator: same?.allocator ?? new IpAllocator(prefix, this.#taken), isRetired: false };
    });
    this.#ranges = [...this.#ranges.filter((range) => range.owner !== owner), ...after];
  }

  retire(owner: string): void {
    for (const range of this.#ranges) if (range.owner === owner) range.isRetired = true;
  }

  remove(owner: string): void {
    this.#ranges = this.#ranges.filter((range) => range.owner !== owner);
  }

  /** Whether a Service has an address that would be in no range without this owner's. */
  isNeeded(owner: string): boolean {
    const own = this.#ranges.filter((range) => range.owner === owner);
    const others = this.#ranges.filter((range) => range.owner !== owner && !range.isRetired);
    for (const text of this.#taken) {
      const addr = tryParseAddr(text);
      const isIn = ({ allocator }: Range): boolean => addr !== undefined && prefixContains(allocator.prefix, addr);
      if (own.some(isIn) && !others.some(isIn)) return true;
    }
    return false;
  }

  /** Takes one address. Returns why it cannot be had, in upstream's words, or undefined. */
  take(text: string): string | undefined {
    const family = text.includes(":") ? 6 : 4;
    const usable = this.#usable().filter((allocator) => allocator.family === family);
    const home = usable.find((allocator) => allocator.contains(text));
    if (home !== undefined) return home.take(text);
    const shown = (usable.length === 0 ? this.#usable() : usable).map(({ prefix }) => formatPrefix(prefix)).join(", ");
    return `the provided IP (${text}) is not in the valid range. The range of valid IPs is ${shown}`;
  }

  /** What a stored Service has is its own, in a range that is retired too. */
  retake(text: string): string | undefined {
    const home = this.#ranges.find(({ allocator }) => allocator.contains(text));
    return home === undefined ? this.take(text) : home.allocator.take(text);
  }

  /** A free address, of the first range that has one; undefined when none has. */
  takeNext(family: Family): string | undefined {
    for (const allocator of this.#usable()) {
      const found = allocator.family === family ? allocator.takeNext() : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  }

  release(text: string): void {
    const addr = tryParseAddr(text);
    if (addr !== undefined) this.#taken.delete(formatAddr(addr));
    this.#onRelease();
  }

  #usable(): IpAllocator[] {
    return this.#ranges.filter((range) => !range.isRetired).map((range) => range.allocator);
  }
}
