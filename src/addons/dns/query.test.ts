// Messages as bytes: what is refused, how long replies may be, and that what was prepared says what was computed.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type DNS_TYPE, type DnsMessage, decodeDns } from "#wire";
import type { DnsHandler } from "./handler.ts";
import { parseQuery, type Query, queryMessage } from "./query.ts";
import { apply, CLUSTER, makeHandler, makeZones, queryBytes, replyText, service, slice } from "./testing/cluster.ts";
import { ZoneIndex } from "./zone-index.ts";

const UDP = { tcp: false, family: 4 } as const;
const TCP = { tcp: true, family: 4 } as const;
const edns = (udpSize: number, parts: Partial<DnsMessage["edns"] & object> = {}): { edns: DnsMessage["edns"] & object } => ({
  edns: { udpSize, version: 0, dnssecOk: false, options: [], ...parts },
});
const WEB = "web.shop.svc.cluster.local";

function reply(handler: DnsHandler, bytes: Buffer, via: typeof UDP | typeof TCP = UDP): Buffer {
  const found = handler.handle(bytes, via);
  assert.ok(found instanceof Buffer);
  return found;
}

const handler = makeHandler();

test("what is no query is not answered", () => {
  assert.equal(handler.handle(Buffer.alloc(11), UDP), undefined);
  assert.equal(handler.handle(queryBytes("A", WEB, { response: true }), UDP), undefined);
});

test("rcodes of queries that cannot be answered", () => {
  const header = queryBytes("A", WEB).subarray(0, 12);
  const two = Buffer.from(queryBytes("A", WEB));
  two.writeUInt16BE(2, 4);
  const none = Buffer.from(header);
  none.writeUInt16BE(0, 4);
  const manyOpts = Buffer.concat([queryBytes("A", WEB, edns(1232)), Buffer.from("00002904d0000000000000", "hex")]);
  manyOpts.writeUInt16BE(2, 10);
  for (const [what, bytes, rcode] of [
    ["opcode NOTIFY", queryBytes("A", WEB, { opcode: 4 }), "NOTIMP"],
    ["no question", none, "FORMERR"],
    ["two questions", two, "FORMERR"],
    ["a name cut short", Buffer.concat([header, Buffer.from([3, 0x61])]), "FORMERR"],
    ["a compressed name", Buffer.concat([header, Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])]), "FORMERR"],
    ["a question cut short", queryBytes("A", WEB).subarray(0, -1), "FORMERR"],
    ["two OPT records", manyOpts, "FORMERR"],
    ["class CHAOS", queryBytes("TXT", "version.bind", { class: 3 }), "REFUSED"],
    ["EDNS version 1", queryBytes("A", WEB, edns(1232, { version: 1 })), "BADVERS"],
  ] as const) {
    const decoded = decodeDns(reply(handler, bytes));
    assert.equal(replyText(reply(handler, bytes))[0], rcode, what);
    assert.deepEqual([decoded.id, decoded.response], [4711, true], what);
  }
});

test("flags: what the client asked comes back, RA only with an upstream", () => {
  for (let i = 0; i < 2; i++) {
    const with_ = decodeDns(reply(handler, queryBytes("A", WEB, { recursionDesired: true, checkingDisabled: true })));
    assert.deepEqual([with_.recursionDesired, with_.checkingDisabled, with_.recursionAvailable], [true, true, false]);
    const without = decodeDns(reply(handler, queryBytes("A", WEB, { recursionDesired: false, authenticData: true })));
    assert.deepEqual([without.recursionDesired, without.checkingDisabled, without.authenticData], [false, false, false]);
  }
});

test("OPT comes back when it was sent, without the client's options", () => {
  for (let i = 0; i < 2; i++) {
    const sent = queryBytes("A", WEB, edns(4096, { dnssecOk: true, options: [{ code: 10, data: Buffer.from("cookie!!") }] }));
    assert.deepEqual(decodeDns(reply(handler, sent)).edns, { udpSize: 1232, version: 0, dnssecOk: true, options: [] });
    assert.equal(decodeDns(reply(handler, queryBytes("A", WEB))).edns, undefined);
  }
});

test("an OPT record behind other additional records is found", () => {
  const odd = queryBytes("A", WEB, {
    ...edns(1232),
    additionals: [{ name: "x", ttlSeconds: 0, type: "TXT", strings: [Buffer.from("y")] }],
  });
  assert.notEqual(decodeDns(reply(handler, odd)).edns, undefined);
});

test("truncation: 512 bytes without EDNS, what the client says up to 1232 with, everything over TCP", () => {
  const zones = makeZones(new ZoneIndex());
  const endpoints = Array.from({ length: 120 }, (_, i) => `10.244.9.${i + 1}`);
  apply(zones.index, [
    ...CLUSTER,
    service("shop/big", ["None"], [["http", "TCP", 80]]),
    slice("shop/big-1", "big", endpoints, [["http", "TCP", 80]]),
  ]);
  const big = makeHandler({ zones });
  const name = "big.shop.svc.cluster.local";
  const question = 12 + name.length + 2 + 4;
  const fit = (limit: number): number => Math.floor((limit - question) / 16);
  // In this order and back again: the prepared reply is there from the first on.
  for (const [sent, via, limit, answers] of [
    [queryBytes("A", name), TCP, 65535, 120],
    [queryBytes("A", name), UDP, 512, fit(512)],
    [queryBytes("A", name, edns(100)), UDP, 512, fit(512 - 11)],
    [queryBytes("A", name, edns(900)), UDP, 900, fit(900 - 11)],
    [queryBytes("A", name, edns(65000)), UDP, 1232, fit(1232 - 11)],
    [queryBytes("A", name, edns(512)), TCP, 65535, 120],
  ] as const) {
    const bytes = reply(big, sent, via);
    const decoded = decodeDns(bytes);
    assert.ok(bytes.length <= limit);
    assert.deepEqual([decoded.answers.length, decoded.truncated], [answers, answers < 120]);
  }
  const srv = decodeDns(reply(big, queryBytes("SRV", `_http._tcp.${name}`, edns(1232))));
  assert.equal(srv.truncated, true);
  assert.notEqual(srv.edns, undefined);
});

test("prepared replies say what computed ones say", () => {
  const names = CLUSTER.filter((object) => object.metadata.namespace !== undefined).flatMap((object) => {
    const own = `${object.metadata.name}.${object.metadata.namespace ?? ""}.svc.cluster.local`;
    return [own, `_http._tcp.${own}`, `db-0.${own}`];
  });
  const type = fc.constantFrom("A", "AAAA", "SRV", "TXT", "HTTPS", "MX", "CNAME") as fc.Arbitrary<keyof typeof DNS_TYPE>;
  const used = makeHandler();
  const spelled = fc
    .constantFrom(...names)
    .chain((name) => fc.func(fc.boolean()).map((up) => name.replace(/./g, (c, i: number) => (up(i) ? c.toUpperCase() : c))));
  const ednsOrNot = fc.option(fc.constantFrom(300, 900, 4096), { nil: 0 });
  fc.assert(
    fc.property(spelled, type, ednsOrNot, fc.boolean(), (name, t, size, recursionDesired) => {
      const sent = queryBytes(t, name, { recursionDesired, ...(size === 0 ? {} : edns(size)) });
      const sort = (bytes: Buffer): unknown => {
        const { answers, ...rest } = decodeDns(bytes);
        return { ...rest, answers: answers.map((a) => JSON.stringify(a)).sort() };
      };
      const computed = sort(reply(makeHandler(), sent));
      reply(used, sent);
      assert.deepEqual(sort(reply(used, sent)), computed);
    }),
    { numRuns: 150 },
  );
});

test("no bytes make the server throw, and every reply is a reply", () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc
      .tuple(fc.constantFrom(queryBytes("A", WEB), queryBytes("SRV", `_http._tcp.${WEB}`, edns(1232))), fc.nat(), fc.nat(255))
      .map(([bytes, at, byte]) => {
        const copy = Buffer.from(bytes);
        copy[at % copy.length] = byte;
        return copy;
      }),
  );
  fc.assert(
    fc.property(noise, (bytes) => {
      const found = handler.handle(Buffer.from(bytes), UDP);
      if (found === undefined) return;
      assert.ok(found instanceof Buffer);
      const decoded = decodeDns(found);
      assert.deepEqual([decoded.id, decoded.response], [Buffer.from(bytes).readUInt16BE(0), true]);
    }),
    { numRuns: 500 },
  );
});

test("names with dots, backslashes and bytes inside labels are names like others", () => {
  const query = parseQuery(queryBytes("A", "a\\.b.\\255X.cluster.local"));
  assert.equal(queryMessage(query as Query).questions[0].name, "a\\.b.\\255x.cluster.local");
  assert.equal(replyText(reply(handler, queryBytes("A", "web\\.shop.svc.cluster.local")))[0], "NXDOMAIN aa");
});
