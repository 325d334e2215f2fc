import { type Clock, systemClock } from "#base";
import { type Durability, Log, type LogRecord } from "./log.ts";
import { type HistoryLimits, Table } from "./table.ts";
import {
  type Codec,
  type Entry,
  type ListOptions,
  type Page,
  type Store,
  StoreError,
  type StoreEvent,
  type WatchOptions,
} from "./types.ts";

export interface EmbeddedStoreOptions<V> {
  /** A file, or ":memory:". */
  readonly path: string;
  readonly codec: Codec<V>;
  /** "normal" unless told. */
  readonly durability?: Durability;
  readonly clock?: Clock;
  readonly history?: Partial<HistoryLimits>;
  /** How many of the last writes the file keeps as events, for watches that resume after a restart. */
  readonly historyOnDisk?: number;
}

interface Pending<V> {
  readonly table: string;
  readonly event: StoreEvent<V>;
  readonly resolve: () => void;
  readonly reject: (err: unknown) => void;
}

const LIMITS: HistoryLimits = { events: 1024, ageMs: 5 * 60_000, fewest: 64 };
const HISTORY_ON_DISK = 4096;
/** Removing a row takes a few µs, so a block stays far below a millisecond's worth of a hundred requests. */
const COMPACTION_BLOCK = 256;

/**
 * The store of a single API server: the truth is in memory, behind it a log in SQLite. Writes of one turn of the event loop are one
 * transaction; they become visible and are acknowledged after it.
 */
export class EmbeddedStore<V> implements Store<V> {
  readonly #codec: Codec<V>;
  readonly #clock: Clock;
  readonly #limits: HistoryLimits;
  readonly #historyOnDisk: number;
  readonly #log: Log;
  readonly #tables = new Map<string, Table<V>>();
  readonly #listeners = new Map<string, Set<WatchOptions<V>["listener"]>>();
  /** Rows that a later one made useless, in the order of that later row. */
  #superseded: { readonly revision: number; readonly by: number }[] = [];
  #floor = 0;
  #revision = 1;
  #next = 2;
  #pending: Pending<V>[] = [];
  /** `table\0key` to its pending version; undefined: pending deletion. */
  #heads = new Map<string, Entry<V> | undefined>();
  #compacting = false;
  #closed = false;

  constructor(options: EmbeddedStoreOptions<V>) {
    this.#codec = options.codec;
    this.#clock = options.clock ?? systemClock;
    this.#limits = { ...LIMITS, ...options.history };
    this.#historyOnDisk = options.historyOnDisk ?? HISTORY_ON_DISK;
    this.#log = new Log(options.path, options.durability ?? "normal");
    this.#load();
  }

  get revision(): number {
    return this.#revision;
  }

  get(table: string, key: string): Entry<V> | undefined {
    return this.#tables.get(table)?.get(key);
  }

  head(table: string, key: string): Entry<V> | undefined {
    const id = headId(table, key);
    return this.#heads.has(id) ? this.#heads.get(id) : this.get(table, key);
  }

  list(table: string, options: ListOptions = {}): Page<V> {
    return this.#table(table).list(options, this.#revision);
  }

  tables(): string[] {
    return [...this.#tables.keys()].filter((name) => (this.#tables.get(name)?.size ?? 0) > 0);
  }

  async put(table: string, key: string, value: V, expected?: number): Promise<Entry<V>> {
    const previous = this.#expect(table, key, expected);
    const revision = this.#next;
    const entry: Entry<V> = { key, value: this.#codec.stamp(value, revision), revision };
    await this.#accept(table, { type: "put", key, revision, entry, previous }, entry);
    return entry;
  }

  async delete(table: string, key: string, expected?: number): Promise<number> {
    const previous = this.#expect(table, key, expected);
    if (previous === undefined) throw new StoreError("NotFound", `${table} ${key} is not in the store`, { table, key });
    const revision = this.#next;
    await this.#accept(table, { type: "delete", key, revision, previous }, undefined);
    return revision;
  }

  watch(table: string, options: WatchOptions<V>): () => void {
    const missed = this.#table(table).since(options.after);
    if (missed.length > 0) options.listener(missed);
    const listeners = this.#listeners.get(table) ?? new Set();
    this.#listeners.set(table, listeners);
    // A function of our own, so that the same listener may watch twice.
    const listener: WatchOptions<V>["listener"] = (events) => options.listener(events);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  close(): void {
    if (this.#closed) return;
    this.#commit();
    this.#closed = true;
    this.#log.close();
  }

  #expect(table: string, key: string, expected: number | undefined): Entry<V> | undefined {
    if (this.#closed) throw new StoreError("Unwritable", `Cannot write ${table} ${key}: the store is closed`);
    const present = this.head(table, key);
    if (expected !== undefined && expected !== (present?.revision ?? 0)) {
      const facts = { table, key, expected, revision: present?.revision ?? 0 };
      throw new StoreError("Conflict", `${table} ${key} is at revision ${facts.revision}, not ${expected}`, facts);
    }
    return present;
  }

  #accept(table: string, event: StoreEvent<V>, head: Entry<V> | undefined): Promise<void> {
    this.#next++;
    this.#heads.set(headId(table, event.key), head);
    if (this.#pending.length === 0) setImmediate(() => this.#commit());
    return new Promise((resolve, reject) => {
      this.#pending.push({ table, event, resolve, reject });
    });
  }

  #commit(): void {
    const batch = this.#pending;
    if (batch.length === 0) return;
    this.#pending = [];
    this.#heads.clear();
    try {
      this.#log.append(batch.map(({ table, event }) => this.#record(table, event)));
    } catch (err) {
      this.#next = this.#revision + 1;
      for (const write of batch) write.reject(err);
      return;
    }
    this.#publish(batch);
    for (const write of batch) write.resolve();
    this.#compactSoon();
  }

  #record(table: string, event: StoreEvent<V>): LogRecord {
    const bytes = event.type === "put" ? this.#codec.encode(event.entry.value) : undefined;
    return { revision: event.revision, table, key: event.key, bytes };
  }

  #publish(batch: readonly Pending<V>[]): void {
    const now = this.#clock.now();
    const perTable = new Map<string, StoreEvent<V>[]>();
    for (const { table, event } of batch) {
      this.#supersede(event);
      this.#table(table).apply(event, now);
      const events = perTable.get(table);
      if (events === undefined) perTable.set(table, [event]);
      else events.push(event);
      this.#revision = event.revision;
    }
    for (const [table, events] of perTable) {
      for (const listener of this.#listeners.get(table) ?? []) listener(events);
    }
  }

  #supersede(event: StoreEvent<V>): void {
    if (event.previous !== undefined) this.#superseded.push({ revision: event.previous.revision, by: event.revision });
    if (event.type === "delete") this.#superseded.push({ revision: event.revision, by: event.revision });
  }

  /** Removes rows whose successor has left the history on disk, a block per turn of the event loop. */
  #compactSoon(): void {
    if (this.#compacting || this.#superseded.length < this.#historyOnDisk * 2) return;
    this.#compacting = true;
    const floor = this.#revision - this.#historyOnDisk;
    const step = (): void => {
      if (this.#closed) return;
      const block: number[] = [];
      for (const row of this.#superseded) {
        if (row.by > floor || block.length === COMPACTION_BLOCK) break;
        block.push(row.revision);
      }
      if (block.length === 0) {
        this.#compacting = false;
        return;
      }
      try {
        this.#log.remove(block, { floor, revision: this.#revision });
        this.#superseded = this.#superseded.slice(block.length);
        this.#floor = floor;
        setImmediate(step);
      } catch {
        // The rows stay until a later compaction; a full disk is reported by the next write.
        this.#compacting = false;
      }
    };
    setImmediate(step);
  }

  #load(): void {
    const marks = this.#log.marks();
    this.#floor = marks.floor;
    this.#revision = Math.max(1, marks.revision);
    const now = this.#clock.now();
    for (const record of this.#log.records()) {
      const table = this.#table(record.table);
      const event = this.#replay(record, table.get(record.key));
      this.#revision = Math.max(this.#revision, record.revision);
      if (event === undefined) this.#superseded.push({ revision: record.revision, by: record.revision });
      else {
        this.#supersede(event);
        table.apply(event, now, record.revision > marks.floor);
      }
    }
    this.#next = this.#revision + 1;
  }

  #replay(record: LogRecord, previous: Entry<V> | undefined): StoreEvent<V> | undefined {
    const { key, revision, bytes } = record;
    if (bytes !== undefined)
      return { type: "put", key, revision, entry: { key, value: this.#codec.decode(bytes, revision), revision }, previous };
    return previous === undefined ? undefined : { type: "delete", key, revision, previous };
  }

  #table(name: string): Table<V> {
    const table = this.#tables.get(name) ?? new Table<V>(this.#limits, this.#floor);
    this.#tables.set(name, table);
    return table;
  }
}

function headId(table: string, key: string): string {
  return `${table}\0${key}`;
}
