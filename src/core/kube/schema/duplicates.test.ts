import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { duplicateFields } from "./duplicates.ts";

test("keys that come twice are told of by their paths", () => {
  assert.deepEqual(duplicateFields('{"a":1,"a":2}'), ['duplicate field "a"']);
  assert.deepEqual(duplicateFields('{"spec":{"ports":[{"port":1},{"port":1,\n"name" : "x" , "port":2}]},"kind":"\\"}{"}'), [
    'duplicate field "spec.ports[1].port"',
  ]);
  assert.deepEqual(duplicateFields('{"a":{},"b":[],"\\u0061":null}'), ['duplicate field "a"']);
  assert.deepEqual(duplicateFields("[]"), []);
});

test("what JSON.stringify writes has none", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (value, indent) =>
      assert.deepEqual(duplicateFields(JSON.stringify(value, null, indent)), []),
    ),
  );
});
