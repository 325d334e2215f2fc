import assert from "node:assert/strict";
import { test } from "node:test";
import { WorkQueue } from "./index.ts";

function record(fail: (key: string, run: number) => boolean = () => false) {
  const runs: string[] = [];
  const queue = new WorkQueue({
    async run(key) {
      runs.push(key);
      await Promise.resolve();
      if (fail(key, runs.filter((r) => r === key).length)) throw new Error("not yet");
      return undefined;
    },
    onError() {},
    backoff: { initialMs: 1, maxMs: 4 },
  });
  return { runs, queue };
}

test("a burst of one key is one run", async () => {
  const { runs, queue } = record();
  for (let i = 0; i < 5; i++) queue.add("a");
  queue.add("b");
  await queue.idle();
  // The first add starts "a" at once; the four others ask for one more run.
  assert.deepEqual(runs, ["a", "b", "a"]);
});

test("a failed key runs again until it succeeds", async () => {
  const done = Promise.withResolvers<void>();
  const { runs, queue } = record((_, run) => {
    if (run === 3) done.resolve();
    return run < 3;
  });
  queue.add("a");
  await done.promise;
  await queue.idle();
  assert.deepEqual(runs, ["a", "a", "a"]);
  queue.stop();
});

test("nothing runs after stop", async () => {
  const { runs, queue } = record();
  queue.stop();
  queue.add("a");
  await queue.idle();
  assert.deepEqual(runs, []);
});
