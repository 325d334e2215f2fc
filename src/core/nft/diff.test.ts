import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Chain,
  type Change,
  diffTable,
  equals,
  gotoVerdict,
  inSet,
  meta,
  type NftSet,
  payload,
  type Rule,
  readValue,
  type Table,
  TCP,
  writeValue,
} from "./index.ts";

const accept: Rule = { statements: [{ kind: "verdict", verdict: { kind: "accept" } }] };
const usesPorts: Rule = { statements: [equals(meta("l4proto"), TCP), inSet(payload("th dport"), "ports")] };
const ports: NftSet = { name: "ports", key: ["inet_service"], elements: [{ key: [80] }, { key: [443], comment: "https" }] };
const input: Chain = { name: "input", base: { type: "filter", hook: "input", priority: 0, policy: "accept" }, rules: [usesPorts, accept] };

function table(sets: readonly NftSet[], chains: readonly Chain[]): Table {
  return { family: "inet", name: "t", sets, chains };
}

/** One word per step, with what it is about. */
function steps(changes: readonly Change[]): string[] {
  return changes.map((change) => {
    if (change.op === "add elements" || change.op === "delete elements") return `${change.op} ${change.set.name} ${change.elements.length}`;
    if ("chain" in change) return `${change.op} ${change.chain}`;
    return "set" in change ? `${change.op} ${typeof change.set === "string" ? change.set : change.set.name}` : change.op;
  });
}

test("a new table: base chains and rules last", () => {
  const { changes, cleanup } = diffTable(undefined, table([ports], [input, { name: "pick", rules: [accept] }]));
  assert.deepEqual(steps(changes), [
    "add table",
    "add set ports",
    "add chain pick",
    "add elements ports 2",
    "add chain input",
    "add rule input",
    "add rule input",
    "add rule pick",
  ]);
  assert.deepEqual(cleanup, []);
});

test("elements: what differs, and nothing else", () => {
  const next = { ...ports, elements: [{ key: [80] }, { key: [443], comment: "tls" }, { key: [8080] }] };
  const { changes } = diffTable(table([ports], [input]), table([next], [input]));
  assert.deepEqual(steps(changes), ["delete elements ports 1", "add elements ports 2"]);
});

test("elements that packets make are not touched", () => {
  const seen: NftSet = { name: "seen", key: ["ipv4_addr"], flags: ["dynamic", "timeout"], size: 100, elements: [] };
  const full = { ...seen, elements: [{ key: [{ family: 4 as const, bytes: Uint8Array.of(10, 0, 0, 1) }], timeoutMs: 5000 }] };
  assert.deepEqual(diffTable(table([full], []), table([seen], [])).changes, []);
});

test("a set of other types is made anew, with the rules that use it", () => {
  const next: NftSet = { ...ports, flags: ["interval"], elements: [{ key: [{ first: 1, last: 1023 }] }] };
  const other: Chain = { name: "other", rules: [accept] };
  const { changes } = diffTable(table([ports], [input, other]), table([next], [input, other]));
  assert.deepEqual(steps(changes), [
    "flush chain input",
    "delete set ports",
    "add set ports",
    "add elements ports 1",
    "add rule input",
    "add rule input",
  ]);
});

test("a base chain with another priority is made anew", () => {
  const moved: Chain = { ...input, base: { type: "filter", hook: "input", priority: -10, policy: "accept" } };
  const { changes } = diffTable(table([ports], [input]), table([ports], [moved]));
  assert.deepEqual(steps(changes), ["flush chain input", "delete chain input", "add chain input", "add rule input", "add rule input"]);
});

test("chains that lost their last reference go after the others are done; base chains at once", () => {
  const map: NftSet = { name: "m", key: ["inet_service"], data: "verdict", elements: [{ key: [80], data: gotoVerdict("pick") }] };
  const pick: Chain = { name: "pick", rules: [accept] };
  const { changes, cleanup } = diffTable(table([map, ports], [pick, input]), table([{ ...map, elements: [] }, ports], []));
  assert.deepEqual(steps(changes), ["flush chain pick", "flush chain input", "delete elements m 1", "delete chain input"]);
  assert.deepEqual(steps(cleanup), ["delete chain pick"]);
});

test("values lie in registers as the kernel has them", () => {
  const bytes = new Uint8Array(4);
  writeValue(bytes, 0, "inet_service", 8080);
  assert.deepEqual([...bytes], [0x1f, 0x90, 0, 0]);
  writeValue(bytes, 0, "mark", 0x80004000);
  assert.deepEqual([...bytes], [0, 0x40, 0, 0x80]);
  assert.equal(readValue(bytes, 0, "mark"), 0x80004000);
  assert.throws(
    () => writeValue(new Uint8Array(16), 0, "ifname", "a-name-that-is-too-long"),
    /Cannot use a-name-that-is-too-long as ifname/,
  );
});
