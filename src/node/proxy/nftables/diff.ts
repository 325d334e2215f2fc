// From what is in the kernel to what should be there, for the frontends that changed. `Programmed` is our knowledge of the kernel,
// down to the number of each backend: a change of one frontend touches that frontend's elements and no others.
import { FAMILIES } from "#ip";
import { type Change, type Element, formatData, formatKey, type SetHeader } from "#nft";
import type { Frontend } from "../types.ts";
import { type Emit, elementsOf, type Numbered, numbered, type Placed, placeFrontend, sharedBy } from "./elements.ts";
import { AFFINITY_MAPS, affinityMap, TABLE } from "./layout.ts";
import { chainByName, neededBy } from "./on-demand.ts";
import { Owners } from "./owners.ts";

interface Counted {
  readonly set: SetHeader;
  readonly element: Element;
  count: number;
}

interface ProgrammedInput {
  readonly owners?: Owners;
  readonly placed?: Iterable<Placed>;
  readonly chains?: Iterable<string>;
  readonly sets?: Iterable<string>;
}

/** Elements to go and to come, per set. */
type Delta = Map<SetHeader, { readonly remove: Map<string, Element>; readonly add: Map<string, Element> }>;

export class Programmed {
  readonly owners: Owners;
  readonly #placed = new Map<string, Placed>();
  /** Elements that several frontends need, and how many do. */
  readonly #shared = new Map<string, Counted>();
  readonly #chains = new Set<string>();
  readonly #sets = new Set<string>();

  /** `chains` and `sets` that were made on demand and are in the kernel; `owners` have been claimed for all of `placed`. */
  constructor({ owners = new Owners(), placed = [], chains = [], sets = [] }: ProgrammedInput = {}) {
    this.owners = owners;
    for (const each of placed) this.#remember(each);
    for (const chain of chains) this.#chains.add(chain);
    for (const set of sets) this.#sets.add(set);
  }

  get(key: string): Placed | undefined {
    return this.#placed.get(key);
  }

  /** Frontends and backends. */
  get size(): number {
    let size = 0;
    for (const { frontend } of this.#placed.values()) size += 1 + frontend.backends.length + (frontend.inside?.length ?? 0);
    return size;
  }

  /** Affinity maps that exist. */
  affinityMaps(): SetHeader[] {
    const all = FAMILIES.flatMap((family) => Array.from({ length: AFFINITY_MAPS }, (_, i) => affinityMap(family, i)));
    return all.filter(({ name }) => this.#sets.has(name));
  }

  /** The steps that add frontends to a table that has none of them. */
  load(frontends: readonly Frontend[]): Change[] {
    const elements = new Map<SetHeader, Element[]>();
    const emit: Emit = (set, element) => {
      const list = elements.get(set);
      if (list === undefined) elements.set(set, [element]);
      else list.push(element);
    };
    for (const frontend of frontends) this.#remember(placeFrontend(frontend, undefined, this.owners.claim(frontend)), emit);
    const add = [...elements].map(([set, list]): Change => ({ op: "add elements", table: TABLE, set, elements: list }));
    return [...this.#onDemand(add), ...add];
  }

  /**
   * The steps that make `key` hold `next` (undefined: nothing), for each of `updates`. From then on they count as done: where the
   * kernel refuses them, this object is of no more use, and another is made from what the kernel holds.
   */
  update(updates: ReadonlyMap<string, Frontend | undefined>): Change[] {
    const delta: Delta = new Map();
    const emit: Emit = (set, element) => come(delta, set, element);
    const released: Frontend[] = [];
    for (const [key, next] of updates) {
      const old = this.#placed.get(key);
      if (old?.frontend === next) continue;
      const numbers = old && numbered(old);
      const placed = next && placeFrontend(next, numbers, this.owners.claim(next));
      if (old !== undefined) {
        this.#forget(old, delta, placed && numbered(placed));
        released.push(old.frontend);
      }
      if (placed !== undefined) this.#remember(placed, emit, numbers);
    }
    // Not before all have claimed: a number that goes from one service port to another in one step would take its clients along.
    for (const frontend of released) this.owners.release(frontend);
    const { remove, add } = elementChanges(delta);
    return [...this.#onDemand(add), ...remove, ...add];
  }

  #remember(placed: Placed, emit?: Emit, old?: Numbered): void {
    this.#placed.set(placed.frontend.key, placed);
    if (emit !== undefined) elementsOf(placed, emit, old);
    sharedBy(placed, (set, element) => {
      const id = `${set.name} ${formatKey(set, element)}`;
      const counted = this.#shared.get(id);
      if (counted !== undefined) {
        counted.count++;
        return;
      }
      this.#shared.set(id, { set, element, count: 1 });
      emit?.(set, element);
    });
  }

  #forget(placed: Placed, delta: Delta, next: Numbered | undefined): void {
    this.#placed.delete(placed.frontend.key);
    elementsOf(placed, (set, element) => go(delta, set, element), next);
    sharedBy(placed, (set, element) => {
      const id = `${set.name} ${formatKey(set, element)}`;
      const counted = this.#shared.get(id);
      if (counted === undefined || --counted.count > 0) return;
      this.#shared.delete(id);
      go(delta, set, element);
    });
  }

  /** Chains, and the maps they use, that elements refer to for the first time. They stay when no element does: they are few. */
  #onDemand(changes: readonly Change[]): Change[] {
    const out: Change[] = [];
    for (const change of changes) {
      if (change.op !== "add elements" || change.set.data !== "verdict") continue;
      for (const { data } of change.elements) if (data !== undefined && "kind" in data && "chain" in data) this.#need(data.chain, out);
    }
    return out;
  }

  #need(name: string, out: Change[]): void {
    const chain = chainByName(name);
    if (chain === undefined || this.#chains.has(name)) return;
    const { chain: before, sets } = neededBy(name);
    if (before !== undefined) this.#need(before, out);
    for (const set of sets) {
      if (this.#sets.has(set.name)) continue;
      this.#sets.add(set.name);
      out.push({ op: "add set", table: TABLE, set });
    }
    this.#chains.add(name);
    out.push({ op: "add chain", table: TABLE, chain: name });
    for (const rule of chain.rules) out.push({ op: "add rule", table: TABLE, chain: name, rule });
  }
}

function sideOf(delta: Delta, set: SetHeader): { remove: Map<string, Element>; add: Map<string, Element> } {
  const side = delta.get(set);
  if (side !== undefined) return side;
  const fresh = { remove: new Map<string, Element>(), add: new Map<string, Element>() };
  delta.set(set, fresh);
  return fresh;
}

function go(delta: Delta, set: SetHeader, element: Element): void {
  const { remove, add } = sideOf(delta, set);
  const key = formatKey(set, element);
  // What came in this very step has never been in the kernel.
  if (!add.delete(key)) remove.set(key, element);
}

function come(delta: Delta, set: SetHeader, element: Element): void {
  const { remove, add } = sideOf(delta, set);
  const key = formatKey(set, element);
  const old = remove.get(key);
  if (old !== undefined && isSame(set, old, element)) remove.delete(key);
  else add.set(key, element);
}

function isSame(set: SetHeader, a: Element, b: Element): boolean {
  if (a.comment !== b.comment) return false;
  return a.data === undefined || b.data === undefined || formatData(set, a.data) === formatData(set, b.data);
}

function elementChanges(delta: Delta): { readonly remove: Change[]; readonly add: Change[] } {
  const remove: Change[] = [];
  const add: Change[] = [];
  for (const [set, side] of delta) {
    if (side.remove.size > 0) remove.push({ op: "delete elements", table: TABLE, set, elements: [...side.remove.values()] });
    if (side.add.size > 0) add.push({ op: "add elements", table: TABLE, set, elements: [...side.add.values()] });
  }
  return { remove, add };
}
