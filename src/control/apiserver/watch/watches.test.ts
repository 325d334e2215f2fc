import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { EmbeddedStore } from "#store";
import { VERSION_CODEC } from "../registry/version.ts";
import type { WatchStream } from "./stream.ts";
import { Watches } from "./watches.ts";

test("every minute all watches are told where they are, and when the server stops they end", () => {
  mock.timers.enable({ apis: ["setInterval"] });
  const store = new EmbeddedStore({ path: ":memory:", codec: VERSION_CODEC });
  const watches = new Watches(store);
  const told: (number | string)[] = [];
  const stream = { bookmark: (revision: number) => told.push(revision), end: () => told.push("end") } as unknown as WatchStream;
  watches.add(stream);
  mock.timers.tick(59_000);
  assert.deepEqual(told, []);
  mock.timers.tick(1_000);
  assert.deepEqual(told, [store.revision]);
  watches.close();
  mock.timers.tick(60_000);
  assert.deepEqual(told, [store.revision, "end"]);
  store.close();
  mock.timers.reset();
});
