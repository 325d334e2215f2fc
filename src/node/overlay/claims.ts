// Which node has which addresses. Finds overlaps without comparing every block with every other.
import { formatPrefix, maskPrefix, type Prefix } from "#ip";

export interface Claim {
  readonly podCidr: Prefix;
  readonly node: string;
}

export class Claims {
  /** By prefix: the claim itself, and any claim that lies inside. */
  readonly #exact = new Map<string, Claim>();
  readonly #inside = new Map<string, Claim>();
  readonly #lengths: readonly number[];

  /** `lengths` are those of all prefixes that will be asked for. */
  constructor(lengths: Iterable<number>) {
    this.#lengths = [...new Set(lengths)];
  }

  /** A claim that overlaps `podCidr`: one that contains it, or lies inside of it. */
  overlapping(podCidr: Prefix): Claim | undefined {
    for (const prefix of this.#shorter(podCidr)) {
      const claim = this.#exact.get(prefix);
      if (claim !== undefined) return claim;
    }
    return this.#inside.get(formatPrefix(podCidr));
  }

  add(claim: Claim): void {
    this.#exact.set(formatPrefix(claim.podCidr), claim);
    for (const prefix of this.#shorter(claim.podCidr)) if (!this.#inside.has(prefix)) this.#inside.set(prefix, claim);
  }

  #shorter(prefix: Prefix): string[] {
    return this.#lengths.filter((bits) => bits <= prefix.bits).map((bits) => formatPrefix(maskPrefix({ addr: prefix.addr, bits })));
  }
}
