import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddr, parseMac, parsePrefix } from "#ip";
import { podObject } from "./testing/fixture.ts";
import { formatPacketOf, plain } from "./text.ts";

test("JSON has text where values are not JSON's, and names instead of whole objects", () => {
  const value = {
    addr: parseAddr("fd00::1"),
    dst: parsePrefix("10.0.0.0/8"),
    mac: parseMac("02:00:00:00:00:01"),
    timeNs: 5n,
    none: undefined,
    list: [{ pod: podObject("x/web", ["10.0.0.1"]) }],
  };
  assert.deepEqual(plain(value), {
    addr: "fd00::1",
    dst: { addr: "10.0.0.0", bits: 8 },
    mac: "02:00:00:00:00:01",
    timeNs: "5",
    list: [{ pod: { namespace: "x", name: "web", uid: "uid-web" } }],
  });
});

test("a packet in a line", () => {
  const packet = { src: parseAddr("10.0.0.1"), dst: parseAddr("fd00::2"), protocol: 6, dstPort: 80, length: 60 };
  assert.equal(formatPacketOf(packet), "10.0.0.1 > [fd00::2]:80 protocol 6, 60 bytes");
});
