// What every store must do, run over each implementation.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Codec, isStoreError, type Store, type StoreEvent } from "./types.ts";

/** A value that shows its revision, as API objects do. */
export interface Note {
  readonly text: string;
  readonly revision: number;
}

export const NOTE_CODEC: Codec<Note> = {
  encode: (note) => new TextEncoder().encode(note.text),
  decode: (bytes, revision) => ({ text: new TextDecoder().decode(bytes), revision }),
  stamp: (note, revision) => ({ ...note, revision }),
};

export function note(text: string): Note {
  return { text, revision: 0 };
}

interface Case {
  readonly title: string;
  readonly body: (store: Store<Note>, open: () => Store<Note>) => Promise<void>;
}

export function storeContract(name: string, open: () => Store<Note>): void {
  for (const { title, body } of CASES) {
    void test(`${name}: ${title}`, async () => {
      const store = open();
      try {
        await body(store, open);
      } finally {
        store.close();
      }
    });
  }
}

const CASES: readonly Case[] = [
  {
    title: "a write is readable with its revision, and the revision grows by one per write",
    async body(store) {
      const start = store.revision;
      assert.ok(start >= 1);
      const a = await store.put("pods", "default/a", note("1"));
      assert.equal(a.revision, start + 1);
      assert.deepEqual(store.get("pods", "default/a"), a);
      assert.deepEqual(a.value, { text: "1", revision: a.revision });
      const b = await store.put("nodes", "n", note("2"));
      assert.equal(b.revision, start + 2);
      assert.equal(await store.delete("pods", "default/a"), start + 3);
      assert.equal(store.get("pods", "default/a"), undefined);
      assert.equal(store.revision, start + 3);
      assert.deepEqual(store.tables(), ["nodes"]);
    },
  },
  {
    title: "expected revisions are compared with what was accepted before",
    async body(store) {
      const first = store.put("t", "k", note("1"), 0);
      const head = store.head("t", "k");
      const second = store.put("t", "k", note("2"), head?.revision);
      const third = store.put("t", "k", note("3"), 0);
      await assert.rejects(third, (err) => isStoreError(err, "Conflict"));
      assert.ok((await second).revision > (await first).revision);
      assert.equal(store.get("t", "k")?.value.text, "2");
      await assert.rejects(store.delete("t", "k", 1), (err) => isStoreError(err, "Conflict"));
      await assert.rejects(store.delete("t", "other"), (err) => isStoreError(err, "NotFound"));
    },
  },
  {
    title: "readers and watchers see a write when it is acknowledged, not before",
    async body(store) {
      const seen: string[] = [];
      store.watch("t", { after: store.revision, listener: (events) => seen.push(...events.map((e) => e.key)) });
      const write = store.put("t", "k", note("1"));
      assert.equal(store.get("t", "k"), undefined);
      assert.deepEqual(seen, []);
      assert.notEqual(store.head("t", "k"), undefined);
      await write;
      assert.notEqual(store.get("t", "k"), undefined);
      assert.deepEqual(seen, ["k"]);
    },
  },
  {
    title: "a watch gives what happened after its revision, once and in order, with what was before",
    async body(store) {
      const a = await store.put("t", "a", note("1"));
      await store.put("t", "a", note("2"));
      const events: StoreEvent<Note>[] = [];
      const stop = store.watch("t", { after: a.revision, listener: (batch) => events.push(...batch) });
      await Promise.all([store.put("t", "b", note("3")), store.put("other", "x", note("-"))]);
      await store.delete("t", "a");
      stop();
      await store.put("t", "c", note("4"));
      const line = (e: StoreEvent<Note>): string => `${e.type} ${e.key} ${e.previous?.value.text ?? "-"}`;
      assert.deepEqual(events.map(line), ["put a 1", "put b -", "delete a 2"]);
      assert.deepEqual(
        [...events].sort((x, y) => x.revision - y.revision),
        events,
      );
    },
  },
  {
    title: "pages are in key order and stay at the revision of the first",
    async body(store) {
      for (const key of ["b/2", "a/1", "b/1", "c/1", "b/3"]) await store.put("t", key, note(key));
      const keys = (page: { entries: readonly { key: string }[] }): string[] => page.entries.map((e) => e.key);
      assert.deepEqual(keys(store.list("t")), ["a/1", "b/1", "b/2", "b/3", "c/1"]);
      const first = store.list("t", { prefix: "b/", limit: 1 });
      assert.deepEqual(keys(first), ["b/1"]);
      assert.equal(first.remaining, 2);
      await store.delete("t", "b/2");
      await store.put("t", "b/3", note("changed"));
      await store.put("t", "b/4", note("new"));
      const rest = store.list("t", { prefix: "b/", after: "b/1", revision: first.revision });
      assert.deepEqual(keys(rest), ["b/2", "b/3"]);
      assert.equal(rest.entries[1]?.value.text, "b/3");
      assert.equal(rest.remaining, 0);
      assert.deepEqual(keys(store.list("t", { prefix: "b/" })), ["b/1", "b/3", "b/4"]);
      assert.throws(
        () => store.list("t", { revision: store.revision + 1 }),
        (err) => isStoreError(err, "Future"),
      );
    },
  },
  {
    title: "any state of the history can be listed, and events lead from each state to the last",
    async body(_, open) {
      const key = fc.constantFrom("a", "b", "b/c", "d");
      const op = fc.record({ key, remove: fc.boolean() });
      await fc.assert(
        fc.asyncProperty(fc.array(op, { maxLength: 30 }), async (ops) => {
          const store = open();
          const states = new Map<number, [string, string][]>([[store.revision, []]]);
          const now = new Map<string, string>();
          for (const [i, { key: k, remove }] of ops.entries()) {
            if (remove && !now.has(k)) continue;
            await (remove ? store.delete("t", k) : store.put("t", k, note(String(i))));
            if (remove) now.delete(k);
            else now.set(k, String(i));
            states.set(store.revision, [...now].sort(byKey));
          }
          for (const [revision, state] of states) {
            const listed = store.list("t", { revision }).entries;
            assert.deepEqual(
              listed.map((e) => [e.key, e.value.text]),
              state,
            );
            const replayed = new Map(state);
            const listener = (events: readonly StoreEvent<Note>[]): void => {
              for (const event of events) follow(replayed, event);
            };
            store.watch("t", { after: revision, listener })();
            assert.deepEqual([...replayed].sort(byKey), [...now].sort(byKey));
          }
          store.close();
        }),
        { numRuns: 50 },
      );
    },
  },
];

function follow(state: Map<string, string>, event: StoreEvent<Note>): void {
  if (event.type === "put") state.set(event.key, event.entry.value.text);
  else state.delete(event.key);
}

function byKey(a: [string, string], b: [string, string]): number {
  return a[0] < b[0] ? -1 : 1;
}
