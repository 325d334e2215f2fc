// The cache, the choice among upstreams, and reading resolv.conf.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { type TestContext, test } from "node:test";
import { type Clock, silentLogger } from "#base";
import { parseAddr } from "#ip";
import { type DnsMessage, type DnsRecord, decodeDns, dnsMessage, encodeDns } from "#wire";
import { AnswerCache } from "./cache.ts";
import { Forwarder } from "./forwarder.ts";
import { addrOfDashedLabel, addrOfReverseName, dashedLabel, reverseName } from "./names.ts";
import { parseNameservers, parseUpstream, withoutSelf } from "./resolv-conf.ts";

const question = { name: "www.example.com", type: 1, class: 1 };
const a = (ttlSeconds: number): DnsRecord => ({ name: question.name, ttlSeconds, type: "A", address: parseAddr("198.51.100.7") });
const soa = (ttlSeconds: number, minimumSeconds: number): DnsRecord => ({
  name: "example.com",
  ttlSeconds,
  type: "SOA",
  primary: "ns.example.com",
  mailbox: "x.example.com",
  serial: 1,
  refreshSeconds: 1,
  retrySeconds: 1,
  expireSeconds: 1,
  minimumSeconds,
});
const bytes = (parts: Partial<DnsMessage>): Buffer =>
  Buffer.from(encodeDns(dnsMessage({ response: true, questions: [question], ...parts })));

// [what, reply, seconds that it is kept; 0: not at all]
for (const [what, reply, seconds] of [
  ["an answer, for its TTL", bytes({ answers: [a(12), a(20)] }), 12],
  ["a long TTL, no longer than allowed", bytes({ answers: [a(3600)] }), 30],
  ["TTL 0", bytes({ answers: [a(0)] }), 0],
  ["NXDOMAIN, for the SOA's minimum", bytes({ rcode: 3, authorities: [soa(100, 7)] }), 7],
  ["no data, for the SOA's TTL", bytes({ authorities: [soa(9, 100)] }), 9],
  ["NXDOMAIN without SOA", bytes({ rcode: 3 }), 0],
  ["SERVFAIL", bytes({ rcode: 2 }), 5],
  ["REFUSED", bytes({ rcode: 5 }), 0],
  ["truncated", bytes({ truncated: true, answers: [a(30)] }), 0],
  ["OPT has no TTL", bytes({ answers: [a(30)], edns: { udpSize: 1232, version: 0, dnssecOk: false, options: [] } }), 30],
  ["cut short", bytes({ answers: [a(30)] }).subarray(0, -3), 0],
] as const) {
  test(`cache: ${what}`, () => {
    const cache = new AnswerCache({ maxTtlSeconds: 30, maxEntries: 10 });
    cache.set("k", reply, 1_000_000);
    assert.equal(cache.get("k", 1_000_000 + seconds * 1000 - 1) !== undefined, seconds > 0);
    assert.equal(cache.get("k", 1_000_000 + seconds * 1000), undefined);
  });
}

test("cache: TTLs count down, the kept copy stays whole, the oldest goes first", () => {
  const cache = new AnswerCache({ maxTtlSeconds: 300, maxEntries: 2 });
  cache.set("k", bytes({ answers: [a(100)], edns: { udpSize: 1232, version: 0, dnssecOk: true, options: [] } }), 0);
  const aged = (ms: number): number | undefined => decodeDns(cache.get("k", ms)?.bytes ?? Buffer.alloc(0)).answers[0]?.ttlSeconds;
  assert.deepEqual([aged(0), aged(40_500), aged(10_000)], [100, 60, 90]);
  assert.equal(decodeDns(cache.get("k", 50_000)?.bytes ?? Buffer.alloc(0)).edns?.dnssecOk, true);
  cache.set("l", bytes({ rcode: 2 }), 0);
  assert.deepEqual(cache.sizes(), { success: 1, denial: 1 });
  cache.set("m", bytes({ answers: [a(1)] }), 0);
  assert.equal(cache.get("k", 0), undefined);
});

test("nobody to ask fails at once", async () => {
  const clock: Clock = { now: () => 0, sleep: () => Promise.resolve() };
  const forwarder = new Forwarder({ upstreams: [], clock, logger: silentLogger, maxConcurrent: 0 });
  assert.equal(forwarder.hasUpstream, false);
  assert.equal(forwarder.isFull(), true);
  await assert.rejects(forwarder.ask(bytes({}), "udp"), { code: "NoUpstream" });
});

/** A forwarder with an upstream that never answers: only `look` can end a question. */
async function silentForwarder(
  t: TestContext,
  look: (calls: number) => string | undefined,
): Promise<{ forwarder: Forwarder; calls: () => number; pass: (ms: number) => void }> {
  const udp = createSocket("udp4");
  await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve));
  let nowMs = 0;
  let calls = 0;
  const clock: Clock = { now: () => nowMs, sleep: () => Promise.resolve() };
  const upstreams = [{ host: "127.0.0.1", port: udp.address().port }];
  const forwarder = new Forwarder({
    upstreams,
    clock,
    logger: silentLogger,
    timeoutMs: 1 << 30,
    deadlineMs: 1 << 30,
    look: async () => look(++calls),
  });
  t.after(() => {
    forwarder.close();
    udp.close();
  });
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  return { forwarder, calls: () => calls, pass };
}

const QUERY = bytes({ response: false });

test("an upstream to which there is no way fails at once, and is not looked at for each question", async (t) => {
  const { forwarder, calls, pass } = await silentForwarder(t, () => "connect ENETUNREACH 127.0.0.1:53");
  const ask = (): Promise<unknown> => forwarder.ask(QUERY, "udp");
  await assert.rejects(ask(), {
    code: "Unreachable",
    message: /Cannot ask the upstream name server 127\.0\.0\.1:\d+: connect ENETUNREACH/,
  });
  await Promise.all(Array.from({ length: 20 }, () => assert.rejects(ask(), { code: "Unreachable" })));
  assert.equal(calls(), 1);
  pass(2000);
  await Promise.all(Array.from({ length: 20 }, () => assert.rejects(ask(), { code: "Unreachable" })));
  assert.equal(calls(), 2);
});

test("a router's word about a way is believed for a while only", async (t) => {
  const { forwarder, calls, pass } = await silentForwarder(t, (call) => (call === 1 ? "connect EHOSTUNREACH" : "connect ENETUNREACH"));
  await assert.rejects(forwarder.ask(QUERY, "udp"), { message: /EHOSTUNREACH/ });
  pass(1999);
  await assert.rejects(forwarder.ask(QUERY, "udp"), { message: /EHOSTUNREACH/ });
  assert.equal(calls(), 1);
  pass(1);
  await assert.rejects(forwarder.ask(QUERY, "udp"), { message: /ENETUNREACH/ });
});

test("an upstream behind a filter that refuses TCP alone is asked all the same", async (t) => {
  const udp = createSocket("udp4");
  await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve));
  udp.on("message", (query, from) => {
    const reply = Buffer.from(query);
    reply[2] = 0x80;
    udp.send(reply, from.port, from.address);
  });
  let calls = 0;
  const forwarder = new Forwarder({
    upstreams: [{ host: "127.0.0.1", port: udp.address().port }],
    // The time of doubt does not pass: the answer comes in it.
    clock: { now: () => 0, sleep: (_, signal) => new Promise((resolve) => signal?.addEventListener("abort", () => resolve())) },
    logger: silentLogger,
    look: async () => `connect EHOSTUNREACH, look ${++calls}`,
  });
  t.after(() => {
    forwarder.close();
    udp.close();
  });
  for (let i = 0; i < 3; i++) assert.equal((await forwarder.ask(QUERY, "udp")).length, QUERY.length);
  assert.equal(calls, 1);
});

test("upstreams as text", () => {
  assert.deepEqual(parseUpstream("192.0.2.1"), { host: "192.0.2.1", port: 53 });
  assert.deepEqual(parseUpstream("192.0.2.1:5353"), { host: "192.0.2.1", port: 5353 });
  assert.deepEqual(parseUpstream("2001:db8::1"), { host: "2001:db8::1", port: 53 });
  assert.deepEqual(parseUpstream("[2001:db8::1]:5353"), { host: "2001:db8::1", port: 5353 });
  for (const bad of ["example.com", "192.0.2.1:0", "192.0.2.1:99999", "", "[192.0.2.1"]) {
    assert.throws(() => parseUpstream(bad, "--upstream"), { code: "BadInput", message: /^--upstream: / }, bad);
  }
});

test("resolv.conf: name servers, without ourselves", () => {
  const text =
    "# nameserver 9.9.9.9\nsearch x\nnameserver 192.0.2.1\nnameserver\t127.0.0.53\nnameserver fe80::1%eth0\nnameserver bad\noptions ndots:5\n";
  const found = parseNameservers(text);
  assert.deepEqual(
    found.map((upstream) => upstream.host),
    ["192.0.2.1", "127.0.0.53", "fe80::1"],
  );
  assert.deepEqual(
    withoutSelf(found, 53).map((upstream) => upstream.host),
    ["192.0.2.1", "fe80::1"],
  );
  assert.equal(withoutSelf(found, 5353).length, 3);
});

test("addresses as names and back", () => {
  for (const text of ["10.244.1.5", "fd00:10:244:1::5", "::", "2001:db8::"]) {
    const addr = parseAddr(text);
    const labels = reverseName(addr).split(".");
    assert.deepEqual(addrOfReverseName(labels.slice(0, -2), labels.slice(-2).join(".")), addr);
  }
  assert.equal(dashedLabel("fd00::"), "fd00--0");
  assert.deepEqual(addrOfDashedLabel("fd00--0"), parseAddr("fd00::"));
  assert.equal(addrOfDashedLabel("web-0"), undefined);
});
