// The whole table at once: for the first synchronisation, and for the one after a failure.
import { formatAddrPort } from "#ip";
import { type Chain, type Change, diffTable, type Element, formatKey, type NftSet, type SetHeader, type Table } from "#nft";
import { frontendKey } from "../compile.ts";
import type { ClusterCidrs, Frontend } from "../types.ts";
import type { Programmed } from "./diff.ts";
import { elementsOf, type Numbered, type Placed, sharedBy } from "./elements.ts";
import { FAMILIES, FIRST_NUMBER, type Scope, SETS, skeleton } from "./layout.ts";
import { chainByName, neededBy, ownerIn } from "./on-demand.ts";
import type { OwnerNumbers } from "./owners.ts";

/** Numbers that the kernel has for a frontend. */
export interface Known extends Numbered {
  readonly owners: OwnerNumbers;
}

interface Reading {
  readonly slots: string[];
  readonly inside: string[];
  readonly owners: Partial<Record<Scope, number>>;
}

/** The numbers in a table that was read, by frontend key. */
export function numbersIn(table: Table | undefined): Map<string, Known> {
  const found = new Map<string, Reading>();
  const of = (key: string): Reading => {
    const reading = found.get(key) ?? { slots: [], inside: [], owners: {} };
    found.set(key, reading);
    return reading;
  };
  for (const set of table?.sets ?? []) {
    const sets = FAMILIES.map((family) => SETS[family]);
    if (sets.some(({ endpoints }) => endpoints.name === set.name)) for (const element of set.elements) readBackend(element, of);
    if (sets.some(({ services }) => services.name === set.name)) for (const element of set.elements) readOwner(element, "all", of);
    if (sets.some(({ inside }) => inside.name === set.name)) for (const element of set.elements) readOwner(element, "inside", of);
  }
  return found;
}

function readBackend({ key, data }: Element, of: (key: string) => Reading): void {
  const [addr, protocol, port, index] = key;
  if (!isAddr(addr) || typeof protocol !== "number" || typeof port !== "number" || typeof index !== "number") return;
  if (data === undefined || "kind" in data) return;
  const [backend, backendPort] = data;
  if (!isAddr(backend) || typeof backendPort !== "number") return;
  const { slots, inside } = of(frontendKey(addr, protocol, port));
  if (index < FIRST_NUMBER.inside) slots[index] = formatAddrPort(backend, backendPort);
  else if (index < 2 * FIRST_NUMBER.inside) inside[index - FIRST_NUMBER.inside] = formatAddrPort(backend, backendPort);
}

function readOwner({ key, data }: Element, scope: Scope, of: (key: string) => Reading): void {
  const [addr, protocol, port] = key;
  if (!isAddr(addr) || typeof protocol !== "number" || typeof port !== "number") return;
  if (data === undefined || !("kind" in data) || !("chain" in data)) return;
  const number = ownerIn(data.chain);
  if (number !== undefined) of(frontendKey(addr, protocol, port)).owners[scope] = number;
}

/** Numbers of service ports that are in use in a table that was read: in its rules, or by clients that are remembered. */
export function ownersIn(table: Table | undefined, known: ReadonlyMap<string, Known>): Set<number> {
  const numbers = new Set([...known.values()].flatMap(({ owners }) => Object.values(owners)));
  for (const set of table?.sets ?? []) {
    if (set.flags?.includes("dynamic") !== true) continue;
    for (const { key } of set.elements) if (typeof key[2] === "number") numbers.add(key[2]);
  }
  return numbers;
}

type Part = Element["key"][number];

function isAddr(part: Part | undefined): part is Extract<Part, { family: unknown }> {
  return typeof part === "object" && "family" in part;
}

export interface DesiredTable {
  readonly table: Table;
  /** Chains and sets in it that were made on demand. */
  readonly chains: readonly string[];
  readonly sets: readonly string[];
}

/** `current`: chains in it that were made on demand stay, whether used now or not; the next change may need them. */
export function desiredTable(placed: Iterable<Placed>, cidrs: ClusterCidrs, current: Table | undefined): DesiredTable {
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
  for (const chain of current?.chains ?? []) need(chain.name);
  const shared = new Set<string>();
  for (const each of placed) {
    elementsOf(each, (set, element) => {
      const list = elements.get(set.name);
      // A set that is made on demand.
      if (list === undefined) elements.set(set.name, [element]);
      else list.push(element);
      if (element.data !== undefined && "kind" in element.data && "chain" in element.data) need(element.data.chain);
    });
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
