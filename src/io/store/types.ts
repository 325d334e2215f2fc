import { FairleadError } from "#base";

/** One version of one key. Entries are never changed: a later version is another entry. */
export interface Entry<V> {
  readonly key: string;
  readonly value: V;
  /** The store's revision at which this version was written. */
  readonly revision: number;
}

/** What happened to one key. A put without `previous` created the key. */
export type StoreEvent<V> =
  | {
      readonly type: "put";
      readonly key: string;
      readonly revision: number;
      readonly entry: Entry<V>;
      readonly previous: Entry<V> | undefined;
    }
  | { readonly type: "delete"; readonly key: string; readonly revision: number; readonly previous: Entry<V> };

export interface ListOptions {
  /** Only keys that begin with this. */
  readonly prefix?: string | undefined;
  /** Only keys after this one. */
  readonly after?: string | undefined;
  readonly limit?: number | undefined;
  /** The state as it was at this revision; absent: now. Throws StoreError "Compacted" or "Future". */
  readonly revision?: number | undefined;
}

export interface Page<V> {
  /** In key order. */
  readonly entries: readonly Entry<V>[];
  /** How many keys of `prefix` come after the last entry. */
  readonly remaining: number;
  /** The revision at which the page is the truth. */
  readonly revision: number;
}

export interface WatchOptions<V> {
  /** Events after this revision. Throws StoreError "Compacted" when some of those are no longer known. */
  readonly after: number;
  /** Called in revision order with the events of one commit; first, before `watch` returns, with those that already happened. */
  readonly listener: (events: readonly StoreEvent<V>[]) => void;
}

/** How values become bytes. `stamp` gives the value that readers see once its revision is known; stamped values are what is encoded. */
export interface Codec<V> {
  encode(value: V): Uint8Array;
  decode(bytes: Uint8Array, revision: number): V;
  stamp(value: V, revision: number): V;
}

/**
 * Keys in tables (one per kind of object) under one revision that grows by one per write. Readers and watchers see a write when it is
 * durable and no earlier; `head` shows what was accepted so far, for read-modify-write.
 *
 * Reads are synchronous: an implementation over a remote log keeps a copy in memory and resolves writes once its copy has them.
 */
export interface Store<V> {
  /** The revision of the last durable write; at least 1, so that "0" stays free for "any version" (Kubernetes list semantics). */
  readonly revision: number;
  get(table: string, key: string): Entry<V> | undefined;
  /** As `get`, with the writes that are accepted but not yet durable: the version that `put` and `delete` compare `expected` with. */
  head(table: string, key: string): Entry<V> | undefined;
  list(table: string, options?: ListOptions): Page<V>;
  tables(): string[];
  /** `expected`: the revision that the key must have (0: it must not exist), else StoreError "Conflict". Resolves when durable. */
  put(table: string, key: string, value: V, expected?: number): Promise<Entry<V>>;
  /** Resolves with the revision of the deletion; StoreError "NotFound" when there is nothing. */
  delete(table: string, key: string, expected?: number): Promise<number>;
  /** Returns the function that ends the watch. */
  watch(table: string, options: WatchOptions<V>): () => void;
  /** Writes what is pending, then closes the file. */
  close(): void;
}

/**
 * `Conflict`: the key has another revision than expected. `NotFound`: delete of nothing. `Compacted`: the revision's history is gone.
 * `Future`: the revision has not happened yet. `InUse`: another process has the file. `Corrupt`: the file is not a store of ours.
 * `Unwritable`: the log could not be written (disk full), nothing of the batch was kept.
 */
export type StoreErrorCode = "Conflict" | "NotFound" | "Compacted" | "Future" | "InUse" | "Corrupt" | "Unwritable";

export class StoreError extends FairleadError {
  declare readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, facts: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message, { code, op: "store", facts, cause });
  }
}

export function isStoreError(err: unknown, code: StoreErrorCode): boolean {
  return err instanceof StoreError && err.code === code;
}
