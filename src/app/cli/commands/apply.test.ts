import assert from "node:assert/strict";
import { test } from "node:test";
import { threeWayMerge } from "./apply.ts";

const CASES: readonly { name: string; last: unknown; wanted: unknown; patch: unknown }[] = [
  { name: "a new field is set", last: { spec: {} }, wanted: { spec: { a: 1 } }, patch: { spec: { a: 1 } } },
  {
    name: "a field that was applied and is gone is removed",
    last: { spec: { a: 1, b: 2 } },
    wanted: { spec: { b: 2 } },
    patch: { spec: { a: null, b: 2 } },
  },
  { name: "a field that others have set is not mentioned", last: {}, wanted: { spec: { a: 1 } }, patch: { spec: { a: 1 } } },
  { name: "a list is one value", last: { l: [1, 2] }, wanted: { l: [3] }, patch: { l: [3] } },
  { name: "a map in place of a value", last: { a: 1 }, wanted: { a: { b: 2 } }, patch: { a: { b: 2 } } },
];

for (const { name, last, wanted, patch } of CASES) {
  test(name, () => assert.deepEqual(threeWayMerge(last, wanted), patch));
}
