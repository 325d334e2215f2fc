// The evaluator against a literal one: random small rulesets and packets. The literal one reads the AST as nft(8) describes it, with
// numbers without end, and looks at every element of a set.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Addr, addrToBigInt, parseAddr } from "#ip";
import {
  type BaseChain,
  type CompareOp,
  concat,
  type Datatype,
  type Element,
  type Expr,
  exprTypes,
  formatTable,
  type Interval,
  isInterval,
  meta,
  type NftSet,
  payload,
  type Rule,
  type Statement,
  type Table,
  type Value,
  type Verdict,
} from "#nft";
import { byRandom } from "../choices.ts";
import { opening, type Packet, TCP, UDP } from "../packet.ts";
import { DynamicStore } from "../walk/dynamic.ts";
import { runChain } from "./chain.ts";
import type { Surroundings } from "./evaluation.ts";
import { prepareTable } from "./table.ts";

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

// Rulesets and packets out of few values, so that they meet.

const ADDRS4 = [0, 1, 2, 3, 127, 128, 254, 255].map((last) => parseAddr(`203.0.113.${last}`));
const ADDRS6 = ["fd00::1", "fd00::2", "fd00::1:0", "ff00::ffff"].map((text) => parseAddr(text));
const SCALARS: Partial<Record<Datatype, fc.Arbitrary<Value>>> = {
  ipv4_addr: fc.constantFrom(...ADDRS4),
  ipv6_addr: fc.constantFrom(...ADDRS6),
  inet_service: fc.constantFrom(79, 80, 81, 0xffff),
  inet_proto: fc.constantFrom(TCP, UDP),
  integer8: fc.constantFrom(0, 2, 16),
  mark: fc.constantFrom(0, 1, 2, 0x80000000, 0xffffffff),
  ifname: fc.constantFrom("eth0", "eth1"),
};

function scalar(type: Datatype): fc.Arbitrary<Value> {
  return SCALARS[type] ?? assert.fail(type);
}

const order = (a: Value, b: Value): boolean => plain(a) <= plain(b);

function interval(type: Datatype): fc.Arbitrary<Interval> {
  return fc.tuple(scalar(type), scalar(type)).map(([a, b]) => (order(a, b) ? { first: a, last: b } : { first: b, last: a }));
}

const SIMPLE: readonly Expr[] = [
  payload("ip saddr"),
  payload("ip daddr"),
  payload("ip6 saddr"),
  payload("th sport"),
  payload("th dport"),
  payload("tcp flags"),
  meta("l4proto"),
  meta("mark"),
  meta("iifname"),
];

/** Keys of the sets; each set is asked with expressions of its types only. */
const KEYS: readonly Expr[] = [
  payload("ip saddr"),
  payload("th dport"),
  concat(payload("ip daddr"), meta("l4proto"), payload("th dport")),
  concat(payload("ip6 saddr"), payload("th sport")),
  concat(meta("iifname"), meta("mark")),
];

const CHAINS = ["one", "two", "three"];

/** Only to chains after it: the kernel refuses circles. */
function verdict(from: number): fc.Arbitrary<Verdict> {
  const later = CHAINS.slice(from);
  const plainVerdict = fc.constantFrom<Verdict>({ kind: "accept" }, { kind: "drop" }, { kind: "return" }, { kind: "continue" });
  if (later.length === 0) return plainVerdict;
  const far = fc.record({ kind: fc.constantFrom("jump" as const, "goto" as const), chain: fc.constantFrom(...later) });
  return fc.oneof(plainVerdict, far);
}

/** Disjoint, as the kernel wants them: what overlaps one before it is left out. */
function disjoint(elements: readonly Element[]): Element[] {
  const kept: Element[] = [];
  const overlaps = (a: Value | Interval | undefined, b: Value | Interval | undefined): boolean => {
    if (a === undefined || b === undefined) return false;
    const [x, y] = [isInterval(a) ? a : { first: a, last: a }, isInterval(b) ? b : { first: b, last: b }];
    return order(x.first, y.last) && order(y.first, x.last);
  };
  for (const element of elements)
    if (!kept.some((other) => other.key.every((part, i) => overlaps(part, element.key[i])))) kept.push(element);
  return kept;
}

function anySet(n: number, data: "none" | "mark" | "verdict"): fc.Arbitrary<NftSet> {
  const key = exprTypes(KEYS[n] ?? assert.fail());
  const isText = (type: Datatype): boolean => type === "ifname";
  const part = (type: Datatype): fc.Arbitrary<Value | Interval> => (isText(type) ? scalar(type) : fc.oneof(scalar(type), interval(type)));
  const value = data === "none" ? fc.constant(undefined) : data === "mark" ? scalar("mark").map((one) => [one]) : verdict(0);
  // Elements of a vmap that the first chain asks may go anywhere; the others ask no vmap.
  const element = fc
    .record({ key: fc.tuple(...key.map(part)), data: value })
    .map(({ key: parts, data: own }): Element => ({ key: parts, ...(own !== undefined && { data: own }) }));
  return fc.array(element, { maxLength: 6 }).map((elements) => ({
    name: `${data}${n}`,
    key,
    flags: ["interval"],
    elements: disjoint(elements),
    ...(data !== "none" && { data: data === "mark" ? (["mark"] as const) : ("verdict" as const) }),
  }));
}

const match: fc.Arbitrary<Statement> = fc.constantFrom(...SIMPLE).chain((left): fc.Arbitrary<Statement> => {
  const [type = "mark"] = exprTypes(left);
  if (type === "ifname")
    return fc.record({
      kind: fc.constant("match" as const),
      left: fc.constant(left),
      op: fc.constantFrom("==" as const, "!=" as const),
      right: scalar(type),
    });
  const equality = fc.constantFrom("==" as const, "!=" as const);
  const ordered = fc.constantFrom("==" as const, "!=" as const, "<" as const, "<=" as const, ">" as const, ">=" as const);
  const masked = fc.record({ mask: scalar(type), right: scalar(type), op: equality });
  return fc.oneof(
    fc.record({ op: ordered, right: scalar(type) }).map((rest): Statement => ({ kind: "match", left, ...rest })),
    fc.record({ op: equality, right: interval(type) }).map((rest): Statement => ({ kind: "match", left, ...rest })),
    masked.map(({ mask, right, op }): Statement => ({ kind: "match", left: { kind: "bitwise", of: left, mask }, op, right })),
  );
});

function statements(from: number): fc.Arbitrary<Statement[]> {
  const keyed = fc.nat(KEYS.length - 1);
  const membership = fc
    .tuple(keyed, fc.boolean())
    .map(([n, not]): Statement => ({ kind: "in", left: KEYS[n] ?? assert.fail(), set: `none${n}`, not }));
  const mark = fc.oneof(
    scalar("mark").map((value): Expr => ({ kind: "value", type: "mark", value })),
    keyed.map((n): Expr => ({ kind: "map", key: KEYS[n] ?? assert.fail(), map: `mark${n}`, type: ["mark"] })),
  );
  const set = mark.map((value): Statement => ({ kind: "set", target: { kind: "meta", key: "mark" }, value }));
  const end = verdict(from).map((one): Statement => ({ kind: "verdict", verdict: one }));
  const vmap = keyed.map((n): Statement => ({ kind: "vmap", key: KEYS[n] ?? assert.fail(), map: `verdict${n}` }));
  const last = from === 0 ? fc.oneof(end, vmap) : end;
  return fc
    .tuple(fc.array(fc.oneof(match, membership, set), { maxLength: 2 }), fc.option(last))
    .map(([some, one]) => (one === null ? some : [...some, one]));
}

const BASE: BaseChain = { type: "filter", hook: "forward", priority: 0, policy: "accept" };

function chain(name: string, from: number): fc.Arbitrary<Table["chains"][number]> {
  const rules = fc.array(
    statements(from).map((own): Rule => ({ statements: own })),
    { maxLength: 5 },
  );
  return rules.map((own) => ({ name, rules: own, ...(name === "base" && { base: BASE }) }));
}

const tables: fc.Arbitrary<Table> = fc
  .tuple(
    fc.tuple(...KEYS.flatMap((_, n) => (["none", "mark", "verdict"] as const).map((data) => anySet(n, data)))),
    fc.tuple(chain("base", 0), ...CHAINS.map((name, i) => chain(name, i + 1))),
  )
  .map(([sets, chains]) => ({ family: "inet", name: "t", sets, chains }));

const packets: fc.Arbitrary<Packet> = fc
  .record({
    protocol: fc.constantFrom(TCP, UDP),
    addrs: fc.oneof(
      fc.tuple(fc.constantFrom(...ADDRS4), fc.constantFrom(...ADDRS4)),
      fc.tuple(fc.constantFrom(...ADDRS6), fc.constantFrom(...ADDRS6)),
    ),
    srcPort: fc.constantFrom(79, 80, 0xffff),
    dstPort: fc.constantFrom(79, 80, 81),
  })
  .map(({ protocol, addrs: [src, dst], srcPort, dstPort }) => opening(protocol, { src, dst, srcPort, dstPort }));

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
  fc.assert(
    fc.property(tables, fc.array(packets, { minLength: 8, maxLength: 8 }), (table, some) => {
      for (const packet of some) {
        const expected = literal(table, packet);
        seen.set(expected.verdict, (seen.get(expected.verdict) ?? 0) + 1);
        assert.deepEqual(evaluated(table, packet), expected, formatTable(table));
      }
    }),
    { numRuns: 1500 },
  );
  // A generator whose rules never meet a packet would prove nothing.
  for (const verdict of ["accept", "drop", "policy"]) assert.ok((seen.get(verdict) ?? 0) > 300, JSON.stringify([...seen]));
});
