import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addrFromBigInt, addrToBigInt, type Family, formatAddr, formatPrefix, type Prefix, prefixContains } from "#ip";
import type { Interval } from "#nft";
import { type Block, decompose, parseCidr } from "./blocks.ts";

function text({ first, last }: Interval): string {
  assert.ok(typeof first === "object" && "family" in first && typeof last === "object" && "family" in last);
  return `${formatAddr(first)}-${formatAddr(last)}`;
}

function block(cidr: string, ...except: string[]): Block {
  const parse = (one: string): Prefix => parseCidr(one) ?? assert.fail(one);
  return { cidr: parse(cidr), except: except.map(parse) };
}

test("what is excepted at the ends, in the middle, altogether and beyond", () => {
  const ranges = (...blocks: Block[]): string[] => decompose(blocks, 4).map(text);
  assert.deepEqual(ranges(block("0.0.0.0/0")), ["0.0.0.0-255.255.255.255"]);
  assert.deepEqual(ranges(block("0.0.0.0/0", "0.0.0.0/1")), ["128.0.0.0-255.255.255.255"]);
  assert.deepEqual(ranges(block("10.0.0.0/24", "10.0.0.64/26", "10.0.0.255/32")), ["10.0.0.0-10.0.0.63", "10.0.0.128-10.0.0.254"]);
  assert.deepEqual(ranges(block("10.0.0.0/24", "10.0.0.0/16")), []);
  assert.deepEqual(ranges(block("10.0.0.0/24", "10.0.1.0/24", "fd00::/8")), ["10.0.0.0-10.0.0.255"]);
  assert.deepEqual(ranges(block("10.0.0.0/24", "10.0.0.0/25"), block("10.0.0.0/26")), ["10.0.0.0-10.0.0.63", "10.0.0.128-10.0.0.255"]);
  assert.deepEqual(ranges(block("fd00::/8")), []);
});

test("host bits and leading zeros, as old objects have them", () => {
  assert.deepEqual(decompose([block("010.0.001.7/24")], 4).map(text), ["10.0.1.0-10.0.1.255"]);
  assert.equal(parseCidr("10.0.0.0/33"), undefined);
  assert.equal(parseCidr("::1"), undefined);
});

for (const family of [4, 6] as const satisfies readonly Family[]) {
  // The last 16 addresses and the first 16, so that both ends of the family's space are met.
  const bits = family === 4 ? 32 : 128;
  const space = 1n << BigInt(bits);
  const prefix = fc
    .tuple(fc.bigInt({ min: -16n, max: 15n }), fc.integer({ min: bits - 6, max: bits }))
    .map(([n, length]): Prefix => ({ addr: addrFromBigInt(family, (n + space) % space), bits: length }));
  const blocks = fc.array(fc.record({ cidr: prefix, except: fc.array(prefix, { maxLength: 4 }) }), { maxLength: 5 });

  test(`the same addresses, disjoint and in order, IPv${family}`, () => {
    fc.assert(
      fc.property(blocks, (list) => {
        const ranges = decompose(list, family).map(({ first, last }) => [number(first), number(last)] as const);
        for (const [i, [first, last]] of ranges.entries()) {
          assert.ok(first <= last);
          assert.ok(i === 0 || (ranges[i - 1]?.[1] ?? 0n) + 1n < first, "neither overlap nor touch");
        }
        for (let n = -70n; n < 70n; n++) {
          const addr = addrFromBigInt(family, (n + space) % space);
          const wanted = list.some(({ cidr, except }) => prefixContains(cidr, addr) && !except.some((hole) => prefixContains(hole, addr)));
          const found = ranges.some(([first, last]) => first <= addrToBigInt(addr) && addrToBigInt(addr) <= last);
          assert.equal(found, wanted, `${formatAddr(addr)} in ${list.map(({ cidr }) => formatPrefix(cidr)).join(" ")}`);
        }
      }),
    );
  });
}

function number(value: Interval["first"]): bigint {
  assert.ok(typeof value === "object" && "family" in value);
  return addrToBigInt(value);
}
