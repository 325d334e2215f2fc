// The whole table at once: for the first synchronisation, and for the one after a failure.
import { type Chain, type Change, diffTable, type Element, formatKey, type NftSet, type SetHeader, type Table } from "#nft";
import type { ClusterCidrs, Frontend } from "../types.ts";
import type { Programmed } from "./diff.ts";
import { type Emit, elementsOf, type Placed, sharedBy } from "./elements.ts";
import { skeleton } from "./layout.ts";
import { chainByName, neededBy } from "./on-demand.ts";
import type { Reading } from "./reading.ts";

interface Found {
  readonly current: Table;
  readonly reading: Reading;
}

export interface DesiredTable {
  readonly table: Table;
  /** Chains and sets in it that were made on demand. */
  readonly chains: readonly string[];
  readonly sets: readonly string[];
}

/**
 * All that should be there, but for the backends that `reading` has found in their places. Chains that were made on demand stay, whether
 * used now or not; the next change may need them.
 */
export function desiredTable(placed: Iterable<Placed>, cidrs: ClusterCidrs, { current, reading }: Found): DesiredTable {
  const base = skeleton(cidrs);
  const elements = new Map<string, Element[]>(base.sets.map((set) => [set.name, [...set.elements]]));
  const chains = new Map<string, Chain>();
  const sets = new Map<string, SetHeader>();
  const need = (name: string): void => {
    const chain = chainByName(name);
    if (chain === undefined || chains.has(name)) return;
    const { chain: before, sets: used } = neededBy(name);
    if (before !== undefined) need(before);
    for (const set of used) sets.set(set.name, set);
    chains.set(name, chain);
  };
  for (const chain of current.chains) need(chain.name);
  const shared = new Set<string>();
  for (const each of placed) {
    const emit: Emit = (set, element) => {
      const list = elements.get(set.name);
      // A set that is made on demand.
      if (list === undefined) elements.set(set.name, [element]);
      else list.push(element);
      if (element.data !== undefined && "kind" in element.data && "chain" in element.data) need(element.data.chain);
    };
    elementsOf(each, emit, reading.of(each.frontend.key));
    sharedBy(each, (set, element) => {
      const id = `${set.name} ${formatKey(set, element)}`;
      if (shared.has(id)) return;
      shared.add(id);
      elements.get(set.name)?.push(element);
    });
  }
  const filled = base.sets.map((set): NftSet => ({ ...set, elements: elements.get(set.name) ?? [] }));
  const onDemand = [...sets.values()].map((set): NftSet => ({ ...set, elements: elements.get(set.name) ?? [] }));
  return {
    table: { ...base, sets: [...filled, ...onDemand], chains: [...chains.values(), ...base.chains] },
    chains: [...chains.keys()],
    sets: [...sets.keys()],
  };
}

/** Elements that one step of a first load makes at most, but for the last frontend's: what they take is not kept. */
const LOAD = 2000;

/**
 * The transactions that make a table that is not there, one after another: the rules are in the last, so no packet meets the half of
 * it. `programmed` knows of nothing yet, and counts each step as done.
 */
export function* firstLoad(programmed: Programmed, frontends: Iterable<Frontend>, cidrs: ClusterCidrs): Generator<Change[]> {
  const { structure, elements, rules } = parts(diffTable(undefined, skeleton(cidrs)).changes);
  let step: Change[] = [...structure, ...elements];
  let some: Frontend[] = [];
  let size = 0;
  for (const frontend of frontends) {
    if (size > LOAD) {
      yield [...step, ...programmed.load(some)];
      step = [];
      some = [];
      size = 0;
    }
    some.push(frontend);
    size += 1 + frontend.backends.length + (frontend.inside?.length ?? 0);
  }
  yield [...step, ...programmed.load(some), ...rules];
}

const CHUNK = 500;

/**
 * The steps of a difference that is too large for one transaction, in groups that may happen one after another.
 * A table that is new: structure, elements, and at last the rules, so that no packet meets the half of it. A table that is in use:
 * structure, then frontend by frontend.
 */
export function inGroups(changes: readonly Change[], isNew: boolean): (readonly Change[])[] {
  const { structure, elements, rules } = parts(changes);
  if (!isNew) return [changes.filter((change) => !isElements(change)), ...byFrontend(elements)];
  return [structure, ...elements.flatMap(chunks), rules];
}

interface Parts {
  readonly structure: readonly Change[];
  readonly elements: readonly ElementsChange[];
  /** With the base chains. */
  readonly rules: readonly Change[];
}

function parts(changes: readonly Change[]): Parts {
  const isRule = (change: Change): boolean => change.op === "add rule" || (change.op === "add chain" && change.base !== undefined);
  return {
    structure: changes.filter((change) => !isElements(change) && !isRule(change)),
    elements: changes.filter(isElements),
    rules: changes.filter(isRule),
  };
}

type ElementsChange = Change & { op: "add elements" | "delete elements" };

function isElements(change: Change): change is ElementsChange {
  return change.op === "add elements" || change.op === "delete elements";
}

function chunks(change: ElementsChange): Change[][] {
  const out: Change[][] = [];
  for (let i = 0; i < change.elements.length; i += CHUNK) out.push([{ ...change, elements: change.elements.slice(i, i + CHUNK) }]);
  return out;
}

/** What frontends share comes before they need it, and goes after. */
function byFrontend(changes: readonly ElementsChange[]): Change[][] {
  const groups = new Map<string, Change[]>();
  const first: Change[] = [];
  const last: Change[] = [];
  for (const change of changes) {
    if (change.set.key.length < 3) {
      (change.op === "add elements" ? first : last).push(change);
      continue;
    }
    for (const element of change.elements) {
      const id = formatKey({ ...change.set, key: change.set.key.slice(0, 3) }, { key: element.key.slice(0, 3) });
      const group = groups.get(id) ?? [];
      group.push({ ...change, elements: [element] });
      groups.set(id, group);
    }
  }
  return [...first.filter(isElements).flatMap(chunks), ...groups.values(), ...last.filter(isElements).flatMap(chunks)];
}
