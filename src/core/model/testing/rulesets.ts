// Random small rulesets and packets, out of few values, so that they meet.
import fc from "fast-check";
import { type Addr, addrToBigInt, type Family, parseAddr } from "#ip";
import {
  type BaseChain,
  type CompareOp,
  concat,
  type Datatype,
  type Element,
  type Expr,
  exprTypes,
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
import { opening, type Packet, TCP, UDP } from "../packet.ts";

export const ADDRS: Readonly<Record<Family, readonly Addr[]>> = {
  4: [0, 1, 2, 3, 127, 128, 254, 255].map((last) => parseAddr(`203.0.113.${last}`)),
  6: ["fd00::1", "fd00::2", "fd00::1:0", "fd00:ffff::ffff"].map((text) => parseAddr(text)),
};
export const SRC_PORTS: readonly number[] = [79, 80, 0xffff];
const DST_PORTS: readonly number[] = [79, 80, 81];

const SCALARS: Readonly<Partial<Record<Datatype, fc.Arbitrary<Value>>>> = {
  ipv4_addr: fc.constantFrom(...ADDRS[4]),
  ipv6_addr: fc.constantFrom(...ADDRS[6]),
  inet_service: fc.constantFrom(79, 80, 81, 0xffff),
  inet_proto: fc.constantFrom(TCP, UDP),
  integer8: fc.constantFrom(0, 2, 16),
  mark: fc.constantFrom(0, 1, 2, 0x80000000, 0xffffffff),
  ifname: fc.constantFrom("eth0", "eth1"),
};

function scalar(type: Datatype): fc.Arbitrary<Value> {
  return SCALARS[type] ?? fc.constant(0);
}

function numberOf(value: Value): bigint {
  if (typeof value === "number") return BigInt(value);
  return typeof value === "object" && "family" in value ? addrToBigInt(value) : 0n;
}

const isOrdered = (a: Value, b: Value): boolean => numberOf(a) <= numberOf(b);

function interval(type: Datatype): fc.Arbitrary<Interval> {
  return fc.tuple(scalar(type), scalar(type)).map(([a, b]) => (isOrdered(a, b) ? { first: a, last: b } : { first: b, last: a }));
}

/** Names have no order here, and kernels know none of numbers in the host's order. */
function hasIntervals(type: Datatype): boolean {
  return type !== "ifname" && type !== "mark";
}

const ANY: readonly Expr[] = [
  payload("th sport"),
  payload("th dport"),
  payload("tcp flags"),
  meta("l4proto"),
  meta("mark"),
  meta("iifname"),
];
const FIELDS: Readonly<Record<Family, readonly Expr[]>> = {
  4: [payload("ip saddr"), payload("ip daddr")],
  6: [payload("ip6 saddr"), payload("ip6 daddr")],
};

/** Keys of the sets; each set is asked with expressions of its types only. */
const ANY_KEYS: readonly Expr[] = [payload("th dport"), concat(meta("iifname"), meta("mark"))];
const KEYS: Readonly<Record<Family, readonly Expr[]>> = {
  4: [payload("ip saddr"), concat(payload("ip daddr"), meta("l4proto"), payload("th dport"))],
  6: [payload("ip6 saddr"), concat(payload("ip6 saddr"), payload("th sport"))],
};

const CHAINS: readonly string[] = ["one", "two", "three"];

/** Only to chains after it: the kernel refuses circles. */
function verdict(from: number): fc.Arbitrary<Verdict> {
  const later = CHAINS.slice(from);
  const here = fc.constantFrom<Verdict>({ kind: "accept" }, { kind: "drop" }, { kind: "return" }, { kind: "continue" });
  if (later.length === 0) return here;
  return fc.oneof(here, fc.record({ kind: fc.constantFrom("jump" as const, "goto" as const), chain: fc.constantFrom(...later) }));
}

/** Disjoint, as the kernel wants them: what overlaps one before it is left out. */
function disjoint(elements: readonly Element[]): Element[] {
  const kept: Element[] = [];
  for (const element of elements) {
    if (!kept.some((other) => other.key.every((part, i) => overlaps(part, element.key[i])))) kept.push(element);
  }
  return kept;
}

function overlaps(a: Value | Interval, b: Value | Interval | undefined): boolean {
  if (b === undefined) return false;
  if (typeof a === "string" || typeof b === "string") return a === b;
  const [x, y] = [isInterval(a) ? a : { first: a, last: a }, isInterval(b) ? b : { first: b, last: b }];
  return isOrdered(x.first, y.last) && isOrdered(y.first, x.last);
}

type Data = "none" | "mark" | "verdict";

function anySet(key: readonly Datatype[], name: string, data: Data): fc.Arbitrary<NftSet> {
  const part = (type: Datatype): fc.Arbitrary<Value | Interval> =>
    hasIntervals(type) ? fc.oneof(scalar(type), interval(type)) : scalar(type);
  // Only the base chain asks verdict maps, so their elements may go anywhere.
  const value = data === "none" ? fc.constant(undefined) : data === "mark" ? scalar("mark").map((one) => [one]) : verdict(0);
  const element = fc
    .record({ key: fc.tuple(...key.map(part)), data: value })
    .map(({ key: parts, data: own }): Element => ({ key: parts, ...(own !== undefined && { data: own }) }));
  return fc.array(element, { maxLength: 6 }).map((elements) => ({
    name,
    key,
    ...(key.some(hasIntervals) && { flags: ["interval"] as const }),
    elements: disjoint(elements),
    ...(data !== "none" && { data: data === "mark" ? (["mark"] as const) : ("verdict" as const) }),
  }));
}

const EQUALITY: fc.Arbitrary<CompareOp> = fc.constantFrom("==", "!=");
const ORDER: fc.Arbitrary<CompareOp> = fc.constantFrom("==", "!=", "<", "<=", ">", ">=");

function match(fields: readonly Expr[]): fc.Arbitrary<Statement> {
  return fc.constantFrom(...fields).chain((left): fc.Arbitrary<Statement> => {
    const [type = "mark"] = exprTypes(left);
    const compared = fc.record({ op: hasIntervals(type) ? ORDER : EQUALITY, right: scalar(type) });
    const plain = compared.map((rest): Statement => ({ kind: "match", left, ...rest }));
    if (type === "ifname") return plain;
    const masked = fc
      .record({ mask: scalar(type), right: scalar(type), op: EQUALITY })
      .map(({ mask, right, op }): Statement => ({ kind: "match", left: { kind: "bitwise", of: left, mask }, op, right }));
    if (!hasIntervals(type)) return fc.oneof(plain, masked);
    const ranged = fc.record({ op: EQUALITY, right: interval(type) }).map((rest): Statement => ({ kind: "match", left, ...rest }));
    return fc.oneof(plain, masked, ranged);
  });
}

interface Grammar {
  readonly fields: readonly Expr[];
  readonly keys: readonly Expr[];
}

function statements({ fields, keys }: Grammar, from: number): fc.Arbitrary<Statement[]> {
  const keyed = fc.constantFrom(...keys.map((key, n) => ({ key, n })));
  const membership = fc.tuple(keyed, fc.boolean()).map(([{ key, n }, not]): Statement => ({ kind: "in", left: key, set: `none${n}`, not }));
  const mark = fc.oneof(
    scalar("mark").map((value): Expr => ({ kind: "value", type: "mark", value })),
    keyed.map(({ key, n }): Expr => ({ kind: "map", key, map: `mark${n}`, type: ["mark"] })),
  );
  const set = mark.map((value): Statement => ({ kind: "set", target: { kind: "meta", key: "mark" }, value }));
  const end = verdict(from).map((one): Statement => ({ kind: "verdict", verdict: one }));
  const vmap = keyed.map(({ key, n }): Statement => ({ kind: "vmap", key, map: `verdict${n}` }));
  const last = from === 0 ? fc.oneof(end, vmap) : end;
  return fc
    .tuple(fc.array(fc.oneof(match(fields), membership, set), { maxLength: 2 }), fc.option(last))
    .map(([some, one]) => (one === null ? some : [...some, one]));
}

/** A table with a base chain "base"; with a family, it reads nothing of the other. */
export function rulesets(base: BaseChain, family?: Family): fc.Arbitrary<Table> {
  const families: readonly Family[] = family === undefined ? [4, 6] : [family];
  const fields = [...ANY, ...families.flatMap((one) => FIELDS[one])];
  const keys = [...ANY_KEYS, ...families.flatMap((one) => KEYS[one])];
  const sets = keys.flatMap((key, n) => (["none", "mark", "verdict"] as const).map((data) => anySet(exprTypes(key), `${data}${n}`, data)));
  const chain = (name: string, from: number): fc.Arbitrary<Table["chains"][number]> =>
    fc
      .array(
        statements({ fields, keys }, from).map((own): Rule => ({ statements: own })),
        { maxLength: 5 },
      )
      .map((rules) => ({ name, rules, ...(name === "base" && { base }) }));
  return fc
    .tuple(fc.tuple(...sets), fc.tuple(chain("base", 0), ...CHAINS.map((name, i) => chain(name, i + 1))))
    .map(([own, [first, ...others]]) => ({
      family: family === undefined ? "inet" : family === 4 ? "ip" : "ip6",
      name: "t",
      sets: own,
      chains: [...others, first],
    }));
}

export function packets(family: Family, protocols: readonly number[]): fc.Arbitrary<Packet> {
  return fc
    .record({
      protocol: fc.constantFrom(...protocols),
      src: fc.constantFrom(...ADDRS[family]),
      dst: fc.constantFrom(...ADDRS[family]),
      srcPort: fc.constantFrom(...SRC_PORTS),
      dstPort: fc.constantFrom(...DST_PORTS),
    })
    .map(({ protocol, ...ends }) => opening(protocol, ends));
}
