import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Clock } from "#base";
import { NOTE_CODEC, type Note, note, storeContract } from "./contract.ts";
import { EmbeddedStore, type EmbeddedStoreOptions, isStoreError, type StoreEvent } from "./index.ts";

const directory = mkdtempSync(join(tmpdir(), "fairlead-store-"));
after(() => rmSync(directory, { recursive: true }));
let files = 0;
const newFile = (): string => join(directory, `${files++}.db`);

function open(path: string, options: Partial<EmbeddedStoreOptions<Note>> = {}): EmbeddedStore<Note> {
  return new EmbeddedStore({ path, codec: NOTE_CODEC, ...options });
}

storeContract("in memory", () => open(":memory:"));
storeContract("in a file", () => open(newFile()));

test("a store comes back with its keys, its revision and its recent events", async () => {
  const path = newFile();
  const store = open(path);
  await store.put("t", "a", note("1"));
  await store.put("t", "b", note("2"));
  await store.put("t", "a", note("3"));
  await store.delete("t", "b");
  const before = { revision: store.revision, list: store.list("t") };
  store.close();
  const again = open(path);
  assert.deepEqual({ revision: again.revision, list: again.list("t") }, before);
  const events: StoreEvent<Note>[] = [];
  again.watch("t", { after: 1, listener: (batch) => events.push(...batch) });
  assert.deepEqual(
    events.map((e) => `${e.type} ${e.key}`),
    ["put a", "put b", "put a", "delete b"],
  );
  again.close();
});

test("compaction removes what is superseded and keeps the state, the revision and the newest events", async () => {
  const path = newFile();
  const store = open(path, { historyOnDisk: 10 });
  await store.put("t", "kept", note("1"));
  for (let i = 0; i < 200; i++) await store.put("t", `k${i % 3}`, note(String(i)));
  await store.delete("t", "k0");
  // Compaction runs between turns of the loop.
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  const before = { revision: store.revision, list: store.list("t") };
  store.close();
  const again = open(path, { historyOnDisk: 10 });
  assert.deepEqual({ revision: again.revision, list: again.list("t") }, before);
  assert.throws(
    () => again.watch("t", { after: 5, listener() {} }),
    (err) => isStoreError(err, "Compacted"),
  );
  const events: unknown[] = [];
  again.watch("t", { after: again.revision - 10, listener: (batch) => events.push(...batch) });
  assert.equal(events.length, 10);
  again.close();
});

test("old events are forgotten by number and by age, and a watch from before them is refused", async () => {
  let now = 0;
  const clock: Clock = { now: () => now, sleep: async () => {} };
  const store = open(":memory:", { clock, history: { events: 40, ageMs: 1000, fewest: 4 } });
  const oldest = (): number => {
    for (let revision = 1; ; revision++) {
      try {
        store.watch("t", { after: revision, listener() {} })();
        return revision;
      } catch (err) {
        if (!isStoreError(err, "Compacted")) throw err;
      }
    }
  };
  for (let i = 0; i < 100; i++) await store.put("t", "k", note(String(i)));
  assert.ok(store.revision - oldest() >= 40 && store.revision - oldest() <= 50);
  now = 10_000;
  for (let i = 0; i < 10; i++) await store.put("t", "k", note(String(i)));
  assert.ok(store.revision - oldest() < 40, `${store.revision - oldest()}`);
  await store.put("quiet", "k", note("-"));
  store.watch("quiet", { after: 1, listener() {} });
  store.close();
});

test("a second opener and a foreign file are told apart", () => {
  const path = newFile();
  const store = open(path);
  assert.throws(
    () => open(path),
    (err) => isStoreError(err, "InUse"),
  );
  store.close();
  const text = newFile();
  writeFileSync(text, "this is no database, however long the text may be, and it has to be longer than a header".repeat(3));
  assert.throws(
    () => open(text),
    (err) => isStoreError(err, "Corrupt"),
  );
});

test("a write that cannot be logged is refused and leaves nothing behind", async () => {
  const failing = { ...NOTE_CODEC, encode: (value: Note) => (value.text === "bad" ? fail() : NOTE_CODEC.encode(value)) };
  const store = open(":memory:", { codec: failing });
  const revision = store.revision;
  await assert.rejects(store.put("t", "k", note("bad")), /no room/);
  assert.equal(store.head("t", "k"), undefined);
  assert.equal(store.revision, revision);
  assert.equal((await store.put("t", "k", note("good"))).revision, revision + 1);
  store.close();
});

function fail(): never {
  throw new Error("no room");
}
