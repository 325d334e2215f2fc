import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseAddr, parsePrefix } from "#ip";
import {
  type BaseChain,
  concat,
  ct,
  equals,
  formatChain,
  formatDuration,
  formatElement,
  formatRule,
  formatSetHeader,
  hasFlags,
  inPrefix,
  inSet,
  meta,
  payload,
  prefixInterval,
  reject,
  type SetHeader,
  type Statement,
  TCP,
} from "./index.ts";

describe("statements", () => {
  const cases: readonly [string, Statement][] = [
    ["ct state established,new", hasFlags("state", "new", "established")],
    ["ct status dnat", hasFlags("status", "dnat")],
    ["ip saddr 10.0.0.0/8", inPrefix(payload("ip saddr"), parsePrefix("10.1.2.3/8"))],
    ["ip saddr 10.1.2.3", inPrefix(payload("ip saddr"), parsePrefix("10.1.2.3/32"))],
    ["ip6 daddr != fd00::/8", inPrefix(payload("ip6 daddr"), parsePrefix("fd00::/8"), true)],
    ["meta l4proto tcp", equals(meta("l4proto"), TCP)],
    ['iifname "eth*"', equals(meta("iifname"), "eth*")],
    ["th dport 1-1023", { kind: "match", left: payload("th dport"), op: "==", right: { first: 1, last: 1023 } }],
    ["th dport != 1-1023", { kind: "match", left: payload("th dport"), op: "!=", right: { first: 1, last: 1023 } }],
    ["th dport >= 1024", { kind: "match", left: payload("th dport"), op: ">=", right: 1024 }],
    ["ip saddr . th dport != @peers", inSet(concat(payload("ip saddr"), payload("th dport")), "peers", true)],
    ["ct original ip daddr @vips", inSet(ct("ip daddr", "original"), "vips")],
    [
      "meta mark & 0x00004000 == 0x00004000",
      { kind: "match", left: { kind: "bitwise", of: meta("mark"), mask: 0x4000 }, op: "==", right: 0x4000 },
    ],
    [
      "meta mark set meta mark ^ 0x00004000",
      { kind: "set", target: { kind: "meta", key: "mark" }, value: { kind: "bitwise", of: meta("mark"), mask: 0xffffffff, xor: 0x4000 } },
    ],
    ["snat ip6 to fd00::1", { kind: "snat", family: "ip6", to: { kind: "value", type: "ipv6_addr", value: parseAddr("fd00::1") } }],
    ["reject with icmp port-unreachable", reject("icmp port-unreachable")],
    ["limit rate over 5/minute burst 5 packets", { kind: "limit", rate: 5, per: "minute", burst: 5, over: true }],
    ["fib saddr . iif oif 0", { kind: "match", left: { kind: "fib", keys: ["saddr", "iif"], result: "oif" }, op: "==", right: 0 }],
    [
      "ct mark set symhash mod 4 offset 1",
      { kind: "set", target: { kind: "ct", key: "mark" }, value: { kind: "symhash", mod: 4, offset: 1 } },
    ],
  ];
  for (const [text, statement] of cases) test(text, () => assert.equal(formatRule({ statements: [statement] }), text));

  test("a counter, with and without its figures", () => {
    const rule = { statements: [{ kind: "counter", packets: 3, bytes: 180 } as const], comment: 'says "hello"' };
    assert.equal(formatRule(rule), "counter packets 3 bytes 180 comment \"says 'hello'\"");
    assert.equal(formatRule(rule, { stateless: true }), "counter comment \"says 'hello'\"");
  });
});

test("priorities have the names that nft takes at the chain's hook", () => {
  const cases: readonly [BaseChain["hook"], number, string][] = [
    ["prerouting", -100, "dstnat"],
    ["prerouting", -110, "dstnat - 10"],
    ["output", -100, "-100"],
    ["postrouting", 100, "srcnat"],
    ["input", 0, "filter"],
    ["forward", 5, "filter + 5"],
    ["input", -300, "raw"],
    ["input", 1000, "1000"],
  ];
  for (const [hook, priority, name] of cases) {
    const text = formatChain({ name: "c", base: { type: "filter", hook, priority, policy: "accept" }, rules: [] });
    assert.equal(text, `chain c {\n\ttype filter hook ${hook} priority ${name}; policy accept;\n}\n`);
  }
});

test("sets are declared by type, or by example where a type has no name", () => {
  const plain: SetHeader = { name: "s", key: ["ipv4_addr", "inet_service"], flags: ["timeout", "dynamic"], size: 10, timeoutMs: 90_000 };
  assert.equal(formatSetHeader(plain), "set s { type ipv4_addr . inet_service; size 10; flags dynamic,timeout; timeout 1m30s; }");
  const byExample: SetHeader = { name: "m", key: ["ipv6_addr", "index"], data: ["ipv6_addr"] };
  assert.equal(formatSetHeader(byExample), "map m { typeof ip6 daddr . numgen random mod 2 : ip6 daddr; }");
});

test("elements: prefixes, ranges, single values, what is left of a timeout", () => {
  const set: SetHeader = { name: "s", key: ["ipv4_addr", "inet_service"], flags: ["interval"] };
  assert.equal(formatElement(set, { key: [prefixInterval(parsePrefix("10.0.0.0/24")), { first: 80, last: 90 }] }), "10.0.0.0/24 . 80-90");
  assert.equal(formatElement(set, { key: [prefixInterval(parsePrefix("10.0.0.1/32")), { first: 80, last: 80 }] }), "10.0.0.1 . 80");
  const timed = { key: [parseAddr("10.0.0.1"), 80], timeoutMs: 3_600_000, expiresMs: 61_001 };
  assert.equal(formatElement(set, timed), "10.0.0.1 . 80 timeout 1h expires 1m1s1ms");
  assert.equal(formatElement(set, timed, { stateless: true }), "10.0.0.1 . 80 timeout 1h");
  assert.equal(formatDuration(0), "0s");
});
