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

/** What has been compared: nodes have sets in common. The last of each. */
const COMPARED: WeakMap<NftSet, { readonly other: NftSet; readonly equal: boolean }> = new WeakMap();

function isEqualSet(old: NftSet, next: NftSet): boolean {
  if (old === next) return true;
  const known = COMPARED.get(next);
  if (known?.other === old) return known.equal;
  const equal = old.elements.length === next.elements.length && isEqual(old, next);
  COMPARED.set(next, { other: old, equal });
  return equal;
}

/** `next`, with the sets of `old` where they are equal; `old` itself where all is. */
export function keepEqual(old: Table | undefined, next: Table): Table {
  if (old === undefined) return next;
  const before = new Map(old.sets.map((set) => [set.name, set]));
  const sets = next.sets.map((set): NftSet => {
    const other = before.get(set.name);
    return other !== undefined && isEqualSet(other, set) ? other : set;
  });
  const same = sets.length === old.sets.length && sets.every((set, i) => set === old.sets[i]) && isEqual(old.chains, next.chains);
  return same && old.comment === next.comment ? old : { ...next, sets };
}

/** Of plain data whose fields were made in one order. */
function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (isList(a)) return isList(b) && isEqualList(a, b);
  if (isList(b)) return false;
  const [own, others] = [Object.keys(a), Object.keys(b)];
  return own.length === others.length && own.every((key, i) => others[i] === key && isEqual(Reflect.get(a, key), Reflect.get(b, key)));
}

function isList(value: object): value is readonly unknown[] | Uint8Array {
  return Array.isArray(value) || value instanceof Uint8Array;
}

/** There may be thousands: a loop makes nothing that has to be collected. */
function isEqualList(a: readonly unknown[] | Uint8Array, b: readonly unknown[] | Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!isEqual(a[i], b[i])) return false;
  return true;
}
