// The whole table at once: for the first synchronisation, and for the one after a failure.
import { formatAddrPort } from "#ip";
import { type Chain, type Change, type Element, formatKey, type NftSet, type SetHeader, type Table } from "#nft";
import { frontendKey } from "../compile.ts";
import type { ClusterCidrs } from "../types.ts";
import { elementsOf, type Numbered, type Placed, sharedBy } from "./elements.ts";
import { chainByName, FAMILIES, FIRST_NUMBER, neededBy, SETS, skeleton } from "./layout.ts";

/** The numbers that backends have in a table that was read, by frontend key. */
export function slotsIn(table: Table | undefined): Map<string, Numbered> {
  const slots = new Map<string, { readonly slots: string[]; readonly inside: string[] }>();
  for (const set of table?.sets ?? []) {
    if (!FAMILIES.some((family) => SETS[family].endpoints.name === set.name)) continue;
    for (const { key, data } of set.elements) {
      const [addr, protocol, port, index] = key;
      if (!isAddr(addr) || typeof protocol !== "number" || typeof port !== "number" || typeof index !== "number") continue;
      if (data === undefined || "kind" in data) continue;
      const [backend, backendPort] = data;
      if (!isAddr(backend) || typeof backendPort !== "number") continue;
      const id = frontendKey(addr, protocol, port);
      const lists = slots.get(id) ?? { slots: [], inside: [] };
      if (index < FIRST_NUMBER.inside) lists.slots[index] = formatAddrPort(backend, backendPort);
      else if (index < 2 * FIRST_NUMBER.inside) lists.inside[index - FIRST_NUMBER.inside] = formatAddrPort(backend, backendPort);
      slots.set(id, lists);
    }
  }
  return slots;
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
    const { chain: before, set } = neededBy(name);
    if (before !== undefined) need(before);
    if (set !== undefined) sets.set(set.name, set);
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

const CHUNK = 500;

/**
 * The steps of a difference that is too large for one transaction, in groups that may happen one after another.
 * A table that is new: structure, elements, and at last the rules, so that no packet meets the half of it. A table that is in use:
 * structure, then frontend by frontend.
 */
export function inGroups(changes: readonly Change[], isNew: boolean): Change[][] {
  const structure = changes.filter((change) => !isElements(change));
  const elements = changes.filter((change) => isElements(change));
  if (!isNew) return [structure, ...byFrontend(elements)];
  const rules = structure.filter((change) => change.op === "add rule" || (change.op === "add chain" && change.base !== undefined));
  const before = structure.filter((change) => !rules.includes(change));
  return [before, ...elements.flatMap(chunks), rules];
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
