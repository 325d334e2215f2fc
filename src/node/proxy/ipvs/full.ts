// Everything at once: for the first synchronisation, and for the one after a failure. Pure.
import { type Addr, FAMILIES, formatAddr } from "#ip";
import { type Change, diffTable, type Element, formatKey, type NftSet, type Table } from "#nft";
import { frontendKey } from "../compile.ts";
import type { ClusterCidrs, Frontend } from "../types.ts";
import { type Entry, elementsOf, type Server, sharedBy } from "./compile.ts";
import { type Place, Programmed, type Steps } from "./diff.ts";
import { SETS, skeleton } from "./layout.ts";

/** What of ours the kernel holds. */
export interface Current {
  readonly table: Table | undefined;
  /** By `serverId`. */
  readonly servers: ReadonlyMap<string, Server>;
  /** Addresses that are local because of a route of ours. */
  readonly bound: readonly Addr[];
}

export interface Replacement {
  readonly programmed: Programmed;
  readonly steps: Steps;
  /** Chains that are left over from another version (see `Diff.cleanup`). */
  readonly cleanup: readonly Change[];
}

export interface Wanted {
  readonly frontends: readonly Frontend[];
  readonly cidrs: ClusterCidrs;
  readonly place: Place;
}

export function replacement(current: Current, { frontends, cidrs, place }: Wanted): Replacement {
  const steps: Steps = { before: [], set: [], bind: [], unbind: [], remove: [], after: [] };
  const programmed = new Programmed(place);
  const { entries, orphans } = entriesIn(current);
  for (const frontend of frontends) {
    const { key, addr, protocol, port } = frontend;
    programmed.adopt(entries.get(key) ?? { ...NOTHING, key, addr, protocol, port }, frontend, steps);
    entries.delete(key);
  }
  for (const entry of entries.values()) programmed.adopt(entry, undefined, steps);
  for (const { service } of orphans) steps.remove.push({ op: "delete service", service });
  const { changes, cleanup } = diffTable(current.table, desiredTable(programmed.entries(), cidrs));
  const phases = inPhases(changes);
  steps.before.push(...phases.before);
  steps.after.push(...phases.after);
  diffBound(current.bound, programmed.entries(), steps);
  return { programmed, steps, cleanup };
}

const NOTHING = { frontend: undefined, comment: "", isVip: false, mark: undefined, servers: new Map<string, Server>() } as const;

/** What is known of a frontend from the elements that stand for it. */
interface Noted {
  readonly addr: Addr;
  readonly protocol: number;
  readonly port: number;
  readonly comment: string;
}

export function frontendsIn(table: Table | undefined): Map<string, Noted> {
  const found = new Map<string, Noted>();
  for (const [element, { addr, protocol, port }] of frontendElements(table, ["frontends", "leaving"])) {
    found.set(frontendKey(addr, protocol, port), { addr, protocol, port, comment: element.comment ?? "" });
  }
  return found;
}

function* frontendElements(
  table: Table | undefined,
  which: readonly ("frontends" | "leaving" | "marks")[],
): Generator<[Element, Omit<Noted, "comment">]> {
  const names = new Set(FAMILIES.flatMap((family) => which.map((set) => SETS[family][set].name)));
  for (const set of table?.sets ?? []) {
    for (const element of names.has(set.name) ? set.elements : []) {
      const [addr, protocol, port] = element.key;
      if (typeof addr !== "object" || !("family" in addr) || typeof protocol !== "number" || typeof port !== "number") continue;
      yield [element, { addr, protocol, port }];
    }
  }
}

/** Servers by the frontend that they are for. Those at a mark that no element explains are orphans. */
function entriesIn({ table, servers, bound }: Current): { readonly entries: Map<string, Entry>; readonly orphans: readonly Server[] } {
  const isBound = new Set(bound.map(formatAddr));
  const noted = frontendsIn(table);
  const marks = new Map<number, Noted>();
  for (const [{ data }, frontend] of frontendElements(table, ["marks"])) {
    const [mark] = data !== undefined && !("kind" in data) ? data : [];
    if (typeof mark === "number") marks.set(mark, { ...frontend, comment: "" });
  }
  const entries = new Map<string, Entry>();
  const orphans: Server[] = [];
  for (const [id, server] of servers) {
    const { service } = server;
    const mark = "fwmark" in service ? service.fwmark : undefined;
    const at = "fwmark" in service ? marks.get(service.fwmark) : service;
    if (at === undefined) {
      orphans.push(server);
      continue;
    }
    const { addr, protocol, port } = at;
    const key = frontendKey(addr, protocol, port);
    const isVip = isBound.has(formatAddr(addr));
    const { comment = "" } = noted.get(key) ?? {};
    const entry = entries.get(key) ?? { ...NOTHING, key, addr, protocol, port, comment, isVip };
    entries.set(key, { ...entry, mark: mark ?? entry.mark, servers: new Map(entry.servers).set(id, server) });
  }
  return { entries, orphans };
}

function desiredTable(entries: Iterable<Entry>, cidrs: ClusterCidrs): Table {
  const base = skeleton(cidrs);
  const elements = new Map(base.sets.map((set) => [set.name, [...set.elements]]));
  const shared = new Set<string>();
  for (const entry of entries) {
    elementsOf(entry, (set, element) => elements.get(set.name)?.push(element));
    sharedBy(entry, (set, element) => {
      const id = `${set.name} ${formatKey(set, element)}`;
      if (shared.has(id)) return;
      shared.add(id);
      elements.get(set.name)?.push(element);
    });
  }
  return { ...base, sets: base.sets.map((set): NftSet => ({ ...set, elements: elements.get(set.name) ?? [] })) };
}

function diffBound(bound: readonly Addr[], entries: Iterable<Entry>, steps: Steps): void {
  const rest = new Map(bound.map((addr) => [formatAddr(addr), addr]));
  const done = new Set<string>();
  for (const { addr, isVip } of entries) {
    const text = formatAddr(addr);
    if (!isVip || done.has(text)) continue;
    done.add(text);
    if (!rest.delete(text)) steps.bind.push(addr);
  }
  steps.unbind.push(...rest.values());
}

/** What only goes waits until IPVS has done its part; new marks too, which are of use only when IPVS knows them. */
function inPhases(changes: readonly Change[]): { readonly before: Change[]; readonly after: Change[] } {
  const added = new Set<string>();
  for (const change of changes) {
    if (change.op !== "add elements") continue;
    for (const element of change.elements) added.add(`${change.set.name} ${formatKey(change.set, element)}`);
  }
  const before: Change[] = [];
  const after: Change[] = [];
  for (const change of changes) {
    const isMarks = "set" in change && typeof change.set === "object" && change.set.name.startsWith("marks");
    if (change.op !== "delete elements") (isMarks && change.op === "add elements" ? after : before).push(change);
    else if (isMarks) before.push(change);
    else {
      const isReplaced = (element: Element): boolean => added.has(`${change.set.name} ${formatKey(change.set, element)}`);
      const now = change.elements.filter(isReplaced);
      const later = change.elements.filter((element) => !isReplaced(element));
      if (now.length > 0) before.push({ ...change, elements: now });
      if (later.length > 0) after.push({ ...change, elements: later });
    }
  }
  return { before, after };
}

const CHUNK = 500;

/** The same changes for more than one transaction: structure and elements before the rules that read them, so that no packet meets half a table. */
export function inGroups(changes: readonly Change[]): Change[][] {
  const isRule = ({ op }: Change): boolean => op === "add rule";
  const isBase = (change: Change): boolean => change.op === "add chain" && change.base !== undefined;
  const rules = changes.filter((change) => isRule(change) || isBase(change));
  const elements = changes.filter(({ op }) => op === "add elements" || op === "delete elements");
  const structure = changes.filter((change) => !rules.includes(change) && !elements.includes(change));
  return [structure, ...elements.flatMap(inChunks), rules];
}

function inChunks(change: Change): Change[][] {
  if (change.op !== "add elements" && change.op !== "delete elements") return [];
  const out: Change[][] = [];
  for (let i = 0; i < change.elements.length; i += CHUNK) out.push([{ ...change, elements: change.elements.slice(i, i + CHUNK) }]);
  return out;
}
