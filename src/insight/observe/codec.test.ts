import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addrFromBytes, parseAddr, parseMac } from "#ip";
import { decodeJson, decodeReport, decodeSighting, encodeJson, encodeReport } from "./codec.ts";
import type { NodeReport, Sighting } from "./types.ts";

const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
const data = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.integer(),
    fc.string(),
    fc.boolean(),
    fc.constant(null),
    fc.bigInt(),
    fc.uint8Array(),
    fc.oneof(bytes(4), bytes(16)).map(addrFromBytes),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), tie("value"), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

test("plain data comes back from JSON as it was", () => {
  fc.assert(
    fc.property(data, (value) => {
      assert.deepEqual(decodeJson(JSON.parse(JSON.stringify(encodeJson(value)))), value);
    }),
  );
});

test("members that are undefined are left out; functions are no data; what is tagged wrongly is refused", () => {
  assert.deepEqual(encodeJson({ a: undefined, b: 1 }), { b: 1 });
  assert.throws(() => encodeJson({ a: () => 1 }), /value: a function is not data/);
  assert.throws(() => decodeJson({ $ip: "10.0.0" }), /"10\.0\.0" is not an IP address/);
  assert.throws(() => decodeJson({ $big: "1.5" }), /\$big: "1\.5" is not understood/);
  assert.throws(() => decodeJson([{ $bytes: "abc" }]), /\$bytes: "abc" is not understood/);
  assert.throws(() => decodeJson({ $other: "" }), /\$other/);
});

test("reports and sightings, and what is none", () => {
  const report: NodeReport = {
    node: "node-1",
    timeMs: 1,
    machine: "m",
    problems: [],
    namespaces: [
      {
        role: "node",
        inode: 7,
        state: {
          name: "node-1",
          links: [{ name: "eth0", type: { kind: "other", name: "veth" }, up: true, mac: parseMac("02:00:00:00:00:01") }],
          addrs: [{ link: "eth0", prefix: { addr: parseAddr("fd00::1"), bits: 64 } }],
          routes: [],
        },
        ends: [],
        conntrack: { count: 1, max: 2 },
        sockets: [],
      },
    ],
  };
  assert.deepEqual(decodeReport(JSON.parse(JSON.stringify(encodeReport(report)))), report);
  const lost: Sighting = { kind: "lost", node: "n", namespace: "a/b", what: "traces" };
  assert.deepEqual(decodeSighting(encodeJson(lost)), lost);
  assert.throws(() => decodeReport({ message: "no" }), /report: not a report of a node's network; is the agent of another version\?/);
  assert.throws(() => decodeSighting({ kind: "other" }), /sighting: not a sighting/);
});
