import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  quantityMilliValue,
  quantityValue,
  subtractQuantities,
} from "./quantity.ts";

// [written, canonical]; the rules are in the doc comment of Quantity in apimachinery `api/resource/quantity.go`.
const CANONICAL: [string, string][] = [
  ["0", "0"],
  ["0Mi", "0"],
  ["1000m", "1"],
  ["1500m", "1500m"],
  ["0.1", "100m"],
  [".5", "500m"],
  ["5.", "5"],
  ["100m", "100m"],
  ["1", "1"],
  ["1.5", "1500m"],
  ["1000", "1k"],
  ["1000k", "1M"],
  ["12345", "12345"],
  ["128974848", "128974848"],
  ["129e6", "129e6"],
  ["129M", "129M"],
  ["123Mi", "123Mi"],
  ["1024Ki", "1Mi"],
  ["1536Mi", "1536Mi"],
  ["1.5Gi", "1536Mi"],
  ["2048", "2048"],
  ["1Ki", "1Ki"],
  ["0.5Ki", "512"],
  ["0.1Ki", "102400m"],
  ["1025Ki", "1025Ki"],
  ["1e3", "1e3"],
  ["1E3", "1e3"],
  ["1E", "1E"],
  ["1Ei", "1Ei"],
  ["1e-3", "1e-3"],
  ["12e1", "120"],
  ["1000e0", "1e3"],
  ["0.5n", "1n"],
  ["-0.5n", "-1n"],
  ["1n", "1n"],
  ["1000n", "1u"],
  ["+1", "1"],
  ["-5", "-5"],
  ["-1024Mi", "-1Gi"],
  ["9999Ei", "9223372036854775807"],
  ["0.0000000001", "1n"],
];

for (const [written, canonical] of CANONICAL) {
  test(`${written} is ${canonical}`, () => assert.equal(formatQuantity(parseQuantity(written)), canonical));
}

for (const [text, message] of [
  ["", /must match the regular expression/],
  ["abc", /must match the regular expression/],
  ["1.2.3", /must match the regular expression/],
  [".", /must match the regular expression/],
  ["1 ", /must match the regular expression/],
  ["1mi", /unable to parse quantity's suffix/],
  ["1K", /unable to parse quantity's suffix/],
  ["1e", /unable to parse quantity's suffix/],
  ["1e99999999999", /unable to parse quantity's suffix/],
] as [string, RegExp][]) {
  test(`"${text}" is refused`, () => assert.throws(() => parseQuantity(text, "spec.cpu"), { code: "BadInput", message }));
}

test("sum, difference, order, rounding", () => {
  const sum = addQuantities(parseQuantity("1Gi"), parseQuantity("512Mi"));
  assert.equal(formatQuantity(sum), "1536Mi");
  assert.equal(formatQuantity(addQuantities(parseQuantity("0"), parseQuantity("1Gi"))), "1Gi");
  assert.equal(formatQuantity(subtractQuantities(parseQuantity("2"), parseQuantity("1500m"))), "500m");
  assert.equal(compareQuantities(parseQuantity("1Ki"), parseQuantity("1k")), 1);
  assert.equal(compareQuantities(parseQuantity("1000m"), parseQuantity("1")), 0);
  assert.equal(quantityValue(parseQuantity("1100m")), 2n);
  assert.equal(quantityMilliValue(parseQuantity("0.0001")), 1n);
});

test("formatting is canonical: parsed again it is the same value and the same text", () => {
  const suffix = fc.constantFrom("n", "u", "m", "", "k", "M", "G", "T", "Ki", "Mi", "Gi", "e3", "e-2");
  fc.assert(
    fc.property(fc.integer({ min: -1_000_000, max: 1_000_000 }), fc.nat(999), suffix, (whole, fraction, s) => {
      const quantity = parseQuantity(`${whole}.${fraction}${s}`);
      const text = formatQuantity(quantity);
      assert.equal(compareQuantities(parseQuantity(text), quantity), 0);
      assert.equal(formatQuantity(parseQuantity(text)), text);
      assert.doesNotMatch(text, /\./);
    }),
  );
});
