// The evaluator against a literal one: random small rulesets and packets. The literal one reads the AST as nft(8) describes it, with
// numbers without end, and looks at every element of a set.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Addr, addrToBigInt } from "#ip";
import {
  type BaseChain,
  type CompareOp,
  type Element,
  type Expr,
  formatTable,
  type Interval,
  isInterval,
  type Rule,
  type Statement,
  type Table,
  type Value,
  type Verdict,
} from "#nft";
import { byRandom } from "../choices.ts";
import { type Packet, TCP, UDP } from "../packet.ts";
import { packets, rulesets } from "../testing/rulesets.ts";
import { DynamicStore } from "../walk/dynamic.ts";
import { runChain } from "./chain.ts";
import type { Surroundings } from "./evaluation.ts";
import { prepareTable } from "./table.ts";

const BASE: BaseChain = { type: "filter", hook: "forward", priority: 0, policy: "accept" };

// The literal evaluator.

interface State {
  readonly packet: Packet;
  readonly table: Table;
  mark: bigint;
}

type Values = readonly (bigint | string)[];

function plain(value: Value): bigint | string {
  if (typeof value === "number") return BigInt(value);
  if (typeof value === "string") return value;
  return addrToBigInt(value as Addr);
}

function valuesOf(expr: Expr, state: State): Values | undefined {
  const { packet } = state;
  const only = (value: bigint | number | string | undefined): Values | undefined =>
    value === undefined ? undefined : [typeof value === "number" ? BigInt(value) : value];
  const { family } = packet.src;
  switch (expr.kind) {
    case "payload":
      if (expr.field === "ip saddr") return family === 4 ? [addrToBigInt(packet.src)] : undefined;
      if (expr.field === "ip daddr") return family === 4 ? [addrToBigInt(packet.dst)] : undefined;
      if (expr.field === "ip6 saddr") return family === 6 ? [addrToBigInt(packet.src)] : undefined;
      if (expr.field === "ip6 daddr") return family === 6 ? [addrToBigInt(packet.dst)] : undefined;
      if (expr.field === "tcp flags") return only(packet.tcpFlags);
      return only(expr.field === "th sport" ? packet.srcPort : packet.dstPort);
    case "meta":
      if (expr.key === "mark") return [state.mark];
      if (expr.key === "iifname") return ["eth0"];
      return only(expr.key === "l4proto" ? packet.protocol : family === 4 ? 2 : 10);
    case "concat": {
      const parts = expr.parts.map((part) => valuesOf(part, state));
      return parts.includes(undefined) ? undefined : parts.flatMap((part) => part ?? []);
    }
    case "bitwise": {
      const [of] = valuesOf(expr.of, state) ?? [];
      if (typeof of !== "bigint") return undefined;
      return [(of & BigInt(plain(expr.mask))) ^ (expr.xor === undefined ? 0n : BigInt(plain(expr.xor)))];
    }
    case "value":
      return [plain(expr.value)];
    case "map": {
      const element = findElement(expr.key, expr.map, state);
      return element?.data === undefined || "kind" in element.data ? undefined : element.data.map(plain);
    }
    default:
      throw new Error(expr.kind);
  }
}

function within(value: bigint | string | undefined, part: Value | Interval): boolean {
  if (!isInterval(part)) return value === plain(part);
  return value !== undefined && value >= plain(part.first) && value <= plain(part.last);
}

function findElement(key: Expr, set: string, state: State): Element | undefined {
  const values = valuesOf(key, state);
  if (values === undefined) return undefined;
  return state.table.sets
    .find(({ name }) => name === set)
    ?.elements.find((element) => element.key.every((part, i) => within(values[i], part)));
}

function compare(a: bigint | string, op: CompareOp, right: Value | Interval): boolean {
  if (isInterval(right)) return within(a, right) === (op === "==");
  const b = plain(right);
  switch (op) {
    case "==":
      return a === b;
    case "!=":
      return a !== b;
    case "<":
      return a < b;
    case "<=":
      return a <= b;
    case ">":
      return a > b;
    case ">=":
      return a >= b;
  }
}

/** False: the rule ends here. */
function carryOut(statement: Statement, state: State): boolean | Verdict {
  switch (statement.kind) {
    case "match": {
      const [left] = valuesOf(statement.left, state) ?? [];
      return left !== undefined && compare(left, statement.op, statement.right);
    }
    case "in": {
      if (valuesOf(statement.left, state) === undefined) return false;
      return (findElement(statement.left, statement.set, state) !== undefined) !== (statement.not ?? false);
    }
    case "vmap": {
      const data = findElement(statement.key, statement.map, state)?.data;
      return data !== undefined && "kind" in data ? data : false;
    }
    case "verdict":
      return statement.verdict;
    case "set": {
      const [value] = valuesOf(statement.value, state) ?? [];
      if (typeof value !== "bigint") return false;
      state.mark = value;
      return true;
    }
    default:
      throw new Error(statement.kind);
  }
}

/** A stack of rules that are still to come, as a list of lists. */
function literal(table: Table, packet: Packet): { verdict: string; mark: number } {
  const state: State = { packet, table, mark: 0n };
  const rulesOf = (name: string): readonly Rule[] => table.chains.find((chain) => chain.name === name)?.rules ?? [];
  const stack: Rule[][] = [[...rulesOf("base")]];
  for (let rules = stack.at(-1); rules !== undefined; rules = stack.at(-1)) {
    const rule = rules.shift();
    if (rule === undefined) {
      stack.pop();
      continue;
    }
    let verdict: Verdict | undefined;
    for (const statement of rule.statements) {
      const result = carryOut(statement, state);
      if (result === false) break;
      if (result === true) continue;
      verdict = result;
      break;
    }
    if (verdict?.kind === "accept" || verdict?.kind === "drop") return { verdict: verdict.kind, mark: Number(state.mark) };
    if (verdict?.kind === "return" || verdict?.kind === "goto") stack.pop();
    if (verdict?.kind === "jump" || verdict?.kind === "goto") stack.push([...rulesOf(verdict.chain)]);
  }
  return { verdict: "policy", mark: Number(state.mark) };
}

const NOWHERE: Surroundings = {
  linkIndex: () => 0,
  addrType: () => 0,
  linkTo: () => undefined,
  masqueradeAddr: () => undefined,
  redirectAddr: () => undefined,
  bind: () => "accept",
};

function evaluated(table: Table, packet: Packet): { verdict: string; mark: number } {
  const prepared = prepareTable(table);
  const skb = { packet, mark: 0, nftrace: false, ct: undefined, ctState: "invalid", ctDirection: "original" } as const;
  const own = { ...skb };
  const final = runChain(prepared, prepared.bases[0] ?? assert.fail(), {
    skb: own,
    family: packet.src.family,
    hook: "forward",
    linkIn: "eth0",
    linkOut: "eth1",
    around: NOWHERE,
    dynamic: new DynamicStore(),
    choices: byRandom(() => 0),
    now: 0,
    elements: undefined,
    steps: undefined,
  });
  return { verdict: final?.kind ?? "policy", mark: own.mark };
}

test("the evaluator and the literal one agree", () => {
  const seen = new Map<string, number>();
  const protocols = [TCP, UDP];
  const some8 = fc.array(fc.oneof(packets(4, protocols), packets(6, protocols)), { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(rulesets(BASE), some8, (table, some) => {
      for (const packet of some) {
        const expected = literal(table, packet);
        seen.set(expected.verdict, (seen.get(expected.verdict) ?? 0) + 1);
        assert.deepEqual(evaluated(table, packet), expected, formatTable(table));
      }
    }),
    { numRuns: 400 },
  );
  // A generator whose rules never meet a packet would prove nothing.
  for (const verdict of ["accept", "drop", "policy"]) assert.ok((seen.get(verdict) ?? 0) > 80, JSON.stringify([...seen]));
});
