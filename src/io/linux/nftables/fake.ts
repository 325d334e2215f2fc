// nf_tables in memory: tables, and the references between their objects, with the errors that the kernel gives.
import {
  type Chain,
  type Change,
  type Element,
  formatData,
  formatKey,
  formatRule,
  type NftSet,
  type Rule,
  type SetHeader,
  type Table,
  type TableId,
  type Verdict,
} from "#nft";
import { errnoNumber, KernelError } from "../kernel-error.ts";
import { MessageWriter } from "../netlink/index.ts";
import { describe } from "./describe.ts";
import { encodeChange } from "./encode.ts";
import type { NftSocket, OpenSink } from "./types.ts";

export interface FakeNftOptions {
  readonly maxBatchBytes?: number;
}

interface FakeSet {
  readonly header: SetHeader;
  readonly elements: ReadonlyMap<string, Element>;
}

interface FakeTable extends TableId {
  readonly comment?: string;
  readonly sets: ReadonlyMap<string, FakeSet>;
  readonly chains: ReadonlyMap<string, Chain>;
}

type Tables = ReadonlyMap<string, FakeTable>;

export class FakeNft implements NftSocket {
  readonly maxBatchBytes: number;
  /** Every transaction that was applied, in order. */
  readonly transactions: (readonly Change[])[] = [];
  #tables: Tables = new Map();
  /** Transactions of other processes, which a test may say there were. */
  others = 0;
  #generation = 1;
  #handle = 0;
  #failures: KernelError[] = [];
  /** Maps that this transaction made, and may change in place. */
  #fresh = new WeakSet<ReadonlyMap<string, Element>>();

  constructor(options: FakeNftOptions = {}) {
    this.maxBatchBytes = options.maxBatchBytes ?? 64 << 20;
  }

  /** The next transaction is refused with this errno. */
  failNext(errno: string): void {
    this.#failures.push(new KernelError({ op: "apply an nftables transaction", errno: errnoNumber(errno) }));
  }

  apply(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const size = batchBytes(changes);
    if (size > this.maxBatchBytes) throw new KernelError({ op: `send ${size} bytes`, errno: errnoNumber("EMSGSIZE") });
    const failure = this.#failures.shift();
    if (failure !== undefined) throw failure;
    let tables = this.#tables;
    this.#fresh = new WeakSet();
    for (const change of changes) tables = this.#step(tables, change);
    this.#tables = tables;
    this.#generation++;
    this.transactions.push(changes);
  }

  applyAll(groups: readonly (readonly Change[])[]): number {
    let transactions = 0;
    let pending: Change[] = [];
    let size = 0;
    const flush = (): void => {
      if (pending.length > 0) transactions++;
      this.apply(pending);
      pending = [];
      size = 0;
    };
    for (const group of groups) {
      const bytes = batchBytes(group);
      if (size + bytes > this.maxBatchBytes) flush();
      pending.push(...group);
      size += bytes;
    }
    flush();
    return transactions;
  }

  list(table: TableId, open?: OpenSink): Table | undefined {
    const found = this.#tables.get(idOf(table));
    if (found === undefined) return undefined;
    const { family, name, comment } = found;
    const sets = [...found.sets.values()].map(({ header, elements }): NftSet => {
      const sink = header.flags?.includes("interval") === true ? undefined : open?.(header);
      if (sink === undefined) return { ...header, elements: [...elements.values()] };
      for (const element of elements.values()) sink(element);
      return { ...header, elements: [] };
    });
    return { family, name, ...(comment !== undefined && { comment }), sets, chains: [...found.chains.values()] };
  }

  chains(table: TableId): readonly Chain[] | undefined {
    const found = this.#tables.get(idOf(table));
    return found && [...found.chains.values()];
  }

  elements(table: TableId, set: SetHeader): readonly Element[] {
    return [...(this.#tables.get(idOf(table))?.sets.get(set.name)?.elements.values() ?? [])];
  }

  tables(): TableId[] {
    return [...this.#tables.values()].map(({ family, name }) => ({ family, name }));
  }

  generation(): number {
    return this.#generation;
  }

  generationOfOthers(): number {
    return this.others;
  }

  close(): void {}

  #step(tables: Tables, change: Change): Tables {
    const id = idOf(change.table);
    const table = tables.get(id);
    if (change.op === "add table") {
      if (table !== undefined) return tables;
      const comment = change.comment === undefined ? {} : { comment: change.comment };
      return new Map(tables).set(id, { ...change.table, ...comment, sets: new Map(), chains: new Map() });
    }
    if (table === undefined) throw refuse(change, "ENOENT");
    if (change.op === "delete table") {
      const rest = new Map(tables);
      rest.delete(id);
      return rest;
    }
    return new Map(tables).set(id, this.#inTable(table, change));
  }

  #inTable(table: FakeTable, change: Change): FakeTable {
    switch (change.op) {
      case "add set":
        if (table.sets.has(change.set.name)) throw refuse(change, "EEXIST");
        return { ...table, sets: new Map(table.sets).set(change.set.name, { header: change.set, elements: new Map() }) };
      case "delete set":
        return { ...table, sets: deleteSet(table, change) };
      case "add elements":
      case "delete elements":
        return { ...table, sets: this.#changeElements(table, change) };
      case "add table":
      case "delete table":
        return table;
      default:
        return { ...table, chains: this.#inChains(table, change) };
    }
  }

  #inChains(
    table: FakeTable,
    change: Change & { op: "add chain" | "delete chain" | "flush chain" | "add rule" },
  ): ReadonlyMap<string, Chain> {
    const chains = new Map(table.chains);
    const chain = chains.get(change.chain);
    if (change.op === "add chain") {
      if (chain !== undefined) throw refuse(change, "EEXIST");
      const { base, comment } = change;
      return chains.set(change.chain, { name: change.chain, ...(base && { base }), ...(comment !== undefined && { comment }), rules: [] });
    }
    if (chain === undefined) throw refuse(change, "ENOENT");
    if (change.op === "flush chain") return chains.set(change.chain, { ...chain, rules: [] });
    if (change.op === "delete chain") {
      if (isReferenced(table, change.chain)) throw refuse(change, "EBUSY");
      chains.delete(change.chain);
      return chains;
    }
    checkReferences(table, change);
    return chains.set(change.chain, { ...chain, rules: [...chain.rules, { ...change.rule, handle: ++this.#handle }] });
  }

  #changeElements(table: FakeTable, change: Change & { op: "add elements" | "delete elements" }): ReadonlyMap<string, FakeSet> {
    const set = table.sets.get(change.set.name);
    if (set === undefined) throw refuse(change, "ENOENT");
    const elements = this.#own(set.elements);
    for (const [i, element] of change.elements.entries()) {
      const key = formatKey(set.header, element);
      const errno = change.op === "delete elements" ? remove(elements, key) : add({ table, set: set.header, elements }, key, element);
      if (errno !== undefined) throw refuse(change, errno, i);
    }
    return elements === set.elements ? table.sets : new Map(table.sets).set(change.set.name, { header: set.header, elements });
  }

  #own(elements: ReadonlyMap<string, Element>): Map<string, Element> {
    if (elements instanceof Map && this.#fresh.has(elements)) return elements;
    const copy = new Map(elements);
    this.#fresh.add(copy);
    return copy;
  }
}

function idOf(table: TableId): string {
  return `${table.family} ${table.name}`;
}

function batchBytes(changes: readonly Change[]): number {
  const w = new MessageWriter();
  for (const change of changes) encodeChange(w, change);
  return w.byteLength;
}

function refuse(change: Change, errno: string, element?: number): KernelError {
  return new KernelError({ op: describe(change, element), errno: errnoNumber(errno), facts: { change: change.op, table: change.table } });
}

/** Names of sets (after "@") and chains (after "jump" or "goto") in the rule's text. */
function references(rule: Rule, pattern: RegExp): string[] {
  return [...formatRule({ statements: rule.statements }).matchAll(pattern)].flatMap((match) => match[1] ?? []);
}

const SETS = /@([\w./-]+)/g;
const CHAINS = /\b(?:jump|goto) ([\w./-]+)/g;

function checkReferences(table: FakeTable, change: Change & { op: "add rule" }): void {
  const missing =
    references(change.rule, SETS).some((set) => !table.sets.has(set)) ||
    references(change.rule, CHAINS).some((chain) => !table.chains.has(chain));
  if (missing) throw refuse(change, "ENOENT");
}

function isReferenced(table: FakeTable, chain: string): boolean {
  for (const { name, rules } of table.chains.values()) {
    if (name !== chain && rules.some((rule) => references(rule, CHAINS).includes(chain))) return true;
  }
  for (const { header, elements } of table.sets.values()) {
    if (header.data !== "verdict") continue;
    for (const { data } of elements.values()) if (data !== undefined && targetOf(data) === chain) return true;
  }
  return false;
}

function targetOf(data: Element["data"]): string | undefined {
  return data !== undefined && isVerdict(data) && "chain" in data ? data.chain : undefined;
}

function isVerdict(data: NonNullable<Element["data"]>): data is Verdict {
  return "kind" in data;
}

function deleteSet(table: FakeTable, change: Change & { op: "delete set" }): ReadonlyMap<string, FakeSet> {
  const sets = new Map(table.sets);
  if (!sets.delete(change.set)) throw refuse(change, "ENOENT");
  for (const { rules } of table.chains.values()) {
    if (rules.some((rule) => references(rule, SETS).includes(change.set))) throw refuse(change, "EBUSY");
  }
  return sets;
}

function remove(elements: Map<string, Element>, key: string): string | undefined {
  return elements.delete(key) ? undefined : "ENOENT";
}

interface Into {
  readonly table: FakeTable;
  readonly set: SetHeader;
  readonly elements: Map<string, Element>;
}

function add({ table, set, elements }: Into, key: string, element: Element): string | undefined {
  const old = elements.get(key);
  if (old !== undefined) {
    const same = old.data === undefined || element.data === undefined || formatData(set, old.data) === formatData(set, element.data);
    return same ? undefined : "EEXIST";
  }
  const target = targetOf(element.data);
  if (target !== undefined && !table.chains.has(target)) return "ENOENT";
  if (set.size !== undefined && elements.size >= set.size) return "ENFILE";
  elements.set(key, element);
  return undefined;
}
