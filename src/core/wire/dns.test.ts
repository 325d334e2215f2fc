import assert from "node:assert/strict";
import { test } from "node:test";
import * as oracle from "dns-packet";
import fc from "fast-check";
import { addrFromBytes, formatAddr, parseAddr } from "#ip";
import {
  DNS_CLASS_IN,
  DNS_TYPE,
  type DnsRecord,
  decodeDns,
  decodeDnsName,
  dnsMessage,
  encodeDns,
  encodeDnsName,
  splitDnsName,
} from "./index.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const hex = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value.replaceAll(/\s/g, ""), "hex"));

const label = fc.stringMatching(/^[A-Za-z0-9_]([A-Za-z0-9-]{0,12})$/);
const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join("."));
const address = (length: 4 | 16): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0x7fffffff);

const record: fc.Arbitrary<DnsRecord> = fc.tuple(name, u32).chain(([owner, ttlSeconds]) => {
  const head = { name: owner, ttlSeconds, class: DNS_CLASS_IN };
  return fc.oneof(
    address(4).map((b): DnsRecord => ({ ...head, type: "A", address: addrFromBytes(b) })),
    address(16).map((b): DnsRecord => ({ ...head, type: "AAAA", address: addrFromBytes(b) })),
    fc.tuple(fc.constantFrom("CNAME", "NS", "PTR"), name).map(([type, target]): DnsRecord => ({ ...head, type, target })),
    fc
      .tuple(u16, u16, u16, name)
      .map(([priority, weight, port, target]): DnsRecord => ({ ...head, type: "SRV", priority, weight, port, target })),
    fc
      .array(fc.uint8Array({ maxLength: 255 }), { minLength: 1, maxLength: 3 })
      .map((strings): DnsRecord => ({ ...head, type: "TXT", strings })),
    fc.tuple(name, name, u32, u32, u32, u32, u32).map(
      ([primary, mailbox, serial, refreshSeconds, retrySeconds, expireSeconds, minimumSeconds]): DnsRecord => ({
        ...head,
        type: "SOA",
        primary,
        mailbox,
        serial,
        refreshSeconds,
        retrySeconds,
        expireSeconds,
        minimumSeconds,
      }),
    ),
    fc.uint8Array({ maxLength: 30 }).map((data): DnsRecord => ({ ...head, type: "other", code: 4711, data })),
  );
});

// Codes that dns-packet gives no meaning to.
const optionCode = fc.integer({ min: 65001, max: 65500 });
const edns = fc.record(
  {
    udpSize: u16,
    version: fc.nat(255),
    dnssecOk: fc.boolean(),
    options: fc.array(fc.record({ code: optionCode, data: fc.uint8Array({ maxLength: 8 }) }, { noNullPrototype: true }), { maxLength: 2 }),
  },
  { noNullPrototype: true },
);

const message = fc
  .record(
    {
      id: u16,
      response: fc.boolean(),
      opcode: fc.nat(15),
      authoritative: fc.boolean(),
      truncated: fc.boolean(),
      recursionDesired: fc.boolean(),
      recursionAvailable: fc.boolean(),
      authenticData: fc.boolean(),
      checkingDisabled: fc.boolean(),
      rcode: fc.nat(15),
      questions: fc.array(fc.record({ name, type: u16, class: u16 }, { noNullPrototype: true }), { maxLength: 2 }),
      answers: fc.array(record, { maxLength: 4 }),
      authorities: fc.array(record, { maxLength: 2 }),
      additionals: fc.array(record, { maxLength: 2 }),
    },
    { noNullPrototype: true },
  )
  .chain((base) => fc.option(edns, { nil: undefined }).map((e) => dnsMessage(e === undefined ? base : { ...base, edns: e })));

test("what is encoded is decoded the same", () => {
  fc.assert(fc.property(message, (m) => assert.deepEqual(decodeDns(encodeDns(m)), m)));
});

/** A record of ours as dns-packet shows it. */
function asOracle(r: DnsRecord): unknown {
  switch (r.type) {
    case "A":
    case "AAAA":
      return formatAddr(r.address);
    case "CNAME":
    case "NS":
    case "PTR":
      return r.target;
    case "SRV":
      return { priority: r.priority, weight: r.weight, port: r.port, target: r.target };
    case "TXT":
      return r.strings.map((s) => Buffer.from(s));
    case "SOA":
      return {
        mname: r.primary,
        rname: r.mailbox,
        serial: r.serial,
        refresh: r.refreshSeconds,
        retry: r.retrySeconds,
        expire: r.expireSeconds,
        minimum: r.minimumSeconds,
      };
    case "other":
      return Buffer.from(r.data);
  }
}

/** dns-packet does not write addresses in RFC 5952's form. */
function normalized(type: string, data: unknown): unknown {
  return type === "AAAA" && typeof data === "string" ? formatAddr(parseAddr(data)) : data;
}

test("dns-packet reads what we write", () => {
  fc.assert(
    fc.property(message, (m) => {
      const theirs = oracle.decode(Buffer.from(encodeDns(m)));
      assert.equal(theirs.id, m.id);
      assert.deepEqual(
        theirs.questions?.map((q) => q.name),
        m.questions.map((q) => q.name),
      );
      for (const section of ["answers", "authorities", "additionals"] as const) {
        const found = (theirs[section] ?? []).filter((r) => r.type !== "OPT");
        assert.deepEqual(
          found.map((r) => [r.name, "ttl" in r ? r.ttl : 0, "data" in r ? normalized(r.type, r.data) : undefined]),
          m[section].map((r) => [r.name, r.ttlSeconds, asOracle(r)]),
        );
      }
    }),
  );
});

test("we read what dns-packet writes", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(name, u32, name), { maxLength: 5 }), (rows) => {
      const bytes = oracle.encode({
        type: "response",
        id: 7,
        questions: [{ name: "q.example", type: "SRV" }],
        answers: rows.map(([owner, ttl, target], i) =>
          i % 2 === 0
            ? { type: "CNAME", name: owner, ttl, data: target }
            : { type: "SRV", name: owner, ttl, data: { priority: 1, weight: 2, port: 3, target } },
        ),
        additionals: [
          { type: "OPT", name: ".", udpPayloadSize: 1232, extendedRcode: 1, ednsVersion: 0, flags: 0x8000, flag_do: true, options: [] },
        ],
      });
      const ours = decodeDns(bytes);
      assert.deepEqual(
        ours.answers.map((r) => [r.name, r.ttlSeconds, "target" in r ? r.target : ""]),
        rows,
      );
      assert.deepEqual(ours.edns, { udpSize: 1232, version: 0, dnssecOk: true, options: [] });
      assert.equal(ours.rcode, 16);
    }),
  );
});

test("no bytes make decoding do anything but return or throw FORMERR", () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc.tuple(message, fc.nat(), fc.nat(255)).map(([m, at, byte]) => {
      const bytes = encodeDns(m);
      bytes[at % bytes.length] = byte;
      return bytes;
    }),
  );
  fc.assert(
    fc.property(noise, (bytes) => {
      try {
        decodeDns(bytes);
      } catch (err) {
        assert.equal((err as { code?: string }).code, "FORMERR", String(err));
      }
    }),
    { numRuns: 500 },
  );
});

test("compression: later names point at earlier ones, of the same case", () => {
  const ns = (owner: string, target: string): DnsRecord => ({ name: owner, ttlSeconds: 5, type: "NS", target });
  const question = { name: "web.Cluster.local", type: DNS_TYPE.NS, class: DNS_CLASS_IN };
  const bytes = encodeDns(dnsMessage({ questions: [question], answers: [ns("web.Cluster.local", "ns.Cluster.local")] }));
  assert.equal(Buffer.from(bytes.subarray(35)).toString("hex"), "c00c" + "00020001" + "00000005" + "0005" + "026e73" + "c010");
  const other = encodeDns(dnsMessage({ questions: [question], answers: [ns("web.cluster.local", "x")] }));
  assert.equal(decodeDns(other).answers[0]?.name, "web.cluster.local");
});

for (const [what, bytes] of [
  ["a pointer to itself", hex("0001 0000 0001 0000 0000 0000 c00c 0001 0001")],
  ["a pointer forward", hex("0001 0000 0001 0000 0000 0000 c00f 0001 0001 00")],
  ["two pointers at each other", hex("0001 0000 0001 0000 0000 0000 c00e c00c 0001 0001")],
  ["an endless name", hex(`0001 0000 0001 0000 0000 0000 ${"3f".repeat(1)}${"61".repeat(63)}`.repeat(1))],
  ["a label of an unknown kind", hex("0001 0000 0001 0000 0000 0000 4161 00 0001 0001")],
  ["a count that promises too much", hex("0001 0000 ffff ffff ffff ffff")],
  ["a header cut short", hex("0001 0000 00")],
] as const) {
  test(`${what} is refused`, () => assert.throws(() => decodeDns(bytes), { code: "FORMERR" }));
}

test("a name of pointers longer than 255 bytes is refused", () => {
  const long = Buffer.concat([...Array.from({ length: 5 }, () => Buffer.from(`\x3f${"a".repeat(63)}`, "latin1")), Buffer.from([0])]);
  assert.throws(() => decodeDnsName(long, 0), /longer than 255/);
});

test("names: escapes, final dots, limits", () => {
  assert.deepEqual(splitDnsName("a.b."), ["a", "b"]);
  assert.deepEqual(splitDnsName("a\\.b.c"), ["a\\.b", "c"]);
  assert.deepEqual(splitDnsName("a\\."), ["a\\."]);
  assert.deepEqual(splitDnsName("."), []);
  assert.deepEqual(splitDnsName(""), []);
  const odd = encodeDnsName("a\\.b\\\\\\000\\255.c");
  assert.deepEqual([...odd], [6, 0x61, 0x2e, 0x62, 0x5c, 0, 255, 1, 0x63, 0]);
  assert.equal(decodeDnsName(odd, 0).name, "a\\.b\\\\\\000\\255.c");
  for (const bad of ["a..b", ".a", "x".repeat(64), `${"abcdefgh.".repeat(29)}x`, "ü€"]) {
    assert.throws(() => encodeDnsName(bad), { code: "FORMERR" }, bad);
  }
});

test("truncation: whole records, TC for answers but not for additionals, OPT stays", () => {
  const a = (i: number): DnsRecord => ({ name: "web.example", ttlSeconds: 5, type: "A", address: parseAddr(`10.0.0.${i}`) });
  const many = Array.from({ length: 100 }, (_, i) => a(i));
  const question = { name: "web.example", type: DNS_TYPE.A, class: DNS_CLASS_IN };
  const opt = { udpSize: 1232, version: 0, dnssecOk: false, options: [{ code: 15, data: text("\0\0why") }] };
  const cut = encodeDns(dnsMessage({ questions: [question], answers: many, edns: opt }), 512);
  assert.ok(cut.length <= 512 && cut.length > 512 - 16);
  const back = decodeDns(cut);
  assert.equal(back.truncated, true);
  assert.deepEqual(back.edns, opt);
  assert.equal(back.answers.length, Math.floor((512 - 12 - 17 - 20) / 16));
  const courtesy = decodeDns(encodeDns(dnsMessage({ questions: [question], answers: [a(1)], additionals: many }), 512));
  assert.equal(courtesy.truncated, false);
  assert.ok(courtesy.additionals.length > 20);
});

test("an address of the wrong family is refused", () => {
  const wrong: DnsRecord = { name: "x", ttlSeconds: 1, type: "A", address: parseAddr("::1") };
  assert.throws(() => encodeDns(dnsMessage({ answers: [wrong] })), /cannot hold an address of IPv6/);
});
