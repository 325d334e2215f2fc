import { randomInt } from "node:crypto";

// KEP-3668: as for addresses, the first ports are left to those who choose theirs.
const STATIC_MIN = 16;
const STATIC_MAX = 128;
const STATIC_PART = 32;

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Which node ports are taken, over all protocols. */
export class PortAllocator {
  readonly range: PortRange;
  readonly #taken = new Set<number>();

  constructor(range: PortRange) {
    this.range = range;
  }

  /** Returns why the port cannot be had, in upstream's words, or undefined. */
  take(port: number): string | undefined {
    const { first, last } = this.range;
    if (port < first || port > last) return `provided port is not in the valid range. The range of valid ports is ${first}-${last}`;
    if (this.#taken.has(port)) return "provided port is already allocated";
    this.#taken.add(port);
    return undefined;
  }

  takeNext(): number | undefined {
    const { first, last } = this.range;
    const size = last - first + 1;
    const reserved = Math.min(Math.max(STATIC_MIN, Math.floor(size / STATIC_PART)), STATIC_MAX);
    const dynamicFrom = reserved < size ? first + reserved : first;
    return this.#pick(dynamicFrom, last) ?? this.#pick(first, dynamicFrom - 1);
  }

  release(port: number): void {
    this.#taken.delete(port);
  }

  #pick(from: number, to: number): number | undefined {
    const span = to - from + 1;
    if (span <= 0) return undefined;
    const start = randomInt(span);
    for (let i = 0; i < span; i++) {
      const port = from + ((start + i) % span);
      if (this.#taken.has(port)) continue;
      this.#taken.add(port);
      return port;
    }
    return undefined;
  }
}
