import assert from "node:assert/strict";
import { test } from "node:test";
import { formatReport } from "./report.ts";
import { TESTS } from "./tests/index.ts";
import { TITLES } from "./titles.ts";

test("every title has one test, and every test a title", () => {
  assert.equal(TITLES.length, 47);
  assert.deepEqual(TESTS.map(({ title }) => title).sort(), [...TITLES].sort());
});

test("the table ends in the totals", () => {
  const outcomes = [
    { title: "A", result: "passed", seconds: 1.25, reason: "p50 1 ms" },
    { title: "Longer", result: "failed", seconds: 60, reason: "it is\nnot" },
    { title: "B", result: "skipped", seconds: 0, reason: "no such thing" },
  ] as const;
  assert.deepEqual(formatReport(outcomes).split("\n"), [
    "A       passed    1.3 s  p50 1 ms",
    "Longer  failed   60.0 s  it is",
    "    not",
    "B       skipped          no such thing",
    "",
    "1 passed, 1 failed, 1 skipped",
  ]);
});
