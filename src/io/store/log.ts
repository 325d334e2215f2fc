// The file behind the store: one append-only table in SQLite. Why SQLite and which durability: docs/adr/0003-store.md.
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { errorMessage } from "#base";
import { StoreError } from "./types.ts";

export interface LogRecord {
  readonly revision: number;
  readonly table: string;
  readonly key: string;
  /** undefined: the key was deleted. */
  readonly bytes: Uint8Array | undefined;
}

/** `normal`: survives the death of the process. `full`: the loss of power too, at one flush of the disk per commit. */
export type Durability = "normal" | "full";

const FORMAT = 1;
// SQLite's own numbers (sqlite3.h): another process holds the file; the file is no database.
const SQLITE_BUSY = 5;
const SQLITE_NOTADB = 26;

export class Log {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #insert: StatementSync;
  readonly #remove: StatementSync;
  readonly #setMark: StatementSync;

  /** `path` may be ":memory:". Throws StoreError "InUse" or "Corrupt". */
  constructor(path: string, durability: Durability) {
    this.#path = path;
    try {
      this.#db = new DatabaseSync(path);
      // The exclusive lock keeps a second server away from the file, and needs no shared-memory file beside the log.
      this.#db.exec(`PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=${durability}; PRAGMA cache_size=-256;
        PRAGMA wal_autocheckpoint=256; BEGIN IMMEDIATE`);
      this.#prepareFile();
      this.#db.exec("COMMIT");
    } catch (err) {
      throw openError(path, err);
    }
    this.#insert = this.#db.prepare("INSERT INTO log (revision, tbl, key, value) VALUES (?, ?, ?, ?)");
    this.#remove = this.#db.prepare("DELETE FROM log WHERE revision = ?");
    this.#setMark = this.#db.prepare("INSERT OR REPLACE INTO mark (name, value) VALUES (?, ?)");
  }

  #prepareFile(): void {
    const version = this.#db.prepare("PRAGMA user_version").get()?.["user_version"];
    if (version === FORMAT) return;
    if (version !== 0) throw new StoreError("Corrupt", `${this.#path} has store format ${String(version)}; this program reads ${FORMAT}`);
    this.#db.exec(`CREATE TABLE log (revision INTEGER PRIMARY KEY, tbl TEXT NOT NULL, key TEXT NOT NULL, value BLOB);
      CREATE TABLE mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID; PRAGMA user_version=${FORMAT}`);
  }

  /** `floor`: history up to there may be incomplete. `revision`: the store has been there, even when no record says so. */
  marks(): { floor: number; revision: number } {
    const rows = this.#db.prepare("SELECT name, value FROM mark").all();
    const mark = (name: string): number => Number(rows.find((row) => row["name"] === name)?.["value"] ?? 0);
    return { floor: mark("floor"), revision: mark("revision") };
  }

  /** In revision order. */
  *records(): IterableIterator<LogRecord> {
    for (const row of this.#db.prepare("SELECT revision, tbl, key, value FROM log ORDER BY revision").iterate()) {
      const value = row["value"];
      const bytes = value instanceof Uint8Array ? value : undefined;
      yield { revision: Number(row["revision"]), table: String(row["tbl"]), key: String(row["key"]), bytes };
    }
  }

  /** One transaction; when it fails nothing of it is there. Throws StoreError "Unwritable". */
  append(records: readonly LogRecord[]): void {
    this.#transaction(() => {
      for (const r of records) this.#insert.run(r.revision, r.table, r.key, r.bytes ?? null);
    });
  }

  remove(revisions: readonly number[], marks: { floor: number; revision: number }): void {
    this.#transaction(() => {
      for (const revision of revisions) this.#remove.run(revision);
      this.#setMark.run("floor", marks.floor);
      this.#setMark.run("revision", marks.revision);
    });
  }

  close(): void {
    this.#db.close();
  }

  #transaction(work: () => void): void {
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      work();
      this.#db.exec("COMMIT");
    } catch (err) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw new StoreError("Unwritable", `Cannot write to the store ${this.#path}: ${errorMessage(err)}`, { path: this.#path }, err);
    }
  }
}

function openError(path: string, err: unknown): StoreError {
  if (err instanceof StoreError) return err;
  const sqlite = typeof err === "object" && err !== null && "errcode" in err ? Number(err.errcode) & 0xff : 0;
  if (sqlite === SQLITE_BUSY)
    return new StoreError("InUse", `Cannot open the store ${path}: another process has it open; stop that first`, {}, err);
  if (sqlite === SQLITE_NOTADB)
    return new StoreError("Corrupt", `Cannot open the store ${path}: the file is not a store; move it away`, {}, err);
  return new StoreError("Unwritable", `Cannot open the store ${path}: ${errorMessage(err)}`, { path }, err);
}
