import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import {
  addrPlus,
  formatAddr,
  formatPrefix,
  maskPrefix,
  nthSubnet,
  parseAddr,
  parsePrefix,
  prefixContains,
  tryParseAddr,
} from "./index.ts";

const addrs = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }), sparse());

/** IPv6 addresses with runs of zeros, where formatting is hard. */
function sparse(): fc.Arbitrary<Uint8Array> {
  return fc.array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 }).map((b) => Uint8Array.from(b));
}

test("formatting agrees with ipaddr.js and parses back", () => {
  fc.assert(
    fc.property(addrs, (bytes) => {
      const text = formatAddr({ family: bytes.length === 4 ? 4 : 6, bytes });
      assert.deepEqual(parseAddr(text).bytes, bytes);
      const oracle = ipaddr.fromByteArray([...bytes]);
      if (oracle instanceof ipaddr.IPv6 && oracle.isIPv4MappedAddress()) return;
      const expected = oracle instanceof ipaddr.IPv6 ? oracle.toRFC5952String() : oracle.toString();
      assert.equal(text, expected);
    }),
    { numRuns: 2000 },
  );
});

test("what is not an address is refused", () => {
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.1.1.1",
    ":::",
    "1::2::3",
    "12345::",
    "1:2:3:4:5:6:7:8:9",
    "::1%eth0",
    "1:2:3:4:5:6:7::8",
    " ::1",
    "1.2.3.4:80",
  ]) {
    assert.equal(tryParseAddr(text), undefined, text);
  }
});

test("a masked prefix contains its address", () => {
  fc.assert(
    fc.property(addrs, fc.nat(128), (bytes, n) => {
      const prefix = maskPrefix({ addr: { family: bytes.length === 4 ? 4 : 6, bytes }, bits: n % (bytes.length * 8 + 1) });
      assert.ok(prefixContains(prefix, { family: prefix.addr.family, bytes }));
      assert.deepEqual(parsePrefix(formatPrefix(prefix)), prefix);
    }),
  );
});

test("subnets and addresses count on", () => {
  assert.equal(formatPrefix(nthSubnet(parsePrefix("10.244.0.0/16"), 24, 3)), "10.244.3.0/24");
  assert.equal(formatPrefix(nthSubnet(parsePrefix("fd00:10:244::/56"), 64, 2)), "fd00:10:244:2::/64");
  assert.equal(formatAddr(addrPlus(parseAddr("10.0.0.255"), 1)), "10.0.1.0");
  assert.throws(() => nthSubnet(parsePrefix("10.244.0.0/16"), 24, 256), /no \/24 number 256/);
});
