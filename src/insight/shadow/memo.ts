// What is the same stays the same object, so that whoever indexes it (prepareNetwork, prepareTable, prepareSet) need not do so again.
import type { NftSet, Table } from "#nft";

interface Made {
  readonly inputs: readonly unknown[];
  readonly value: unknown;
}

/** Remembers what was made last, by name, for as long as each run asks for it. */
export class Memo {
  #known: ReadonlyMap<string, Made> = new Map();
  #current = new Map<string, Made>();

  /** What `make` gave the last time, where all `inputs` are the same objects. Two callers of one name must want the same type. */
  get<T>(name: string, inputs: readonly unknown[], make: (old: T | undefined) => T): T {
    const known = this.#current.get(name) ?? this.#known.get(name);
    const old = known?.value as T | undefined;
    if (known !== undefined && sameItems(known.inputs, inputs)) {
      this.#current.set(name, known);
      return known.value as T;
    }
    const value = make(old);
    this.#current.set(name, { inputs, value });
    return value;
  }

  /** The list of the last time, where it has the same items. */
  list<T>(name: string, items: readonly T[]): readonly T[] {
    return this.get(name, items, () => items);
  }

  /** Forgets what the run that ends here has not asked for. */
  endRun(): void {
    this.#known = this.#current;
    this.#current = new Map();
  }
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

/** `next`, with the sets of `old` where they are equal; `old` itself where all is. */
export function keepEqual(old: Table | undefined, next: Table): Table {
  if (old === undefined) return next;
  const before = new Map(old.sets.map((set) => [set.name, set]));
  const sets = next.sets.map((set): NftSet => {
    const other = before.get(set.name);
    return other !== undefined && isEqual(other, set) ? other : set;
  });
  const same = sets.length === old.sets.length && sets.every((set, i) => set === old.sets[i]) && isEqual(old.chains, next.chains);
  return same && old.comment === next.comment ? old : { ...next, sets };
}

/** Of plain data. */
function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && sameItems([...a], [...b]);
  }
  const [own, others] = [Object.entries(a), Object.entries(b)];
  return own.length === others.length && own.every(([key, value], i) => others[i]?.[0] === key && isEqual(value, others[i]?.[1]));
}
