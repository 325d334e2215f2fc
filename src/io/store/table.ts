// The keys of one table in memory: present versions in key order, and the recent events that watches resume from and that older
// states are rebuilt with.
import { type Entry, type ListOptions, type Page, StoreError, type StoreEvent } from "./types.ts";

export interface HistoryLimits {
  /** Events kept per table at most. */
  readonly events: number;
  /** Events older than this go first, down to `fewest`. */
  readonly ageMs: number;
  readonly fewest: number;
}

export class Table<V> {
  readonly #limits: HistoryLimits;
  readonly #entries = new Map<string, Entry<V>>();
  /** In order; undefined until somebody asks, so that loading sorts once. */
  #keys: string[] | undefined;
  #events: StoreEvent<V>[] = [];
  #times: number[] = [];
  /** Events up to this revision are forgotten. */
  #floor: number;

  constructor(limits: HistoryLimits, floor: number) {
    this.#limits = limits;
    this.#floor = floor;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Entry<V> | undefined {
    return this.#entries.get(key);
  }

  /** Takes in what happened. `remember: false` while loading what is older than the history. */
  apply(event: StoreEvent<V>, now: number, remember = true): void {
    if (event.type === "put") {
      if (!this.#entries.has(event.key)) this.#addKey(event.key);
      this.#entries.set(event.key, event.entry);
    } else {
      this.#entries.delete(event.key);
      this.#removeKey(event.key);
    }
    if (!remember) return;
    this.#events.push(event);
    this.#times.push(now);
    this.#forget(now);
  }

  since(after: number): readonly StoreEvent<V>[] {
    this.#checkKnown(after);
    return this.#events.slice(this.#firstAfter(after));
  }

  list(options: ListOptions, revision: number): Page<V> {
    const at = options.revision ?? revision;
    if (at > revision) throw new StoreError("Future", `revision ${at} has not happened yet; the store is at ${revision}`, { revision });
    const changed = at < revision && (this.#events.at(-1)?.revision ?? 0) > at;
    const view = changed ? this.#viewAt(at) : { keys: this.#orderedKeys(), entries: this.#entries };
    const prefix = options.prefix ?? "";
    const begin = options.after === undefined ? lowerBound(view.keys, prefix) : upperBound(view.keys, options.after);
    const end = endOfPrefix(view.keys, prefix);
    const stop = Math.max(begin, Math.min(end, begin + (options.limit ?? Number.POSITIVE_INFINITY)));
    const entries: Entry<V>[] = [];
    for (let i = begin; i < stop; i++) {
      const entry = view.entries.get(view.keys[i] ?? "");
      if (entry !== undefined) entries.push(entry);
    }
    return { entries, remaining: Math.max(0, end - stop), revision: at };
  }

  /** The state at an older revision: the present one with the later events undone, newest first. */
  #viewAt(revision: number): { keys: string[]; entries: Map<string, Entry<V>> } {
    this.#checkKnown(revision);
    const entries = new Map(this.#entries);
    const first = this.#firstAfter(revision);
    for (let i = this.#events.length - 1; i >= first; i--) {
      const event = this.#events[i];
      if (event === undefined) continue;
      if (event.previous === undefined) entries.delete(event.key);
      else entries.set(event.key, event.previous);
    }
    return { keys: [...entries.keys()].sort(), entries };
  }

  #checkKnown(revision: number): void {
    if (revision >= this.#floor) return;
    const message = `the events after revision ${revision} are forgotten; the oldest revision known is ${this.#floor}`;
    throw new StoreError("Compacted", message, { revision, floor: this.#floor });
  }

  #firstAfter(revision: number): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** In blocks, so that the cost of moving the rest is paid rarely. */
  #forget(now: number): void {
    const { events, ageMs, fewest } = this.#limits;
    let drop = 0;
    if (this.#events.length > events + (events >> 2)) drop = this.#events.length - events;
    const block = Math.max(16, fewest >> 2);
    while (this.#events.length - drop > fewest + block && (this.#times[drop + block] ?? now) < now - ageMs) drop += block;
    if (drop === 0) return;
    this.#floor = this.#events[drop - 1]?.revision ?? this.#floor;
    this.#events = this.#events.slice(drop);
    this.#times = this.#times.slice(drop);
  }

  #addKey(key: string): void {
    const keys = this.#keys;
    if (keys !== undefined) keys.splice(lowerBound(keys, key), 0, key);
  }

  #removeKey(key: string): void {
    const keys = this.#keys;
    const i = keys === undefined ? -1 : lowerBound(keys, key);
    if (keys?.[i] === key) keys.splice(i, 1);
  }

  #orderedKeys(): string[] {
    this.#keys ??= [...this.#entries.keys()].sort();
    return this.#keys;
  }
}

/** The index of the first key that is not before `text`. */
function lowerBound(keys: readonly string[], text: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] ?? "") < text) low = middle + 1;
    else high = middle;
  }
  return low;
}

function upperBound(keys: readonly string[], text: string): number {
  const i = lowerBound(keys, text);
  return keys[i] === text ? i + 1 : i;
}

function endOfPrefix(keys: readonly string[], prefix: string): number {
  return prefix === "" ? keys.length : lowerBound(keys, `${prefix}\uffff`);
}
