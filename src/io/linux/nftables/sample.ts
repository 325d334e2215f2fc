// One table with one of everything, for tests.
import { parseAddr, parseMac, parsePrefix } from "#ip";
import {
  accept,
  concat,
  ct,
  drop,
  type Expr,
  equals,
  goto,
  gotoVerdict,
  hasFlags,
  inPrefix,
  inSet,
  jump,
  meta,
  payload,
  prefixInterval,
  type Rule,
  reject,
  type Statement,
  type Table,
  TCP,
  UDP,
} from "#nft";

const a4 = parseAddr("10.96.0.1");
const a6 = parseAddr("fd00:10:96::1");
const serviceKey: Expr = concat(payload("ip daddr"), meta("l4proto"), payload("th dport"));
const endpoint = (mod: number): Expr => ({
  kind: "map",
  key: concat(payload("ip daddr"), meta("l4proto"), payload("th dport"), { kind: "numgen", mode: "random", mod }),
  map: "endpoints4",
  type: ["ipv4_addr", "inet_service"],
});
const affinityKey: Expr = concat(ct("ip saddr", "original"), ct("ip daddr", "original"), meta("l4proto"), ct("proto-dst", "original"));
const value = (type: "ipv4_addr" | "ipv6_addr" | "inet_service" | "mark", of: string | number): Expr => ({
  kind: "value",
  type,
  value: typeof of === "string" ? parseAddr(of) : of,
});

function rule(...statements: readonly Statement[]): Rule {
  return { statements };
}

const ipv4: Statement = equals(meta("nfproto"), 2);
const ipv6: Statement = equals(meta("nfproto"), 10);
const tcp: Statement = equals(meta("l4proto"), TCP);

/** The rules of the chain "matches", which nothing reaches: they are there to be read. */
const MATCHES: readonly Rule[] = [
  rule(hasFlags("state", "new", "established"), hasFlags("status", "dnat"), accept()),
  rule(ipv4, inPrefix(payload("ip saddr"), parsePrefix("10.244.0.0/17")), drop()),
  rule(ipv6, inPrefix(payload("ip6 saddr"), parsePrefix("fd00:10:244::/56"), true), drop()),
  rule(ipv4, inPrefix(payload("ip daddr"), parsePrefix("10.0.0.1/32")), { kind: "verdict", verdict: { kind: "continue" } }),
  rule(equals(meta("iifname"), "eth0"), equals(meta("oifname"), "veth*"), { kind: "verdict", verdict: { kind: "return" } }),
  rule(tcp, { kind: "match", left: payload("th dport"), op: "==", right: { first: 8000, last: 8080 } }, accept()),
  rule(tcp, { kind: "match", left: payload("th sport"), op: ">=", right: 1024 }, accept()),
  rule({ kind: "match", left: { kind: "bitwise", of: meta("mark"), mask: 0x4000 }, op: "==", right: 0x4000 }, accept()),
  rule({ kind: "set", target: { kind: "meta", key: "mark" }, value: { kind: "bitwise", of: meta("mark"), mask: 0xffffbfff, xor: 0x4000 } }),
  rule({ kind: "set", target: { kind: "ct", key: "mark" }, value: value("mark", 7) }),
  rule({ kind: "match", left: { kind: "fib", keys: ["daddr"], result: "type" }, op: "==", right: 2 }, accept()),
  rule(equals(meta("l4proto"), 58), equals(payload("icmpv6 type"), 128), accept()),
  rule(ipv4, inSet(payload("ip saddr"), "cidrs4", true), { kind: "counter", packets: 0, bytes: 0 }, drop()),
  rule({ kind: "limit", rate: 10, per: "second", burst: 20 }, { kind: "log", prefix: "drop: ", group: 1 }),
  rule(ipv4, {
    kind: "set",
    target: { kind: "meta", key: "mark" },
    value: { kind: "jhash", of: payload("ip saddr"), mod: 4, seed: 0xbeef },
  }),
  rule(reject("icmpx admin-prohibited")),
];

/** `inet sample`: maps and sets of each kind, a base chain of each kind, a rule of each kind. */
export const SAMPLE: Table = {
  family: "inet",
  name: "sample",
  comment: "one of everything",
  sets: [
    {
      name: "services4",
      key: ["ipv4_addr", "inet_proto", "inet_service"],
      data: "verdict",
      comment: "which chain picks the endpoint",
      elements: [
        { key: [a4, TCP, 80], data: gotoVerdict("pick-2"), comment: "default/web:http" },
        { key: [a4, UDP, 53], data: { kind: "drop" } },
      ],
    },
    {
      name: "endpoints4",
      key: ["ipv4_addr", "inet_proto", "inet_service", "index"],
      data: ["ipv4_addr", "inet_service"],
      elements: [
        { key: [a4, TCP, 80, 0], data: [parseAddr("10.244.1.2"), 8080], comment: "default/web:http" },
        { key: [a4, TCP, 80, 1], data: [parseAddr("10.244.2.2"), 8080] },
      ],
    },
    {
      name: "endpoints6",
      key: ["ipv6_addr", "inet_proto", "inet_service", "index"],
      data: ["ipv6_addr", "inet_service"],
      elements: [{ key: [a6, TCP, 80, 0], data: [parseAddr("fd00:10:244:1::2"), 8080] }],
    },
    {
      name: "affinity4",
      key: ["ipv4_addr", "ipv4_addr", "inet_proto", "inet_service"],
      data: ["ipv4_addr", "inet_service"],
      flags: ["dynamic", "timeout"],
      size: 65_535,
      timeoutMs: 10_800_000,
      elements: [],
    },
    {
      name: "cidrs4",
      key: ["ipv4_addr"],
      flags: ["interval"],
      elements: [
        { key: [{ first: parseAddr("1.2.3.4"), last: parseAddr("1.2.3.9") }], comment: "a range" },
        { key: [parseAddr("9.9.9.9")] },
        { key: [prefixInterval(parsePrefix("10.244.0.0/16"))] },
        { key: [{ first: parseAddr("255.255.255.0"), last: parseAddr("255.255.255.255") }] },
      ],
    },
    {
      name: "peers6",
      key: ["ipv6_addr", "inet_proto", "inet_service"],
      flags: ["interval"],
      elements: [{ key: [prefixInterval(parsePrefix("fd00:10:244::/56")), TCP, { first: 80, last: 90 }], comment: "peers" }],
    },
    { name: "marks", key: ["mark"], data: ["inet_service"], elements: [{ key: [7], data: [8080] }] },
    { name: "links", key: ["ifname"], elements: [{ key: ["eth0"] }] },
    { name: "macs", key: ["ether_addr"], elements: [{ key: [parseMac("02:00:00:00:00:01")] }] },
    {
      name: "seen",
      key: ["ipv4_addr", "ipv4_addr"],
      flags: ["timeout"],
      elements: [{ key: [a4, a4], timeoutMs: 3_600_000, comment: "for an hour" }],
    },
  ],
  chains: [
    { name: "pick-2", rules: [{ statements: [ipv4, { kind: "dnat", family: "ip", to: endpoint(2) }], comment: "one of two" }] },
    { name: "refuse", comment: "says no", rules: [rule(tcp, reject("tcp reset")), rule(reject("icmpx port-unreachable"))] },
    { name: "matches", rules: MATCHES },
    {
      name: "fixed",
      rules: [
        rule(tcp, { kind: "dnat", family: "ip", to: concat(value("ipv4_addr", "10.1.2.3"), value("inet_service", 80)) }),
        rule(tcp, { kind: "dnat", family: "ip6", to: concat(value("ipv6_addr", "fd00::1"), value("inet_service", 80)) }),
        rule(tcp, { kind: "redirect", port: value("inet_service", 8080) }),
      ],
    },
    {
      name: "prerouting",
      base: { type: "nat", hook: "prerouting", priority: -100, policy: "accept" },
      rules: [rule(ipv4, { kind: "vmap", key: serviceKey, map: "services4" })],
    },
    {
      name: "postrouting",
      base: { type: "nat", hook: "postrouting", priority: 100, policy: "accept" },
      rules: [
        rule(ipv4, tcp, {
          kind: "dynset",
          op: "update",
          set: "affinity4",
          key: affinityKey,
          data: concat(payload("ip daddr"), payload("th dport")),
          timeoutMs: 5000,
        }),
        rule(ipv4, inSet(concat(payload("ip saddr"), payload("ip daddr")), "seen"), { kind: "masquerade", flags: ["fully-random"] }),
        rule(ipv4, { kind: "snat", family: "ip", to: value("ipv4_addr", "192.0.2.1"), flags: ["random", "persistent"] }),
      ],
    },
    { name: "raw", base: { type: "filter", hook: "prerouting", priority: -300, policy: "accept" }, rules: [rule({ kind: "notrack" })] },
    {
      name: "input",
      base: { type: "filter", hook: "input", priority: -5, policy: "drop" },
      rules: [rule(hasFlags("state", "new"), jump("matches")), rule(goto("refuse"))],
    },
  ],
};
