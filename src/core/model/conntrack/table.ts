// The connections of one namespace, during one walk: what was there before stays as it is, what changes lies above. Mirrors the hash
// table of net/netfilter/nf_conntrack_core.c.
import { tupleKey } from "./tuple.ts";
import { type Connection, type ConntrackEntry, STATUS, type Tuple } from "./types.ts";

interface Found {
  readonly connection: Connection;
  readonly direction: "original" | "reply";
}

type BaseIndex = ReadonlyMap<string, { readonly entry: ConntrackEntry; readonly direction: Found["direction"] }>;

const INDEXES: WeakMap<readonly ConntrackEntry[], BaseIndex> = new WeakMap();

function indexOf(entries: readonly ConntrackEntry[]): BaseIndex {
  const known = INDEXES.get(entries);
  if (known !== undefined) return known;
  const index = new Map<string, { entry: ConntrackEntry; direction: Found["direction"] }>();
  for (const entry of entries) {
    index.set(tupleKey(entry.original), { entry, direction: "original" });
    index.set(tupleKey(entry.reply), { entry, direction: "reply" });
  }
  INDEXES.set(entries, index);
  return index;
}

const NOTHING: readonly ConntrackEntry[] = [];

export class ConntrackTable {
  readonly #base: readonly ConntrackEntry[];
  readonly #now: number;
  readonly #found: Map<string, Found> = new Map();
  /** Connections of the base that a packet has met, and new ones. */
  readonly #connections: Map<ConntrackEntry | Connection, Connection> = new Map();

  constructor(base: readonly ConntrackEntry[] = NOTHING, now = 0) {
    this.#base = base;
    this.#now = now;
  }

  find(tuple: Tuple): Found | undefined {
    const key = tupleKey(tuple);
    const changed = this.#found.get(key);
    if (changed !== undefined) return changed;
    if (this.#base.length === 0) return undefined;
    const old = indexOf(this.#base).get(key);
    if (old === undefined || old.entry.expiresMs <= this.#now) return undefined;
    const connection = this.#connections.get(old.entry) ?? { ...old.entry };
    this.#connections.set(old.entry, connection);
    const found: Found = { connection, direction: old.direction };
    this.#found.set(key, found);
    return found;
  }

  /** Whether another connection has this tuple, in either direction (`nf_conntrack_tuple_taken`). */
  isTaken(tuple: Tuple, except: Connection): boolean {
    const found = this.find(tuple);
    return found !== undefined && found.connection !== except;
  }

  /** Puts a connection in, where nothing clashes (`__nf_conntrack_confirm`). */
  confirm(connection: Connection): boolean {
    if ((connection.status & STATUS.confirmed) !== 0) return true;
    if (this.isTaken(connection.original, connection) || this.isTaken(connection.reply, connection)) return false;
    connection.status |= STATUS.confirmed;
    this.#connections.set(connection, connection);
    this.#found.set(tupleKey(connection.original), { connection, direction: "original" });
    this.#found.set(tupleKey(connection.reply), { connection, direction: "reply" });
    return true;
  }

  /** How many there are, for `nf_conntrack_max`. */
  get size(): number {
    let added = 0;
    for (const key of this.#connections.keys()) if (!this.#isOld(key)) added++;
    return this.#base.length + added;
  }

  #isOld(key: ConntrackEntry | Connection): boolean {
    return this.#connections.get(key) !== key;
  }

  /** Everything that is there now. */
  entries(): readonly ConntrackEntry[] {
    if (this.#connections.size === 0) return this.#base;
    const kept = this.#base.filter((entry) => entry.expiresMs > this.#now).map((entry) => this.#connections.get(entry) ?? entry);
    const added = [...this.#connections].flatMap(([key, connection]) => (key === connection ? [connection] : []));
    return [...kept, ...added].map((entry) => ({ ...entry }));
  }
}
