// A little of `npm run fuzz`, with other clusters each time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { comparePairs } from "./testing/fuzz/pairs.ts";

const PAIRS = 3000;

test("random clusters and packets: the model foresees what Services and policies promise", (t) => {
  const seed = Number(process.env["FAIRLEAD_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`FAIRLEAD_TEST_SEED=${seed}`);
  const { found, outcomes } = comparePairs(seed, ({ pairs }) => pairs < PAIRS);
  assert.equal(found, undefined, `npm run fuzz -- --seed ${found?.seed} shows: ${JSON.stringify(found?.disagreement)}`);
  assert.ok(Object.keys(outcomes).length >= 3, `only ${Object.keys(outcomes).join()}`);
});
