// Tables that refer to themselves in all the ways that make transactions hard: rules to sets and chains, elements to chains.
import fc from "fast-check";
import type { Addr } from "#ip";
import {
  type BaseChain,
  type Chain,
  type Datatype,
  type Element,
  equals,
  inSet,
  meta,
  type NftSet,
  payload,
  type Rule,
  type SetHeader,
  type Table,
  TCP,
  type Value,
} from "#nft";

const addr4: fc.Arbitrary<Addr> = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => ({ family: 4, bytes }));
const addr6: fc.Arbitrary<Addr> = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => ({ family: 6, bytes }));

const VALUES = {
  ipv4_addr: addr4,
  ipv6_addr: addr6,
  inet_proto: fc.integer({ min: 0, max: 255 }),
  inet_service: fc.integer({ min: 0, max: 65_535 }),
  mark: fc.integer({ min: 0, max: 0xffff_ffff }),
  index: fc.integer({ min: 0, max: 0xffff_ffff }),
  ether_addr: fc.uint8Array({ minLength: 6, maxLength: 6 }),
} satisfies Partial<Record<Datatype, fc.Arbitrary<Value>>>;

type Known = keyof typeof VALUES;

const type: fc.Arbitrary<Known> = fc.constantFrom("ipv4_addr", "ipv6_addr", "inet_proto", "inet_service", "mark", "index", "ether_addr");
// Registers hold 64 bytes.
const typeList = fc.array(type, { minLength: 1, maxLength: 4 }).filter((list) => list.filter((t) => t === "ipv6_addr").length < 3);
const comment = fc.option(fc.stringMatching(/^[a-z0-9/:-]{1,60}$/), { nil: undefined });

function valuesOf(list: readonly Known[]): fc.Arbitrary<Value[]> {
  return fc.tuple(...list.map((t): fc.Arbitrary<Value> => VALUES[t]));
}

function unique<T extends Element>(element: fc.Arbitrary<T>): fc.Arbitrary<T[]> {
  return fc.uniqueArray(element, { maxLength: 8, selector: ({ key }) => JSON.stringify(key) });
}

/** A set or map of any types. */
const anySet: fc.Arbitrary<NftSet> = fc.tuple(typeList, typeList, fc.boolean()).chain(([key, data, isMap]) => {
  const header: SetHeader = { name: "any", key, ...(isMap && { data }) };
  const element = fc
    .tuple(valuesOf(key), valuesOf(data), comment)
    .map(([k, d, text]): Element => ({ key: k, ...(isMap && { data: d }), ...(text !== undefined && { comment: text }) }));
  return unique(element).map((elements) => ({ ...header, elements }));
});

const TARGETS = ["one", "two", "three"] as const;

/** A verdict map to those of the chains that are there. */
function verdicts(targets: readonly string[], timeout: boolean): fc.Arbitrary<NftSet> {
  const header: SetHeader = { name: "verdicts", key: ["inet_service"], data: "verdict", ...(timeout && { flags: ["timeout"] }) };
  const verdict =
    targets.length === 0
      ? fc.constant({ kind: "drop" } as const)
      : fc.constantFrom(...targets.map((chain) => ({ kind: "goto", chain }) as const));
  const element = fc.tuple(fc.integer({ min: 1, max: 6 }), verdict).map(([port, data]): Element => ({ key: [port], data }));
  return unique(element).map((elements) => ({ ...header, elements }));
}

const tcp = equals(meta("l4proto"), TCP);

function rulesOf(targets: readonly string[], hasAny: boolean): fc.Arbitrary<Rule[]> {
  const choices: Rule[] = [
    { statements: [tcp, { kind: "vmap", key: payload("th dport"), map: "verdicts" }] },
    { statements: [{ kind: "verdict", verdict: { kind: "accept" } }], comment: "accepts" },
    ...targets.map((chain): Rule => ({ statements: [{ kind: "verdict", verdict: { kind: "jump", chain } }] })),
    ...(hasAny ? [{ statements: [inSet(meta("mark"), "marks")] }] : []),
  ];
  return fc.array(fc.constantFrom(...choices), { maxLength: 4 });
}

const base: fc.Arbitrary<BaseChain> = fc.record({
  type: fc.constant("filter"),
  hook: fc.constantFrom("input", "forward"),
  priority: fc.constantFrom(-10, 0, 10),
  policy: fc.constantFrom("accept", "drop"),
});

const MARKS: NftSet = { name: "marks", key: ["mark"], elements: [{ key: [1] }] };

/** Tables of one name, each of which can follow any other. */
export const randomTable: fc.Arbitrary<Table> = fc
  .record({
    targets: fc.subarray([...TARGETS]),
    timeout: fc.boolean(),
    hasMarks: fc.boolean(),
    any: fc.option(anySet, { nil: undefined }),
    base,
  })
  .chain(({ targets, timeout, hasMarks, any, base: on }) =>
    fc.tuple(verdicts(targets, timeout), rulesOf(targets, hasMarks)).map(([map, rules]): Table => {
      const leaves = targets.map((name): Chain => ({ name, rules: [{ statements: [{ kind: "counter", packets: 0, bytes: 0 }] }] }));
      const sets = [map, ...(hasMarks ? [MARKS] : []), ...(any === undefined ? [] : [any])];
      return { family: "inet", name: "t", sets, chains: [...leaves, { name: "base", base: on, rules }] };
    }),
  );
