// Each expression and statement by itself: one rule, one packet, and what comes of it.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatAddr, parseAddr, parseMac, parsePrefix } from "#ip";
import {
  accept,
  type BaseChain,
  concat,
  ct,
  drop,
  type Expr,
  equals,
  goto,
  type Hook,
  hasFlags,
  inPrefix,
  inSet,
  jump,
  meta,
  type NftSet,
  named,
  payload,
  prefixInterval,
  type Rule,
  reject,
  type Statement,
  type Table,
} from "#nft";
import { allBranches } from "../choices.ts";
import { type Connection, STATUS } from "../conntrack/types.ts";
import { ICMP, opening, type Packet, TCP, TCP_FLAGS, UDP } from "../packet.ts";
import { DynamicStore } from "../walk/dynamic.ts";
import { runChain } from "./chain.ts";
import type { Evaluation, RuleStep, Skb, Surroundings } from "./evaluation.ts";
import { prepareTable } from "./table.ts";

const ENDS4 = { src: parseAddr("10.0.0.1"), dst: parseAddr("10.0.0.2"), srcPort: 40_000, dstPort: 80 };
const ENDS6 = { src: parseAddr("fd00::1"), dst: parseAddr("fd00::2"), srcPort: 40_000, dstPort: 80 };
const TCP4 = opening(TCP, ENDS4);
const UDP4 = opening(UDP, ENDS4);
const TCP6 = opening(TCP, ENDS6);
const PING = opening(ICMP, ENDS4);

interface Given {
  readonly packet?: Packet;
  readonly skb?: Partial<Skb>;
  readonly sets?: readonly NftSet[];
  readonly chains?: Readonly<Record<string, readonly Rule[]>>;
  readonly hook?: Hook;
  readonly dynamic?: DynamicStore;
  readonly now?: number;
}

interface Result {
  readonly verdict: string;
  readonly skb: Skb;
  readonly steps: readonly RuleStep[];
  readonly bound: readonly string[];
}

const INDEXES: Readonly<Record<string, number>> = { eth0: 7, eth1: 8 };

function surroundings(bound: string[]): Surroundings {
  return {
    linkIndex: (link) => INDEXES[link ?? ""] ?? 0,
    addrType: (addr, link) => (formatAddr(addr).endsWith("2") && link !== "eth1" ? 2 : 1),
    linkTo: (dst, { link }) => (formatAddr(dst).endsWith("1") ? (link ?? "eth0") : undefined),
    masqueradeAddr: (link) => (link === "eth1" ? parseAddr("192.0.2.1") : undefined),
    redirectAddr: () => parseAddr("192.0.2.7"),
    bind(_, { addr, port, random = false }, what) {
      bound.push(`${what} ${addr === undefined ? "" : formatAddr(addr)}:${port ?? ""}${random ? " random" : ""}`);
      return "accept";
    },
  };
}

const BASE: BaseChain = { type: "filter", hook: "forward", priority: 0, policy: "accept" };

function run(statements: readonly Statement[] | readonly Rule[], given: Given = {}): Result {
  return runAll(statements, given)[0]?.result ?? assert.fail();
}

function runAll(what: readonly Statement[] | readonly Rule[], given: Given = {}): { probability: number; result: Result }[] {
  const rules: Rule[] = what.map((each) => ("statements" in each ? each : { statements: [each] }));
  const isRules = what.some((each) => "statements" in each);
  const chain: Rule[] = isRules ? rules : [{ statements: what as readonly Statement[], comment: "the rule" }];
  const others = Object.entries(given.chains ?? {}).map(([name, own]) => ({ name, rules: own }));
  const table: Table = {
    family: "inet",
    name: "t",
    sets: given.sets ?? [],
    chains: [{ name: "base", base: BASE, rules: chain }, ...others],
  };
  const prepared = prepareTable(table);
  return allBranches((choices) => {
    const packet = given.packet ?? TCP4;
    const skb: Skb = { packet, mark: 0, nftrace: false, ct: undefined, ctState: "invalid", ctDirection: "original", ...given.skb };
    const steps: RuleStep[] = [];
    const bound: string[] = [];
    const evaluation: Evaluation = {
      skb,
      family: packet.src.family,
      hook: given.hook ?? "forward",
      linkIn: given.hook === "output" ? undefined : "eth0",
      linkOut: given.hook === "prerouting" ? undefined : "eth1",
      around: surroundings(bound),
      dynamic: given.dynamic ?? new DynamicStore(),
      choices,
      now: given.now ?? 0,
      elements: undefined,
      steps,
    };
    const base = prepared.bases[0] ?? assert.fail();
    const final = runChain(prepared, base, evaluation);
    return { verdict: final?.kind === "reject" ? final.with : (final?.kind ?? "policy"), skb, steps, bound };
  });
}

/** Whether a match applies. */
function applies(statement: Statement, given: Given = {}): boolean {
  return run([statement, drop()], given).verdict === "drop";
}

/** What an expression reads, by comparing it with what it should be. */
function reads(expr: Expr, value: number | string | ReturnType<typeof parseAddr>, given: Given = {}): void {
  assert.ok(applies(equals(expr, value), given), `is not ${JSON.stringify(value)}`);
  assert.ok(!applies({ kind: "match", left: expr, op: "!=", right: value }, given));
}

/** That an expression has no value (NFT_BREAK): then no comparison applies, whichever way round. */
function breaks(expr: Expr, value: number | string, given: Given = {}): void {
  assert.ok(!applies(equals(expr, value), given));
  assert.ok(!applies({ kind: "match", left: expr, op: "!=", right: value }, given));
}

const CONNECTION: Connection = {
  original: { src: parseAddr("10.0.0.1"), dst: parseAddr("10.96.0.1"), protocol: TCP, srcPort: 40_000, dstPort: 443 },
  reply: { src: parseAddr("10.0.0.2"), dst: parseAddr("10.0.0.1"), protocol: TCP, srcPort: 80, dstPort: 40_000 },
  status: STATUS.dstNat | STATUS.dstNatDone,
  mark: 9,
  expiresMs: 0,
};

describe("payload", () => {
  test("fields of headers", () => {
    reads(payload("ip saddr"), parseAddr("10.0.0.1"));
    reads(payload("ip daddr"), parseAddr("10.0.0.2"));
    reads(payload("ip protocol"), TCP);
    reads(payload("ip ttl"), 64);
    reads(payload("ip6 saddr"), parseAddr("fd00::1"), { packet: TCP6 });
    reads(payload("ip6 daddr"), parseAddr("fd00::2"), { packet: TCP6 });
    reads(payload("ip6 nexthdr"), TCP, { packet: TCP6 });
    reads(payload("ip6 hoplimit"), 64, { packet: TCP6 });
    reads(payload("th sport"), 40_000);
    reads(payload("th dport"), 80);
    reads(payload("tcp flags"), TCP_FLAGS.syn);
    reads(payload("icmp type"), 8, { packet: PING });
    reads(payload("icmpv6 type"), 128, { packet: opening(58, ENDS6) });
    reads(payload("th sport"), 8 << 8, { packet: PING });
  });

  test("what a packet does not have ends the rule", () => {
    breaks(payload("ip6 hoplimit"), 64);
    breaks(payload("ip ttl"), 64, { packet: TCP6 });
    breaks(payload("tcp flags"), 2, { packet: UDP4 });
    breaks(payload("icmp type"), 8);
    breaks(payload("ether type"), 0x0800);
    breaks(payload("th dport"), 80, { packet: { ...TCP4, protocol: 47, srcPort: undefined, dstPort: undefined } as unknown as Packet });
  });

  test("the frame that it came in", () => {
    const skb = { srcMac: parseMac("02:00:00:00:00:01"), dstMac: parseMac("02:00:00:00:00:02") };
    assert.ok(applies({ kind: "match", left: payload("ether saddr"), op: "==", right: skb.srcMac }, { skb }));
    assert.ok(applies({ kind: "match", left: payload("ether daddr"), op: "!=", right: skb.srcMac }, { skb }));
    reads(payload("ether type"), 0x0800, { skb });
  });
});

test("meta", () => {
  reads(meta("l4proto"), TCP);
  reads(meta("nfproto"), 2);
  reads(meta("nfproto"), 10, { packet: TCP6 });
  reads(meta("protocol"), 0x86dd, { packet: TCP6 });
  reads(meta("mark"), 5, { skb: { mark: 5 } });
  reads(meta("nftrace"), 1, { skb: { nftrace: true } });
  reads(meta("iifname"), "eth0");
  reads(meta("oifname"), "eth1");
  reads(meta("iif"), 7);
  reads(meta("oif"), 8);
  // Where there is no link yet, or none any more.
  reads(meta("iifname"), "", { hook: "output" });
  reads(meta("oif"), 0, { hook: "prerouting" });
});

describe("ct", () => {
  const skb = { ct: CONNECTION, ctState: "new", ctDirection: "original" } as const;

  test("keys of the connection, and of its tuples", () => {
    assert.ok(applies(hasFlags("state", "new", "related"), { skb }));
    assert.ok(!applies(hasFlags("state", "established"), { skb }));
    assert.ok(applies(hasFlags("status", "dnat"), { skb }));
    reads(ct("mark"), 9, { skb });
    reads(ct("direction"), 0, { skb });
    reads(ct("direction"), 1, { skb: { ...skb, ctDirection: "reply" } });
    reads(ct("protocol"), TCP, { skb });
    reads(ct("ip daddr", "original"), parseAddr("10.96.0.1"), { skb });
    reads(ct("ip saddr", "reply"), parseAddr("10.0.0.2"), { skb });
    reads(ct("proto-dst", "original"), 443, { skb });
    reads(ct("proto-src", "reply"), 80, { skb });
    breaks(ct("ip6 saddr", "original"), "", { skb });
  });

  test("without a connection there is a state and nothing else", () => {
    assert.ok(applies(hasFlags("state", "invalid")));
    assert.ok(applies(hasFlags("state", "untracked"), { skb: { ctState: "untracked" } }));
    breaks(ct("mark"), 0);
    breaks(ct("direction"), 0);
    breaks(ct("proto-dst", "original"), 443);
  });
});

test("fib", () => {
  const fib = (keys: readonly ("saddr" | "daddr" | "iif" | "oif" | "mark")[], result: "type" | "oif" | "oifname"): Expr => ({
    kind: "fib",
    keys,
    result,
  });
  reads(fib(["daddr"], "type"), named("fib_addrtype", "local"));
  reads(fib(["saddr"], "type"), named("fib_addrtype", "unicast"));
  reads(fib(["daddr", "oif"], "type"), named("fib_addrtype", "unicast"));
  reads(fib(["saddr"], "oifname"), "eth0");
  reads(fib(["saddr", "oif"], "oif"), 8);
  reads(fib(["daddr"], "oif"), 0);
  reads(fib(["daddr"], "oifname"), "");
});

test("numgen, jhash and symhash are choices, with their offsets", () => {
  for (const expr of [
    { kind: "numgen", mode: "random", mod: 3, offset: 5 },
    { kind: "numgen", mode: "inc", mod: 3, offset: 5 },
    { kind: "jhash", of: payload("ip saddr"), mod: 3, offset: 5 },
    { kind: "symhash", mod: 3, offset: 5 },
  ] satisfies Expr[]) {
    const marks = runAll([{ kind: "set", target: { kind: "meta", key: "mark" }, value: expr }]).map(({ probability, result }) => [
      probability,
      result.skb.mark,
    ]);
    assert.deepEqual(
      marks,
      [5, 6, 7].map((mark) => [1 / 3, mark]),
    );
  }
  breaks({ kind: "jhash", of: payload("ip6 saddr"), mod: 1 }, 0);
});

test("bitwise", () => {
  const of = (left: Expr, mask: number, xor?: number): Expr => ({ kind: "bitwise", of: left, mask, ...(xor !== undefined && { xor }) });
  reads(of(meta("mark"), 0xff), 0x34, { skb: { mark: 0x1234 } });
  reads(of(meta("mark"), 0xff, 0x80000000), 0x80000034, { skb: { mark: 0x1234 } });
  assert.ok(applies(inPrefix(payload("ip saddr"), parsePrefix("10.0.0.0/30"))));
  assert.ok(!applies(inPrefix(payload("ip saddr"), parsePrefix("10.0.0.4/30"))));
  assert.ok(applies(inPrefix(payload("ip6 saddr"), parsePrefix("fd00::/127")), { packet: TCP6 }));
  assert.ok(applies(inPrefix(payload("ip6 saddr"), parsePrefix("fd00::4/126"), true), { packet: TCP6 }));
  breaks(of(payload("ip6 hoplimit"), 1), 0);
});

test("comparisons", () => {
  const port = payload("th dport");
  const is = (op: "<" | "<=" | ">" | ">=", right: number): boolean => applies({ kind: "match", left: port, op, right });
  assert.deepEqual(
    [is("<", 80), is("<", 81), is("<=", 80), is(">", 79), is(">", 80), is(">=", 80)],
    [false, true, true, true, false, true],
  );
  const between = (op: "==" | "!=", first: number, last: number): boolean =>
    applies({ kind: "match", left: port, op, right: { first, last } });
  assert.deepEqual(
    [between("==", 80, 90), between("==", 81, 90), between("!=", 81, 90), between("!=", 70, 80)],
    [true, false, true, false],
  );
  const range = { first: parseAddr("fd00::"), last: parseAddr("fd00::ff") };
  assert.ok(applies({ kind: "match", left: payload("ip6 daddr"), op: "==", right: range }, { packet: TCP6 }));
  // Addresses above 127.255.255.255 are no negative numbers.
  const high = { ...TCP4, src: parseAddr("203.0.113.9") };
  assert.ok(applies({ kind: "match", left: payload("ip saddr"), op: ">", right: parseAddr("127.0.0.1") }, { packet: high }));
  assert.ok(applies(equals(meta("iifname"), "eth*")));
  assert.ok(!applies(equals(meta("iifname"), "veth*")));
});

describe("sets and maps", () => {
  const ports: NftSet = { name: "ports", key: ["inet_service"], elements: [{ key: [80] }, { key: [443], comment: "tls" }] };
  const nets: NftSet = {
    name: "nets",
    key: ["ipv4_addr"],
    flags: ["interval"],
    elements: [
      { key: [prefixInterval(parsePrefix("10.0.0.0/30"))], comment: "near" },
      { key: [prefixInterval(parsePrefix("192.168.0.0/16"))] },
    ],
  };

  test("a set, its opposite, and what is not there", () => {
    assert.ok(applies(inSet(payload("th dport"), "ports"), { sets: [ports] }));
    assert.ok(!applies(inSet(payload("th sport"), "ports"), { sets: [ports] }));
    assert.ok(applies(inSet(payload("th sport"), "ports", true), { sets: [ports] }));
    assert.ok(
      !applies(inSet(payload("th dport"), "ports", true), {
        sets: [ports],
        packet: { ...PING, protocol: 50, icmp: undefined } as unknown as Packet,
      }),
    );
    assert.throws(() => run([inSet(payload("th dport"), "nix")]), /no set nix/);
  });

  test("intervals; the element that was found is told", () => {
    assert.ok(applies(inSet(payload("ip saddr"), "nets"), { sets: [nets] }));
    assert.ok(!applies(inSet(payload("ip saddr"), "nets"), { sets: [nets], packet: { ...TCP4, src: parseAddr("10.0.0.4") } }));
    const { steps } = run([inSet(payload("ip saddr"), "nets"), drop()], { sets: [nets] });
    assert.deepEqual(
      steps.map(({ table, chain, index, comment, elements = [] }) => [
        table,
        chain,
        index,
        comment,
        elements.map(({ set, element }) => [set, element.comment]),
      ]),
      [["inet t", "base", 0, "the rule", [["nets", "near"]]]],
    );
  });

  test("intervals in concatenations, one or more of them", () => {
    const key = ["ipv4_addr", "inet_proto", "inet_service"] as const;
    const near = prefixInterval(parsePrefix("10.0.0.0/24"));
    const elements = [
      { key: [near, TCP, { first: 70, last: 90 }], comment: "both" },
      { key: [near, UDP, 53], comment: "net" },
      { key: [parseAddr("10.0.0.2"), UDP, { first: 1000, last: 2000 }], comment: "ports" },
      { key: [parseAddr("10.0.0.2"), UDP, 7], comment: "neither" },
    ];
    const set: NftSet = { name: "s", key, flags: ["interval"], elements };
    const frontend = concat(payload("ip daddr"), meta("l4proto"), payload("th dport"));
    const found = (packet: Packet): string | undefined =>
      run([inSet(frontend, "s")], { sets: [set], packet }).steps[0]?.elements?.[0]?.element.comment;
    const udp = (dstPort: number): Packet => ({ ...UDP4, dstPort });
    assert.deepEqual([found(TCP4), found(udp(53)), found(udp(1500)), found(udp(7))], ["both", "net", "ports", "neither"]);
    assert.deepEqual(
      [found({ ...TCP4, dstPort: 91 }), found(udp(999)), found({ ...TCP4, dst: parseAddr("10.0.1.2") })],
      [undefined, undefined, undefined],
    );
  });

  test("names, MACs and IPv6 addresses as keys, alone and in concatenations", () => {
    const skb = { srcMac: parseMac("02:00:00:00:00:01"), dstMac: parseMac("02:00:00:00:00:02") };
    const links: NftSet = { name: "links", key: ["ifname"], elements: [{ key: ["eth0"] }] };
    const all: NftSet = {
      name: "all",
      key: ["ifname", "ether_addr", "ipv6_addr", "mark"],
      elements: [{ key: ["eth0", skb.srcMac, parseAddr("fd00::1"), 0xfffffff0] }],
    };
    assert.ok(applies(inSet(meta("iifname"), "links"), { sets: [links] }));
    const key = concat(meta("iifname"), payload("ether saddr"), payload("ip6 saddr"), meta("mark"));
    assert.ok(applies(inSet(key, "all"), { sets: [all], packet: TCP6, skb: { ...skb, mark: 0xfffffff0 } }));
    assert.ok(!applies(inSet(key, "all"), { sets: [all], packet: TCP6, skb: { ...skb, mark: 0xfffffff1 } }));
  });

  test("maps: one value, several, verdicts", () => {
    const marks: NftSet = { name: "marks", key: ["inet_service"], data: ["mark"], elements: [{ key: [80], data: [7] }] };
    const mark = (packet: Packet): Result =>
      run(
        [
          {
            kind: "set",
            target: { kind: "meta", key: "mark" },
            value: { kind: "map", key: payload("th dport"), map: "marks", type: ["mark"] },
          },
          drop(),
        ],
        { sets: [marks], packet },
      );
    assert.deepEqual([mark(TCP4).skb.mark, mark(TCP4).verdict, mark({ ...TCP4, dstPort: 81 }).verdict], [7, "drop", "policy"]);
    const verdicts: NftSet = {
      name: "v",
      key: ["inet_service"],
      data: "verdict",
      elements: [
        { key: [80], data: { kind: "drop" } },
        { key: [81], data: { kind: "jump", chain: "other" } },
        { key: [82], data: { kind: "continue" } },
      ],
    };
    const vmap = (dstPort: number): string =>
      run([{ statements: [{ kind: "vmap", key: payload("th dport"), map: "v" }] }, { statements: [reject("tcp reset")] }], {
        sets: [verdicts],
        chains: { other: [{ statements: [accept()] }] },
        packet: { ...TCP4, dstPort },
      }).verdict;
    assert.deepEqual([vmap(80), vmap(81), vmap(82), vmap(83)], ["drop", "accept", "tcp reset", "tcp reset"]);
  });
});

describe("dynset", () => {
  const seen: NftSet = {
    name: "seen",
    key: ["ipv4_addr"],
    data: ["ipv4_addr", "inet_service"],
    flags: ["dynamic", "timeout"],
    size: 2,
    elements: [],
  };
  const target: Expr = { kind: "map", key: payload("ip saddr"), map: "seen", type: ["ipv4_addr", "inet_service"] };
  const remember = (op: "add" | "update" | "delete"): Statement => ({
    kind: "dynset",
    op,
    set: "seen",
    key: payload("ip saddr"),
    ...(op !== "delete" && { data: concat(payload("ip daddr"), payload("th dport")), timeoutMs: 1000 }),
  });
  const dnat: Statement = { kind: "dnat", family: "ip", to: target };
  const given = (dynamic: DynamicStore, now = 0): Given => ({ sets: [seen], dynamic, now });
  const later = (store: DynamicStore, now: number): DynamicStore => new DynamicStore(store.entries(), now);

  test("update puts in what is not there, keeps the data of what is, and begins its time anew", () => {
    const store = new DynamicStore();
    run([remember("update")], given(store));
    assert.deepEqual(run([dnat], given(store)).bound, ["destination 10.0.0.2:80"]);
    const after = later(store, 900);
    run([remember("update")], { ...given(after, 900), packet: { ...TCP4, dstPort: 99 } });
    assert.deepEqual(run([dnat], given(later(after, 1800))).bound, ["destination 10.0.0.2:80"]);
    assert.deepEqual(run([dnat], given(later(after, 1900))).bound, []);
  });

  test("add leaves the time of what is there; delete takes it away", () => {
    const store = new DynamicStore();
    run([remember("add")], given(store));
    const after = later(store, 900);
    run([remember("add")], given(after, 900));
    assert.deepEqual(run([dnat], given(later(after, 1000))).bound, []);
    run([remember("delete")], given(store));
    assert.deepEqual(run([dnat], given(store)).bound, []);
  });

  test("a full set ends the rule", () => {
    const store = new DynamicStore();
    for (const n of [1, 2]) run([remember("add")], { ...given(store), packet: { ...TCP4, src: parseAddr(`10.0.0.${n}`) } });
    assert.equal(run([remember("add"), drop()], { ...given(store), packet: { ...TCP4, src: parseAddr("10.0.0.3") } }).verdict, "policy");
    assert.equal(run([remember("add"), drop()], given(store)).verdict, "drop");
  });

  test("what is deleted from a set's own elements is gone for whoever comes after", () => {
    const sets: NftSet[] = [{ name: "s", key: ["ipv4_addr"], flags: ["dynamic"], elements: [{ key: [parseAddr("10.0.0.1")] }] }];
    const dynamic = new DynamicStore();
    assert.ok(applies(inSet(payload("ip saddr"), "s"), { sets, dynamic }));
    run([{ kind: "dynset", op: "delete", set: "s", key: payload("ip saddr") }], { sets, dynamic });
    assert.ok(!applies(inSet(payload("ip saddr"), "s"), { sets, dynamic }));
  });
});

describe("address translation", () => {
  test("dnat and snat: address, port, both, flags; nothing for the other family", () => {
    const value = (text: string): Expr => ({ kind: "value", type: "ipv4_addr", value: parseAddr(text) });
    const port: Expr = { kind: "value", type: "inet_service", value: 8080 };
    assert.deepEqual(run([{ kind: "dnat", family: "ip", to: concat(value("10.1.1.1"), port) }]).bound, ["destination 10.1.1.1:8080"]);
    assert.deepEqual(run([{ kind: "dnat", family: "ip", to: port }]).bound, ["destination :8080"]);
    assert.deepEqual(run([{ kind: "snat", family: "ip", to: value("10.1.1.1"), flags: ["fully-random"] }]).bound, [
      "source 10.1.1.1: random",
    ]);
    assert.equal(run([{ kind: "dnat", family: "ip", to: port }]).verdict, "accept");
    const six: Expr = { kind: "value", type: "ipv6_addr", value: parseAddr("fd00::9") };
    assert.deepEqual(run([{ kind: "dnat", family: "ip6", to: six }], { packet: TCP6 }).bound, ["destination fd00::9:"]);
    const other = run([{ kind: "dnat", family: "ip6", to: six }, drop()]);
    assert.deepEqual([other.bound, other.verdict], [[], "drop"]);
  });

  test("masquerade takes the outgoing link's address, and drops where it has none", () => {
    assert.deepEqual(run([{ kind: "masquerade", flags: ["random"] }]).bound, ["source 192.0.2.1: random"]);
    assert.equal(run([{ kind: "masquerade" }], { hook: "prerouting" }).verdict, "drop");
  });

  test("redirect goes to the link's address, or to loopback", () => {
    const port: Expr = { kind: "value", type: "inet_service", value: 9 };
    assert.deepEqual(run([{ kind: "redirect", port }], { hook: "prerouting" }).bound, ["destination 192.0.2.7:9"]);
    assert.deepEqual(run([{ kind: "redirect" }], { hook: "output" }).bound, ["destination 127.0.0.1:"]);
  });
});

test("reject, counter, log, limit, notrack, set", () => {
  assert.equal(run([reject("icmpx no-route")]).verdict, "icmpx no-route");
  assert.equal(run([{ kind: "counter", packets: 0, bytes: 0 }, { kind: "log", prefix: "x" }, drop()]).verdict, "drop");
  const limit = { kind: "limit", rate: 1, per: "second", burst: 5 } as const;
  assert.deepEqual([run([limit, drop()]).verdict, run([{ ...limit, over: true }, drop()]).verdict], ["drop", "policy"]);
  assert.equal(run([{ kind: "notrack" }]).skb.ctState, "untracked");
  assert.equal(run([{ kind: "notrack" }], { skb: { ct: CONNECTION, ctState: "new" } }).skb.ctState, "new");
  const one: Expr = { kind: "value", type: "mark", value: 1 };
  assert.equal(run([{ kind: "set", target: { kind: "meta", key: "nftrace" }, value: one }]).skb.nftrace, true);
  const connection = { ...CONNECTION };
  run([{ kind: "set", target: { kind: "ct", key: "mark" }, value: one }], { skb: { ct: connection } });
  assert.equal(connection.mark, 1);
  assert.equal(run([{ kind: "set", target: { kind: "ct", key: "mark" }, value: one }, drop()]).verdict, "drop");
});

test("an expression that nobody knows is walked both ways", () => {
  const verdicts = runAll([{ kind: "other", name: "xt" }, drop()]).map(({ result }) => result.verdict);
  assert.deepEqual(verdicts, ["drop", "policy"]);
});

test("chains: jump comes back, goto does not, return goes back to the last jump", () => {
  const mark = (value: number): Statement => ({
    kind: "set",
    target: { kind: "meta", key: "mark" },
    value: { kind: "value", type: "mark", value },
  });
  const chains = (how: (chain: string) => Statement): Readonly<Record<string, readonly Rule[]>> => ({
    one: [{ statements: [how("two")] }, { statements: [mark(2)] }],
    two: [{ statements: [mark(1)] }, { statements: [{ kind: "verdict", verdict: { kind: "return" } }] }, { statements: [drop()] }],
  });
  const result = (first: (chain: string) => Statement, second: (chain: string) => Statement): [string, number] => {
    const { verdict, skb } = run([{ statements: [first("one")] }, { statements: [reject("icmpx port-unreachable")] }], {
      chains: chains(second),
    });
    return [verdict, skb.mark];
  };
  assert.deepEqual(result(jump, jump), ["icmpx port-unreachable", 2]);
  assert.deepEqual(result(jump, goto), ["icmpx port-unreachable", 1]);
  assert.deepEqual(result(goto, jump), ["policy", 2]);
  assert.deepEqual(result(goto, goto), ["policy", 1]);
  assert.throws(() => run([goto("nix")]), /no chain nix/);
  assert.throws(() => run([goto("round")], { chains: { round: [{ statements: [goto("round")] }] } }), /more than 16 jumps/);
});
