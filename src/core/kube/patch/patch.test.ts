import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { TypeSchema } from "../schema/types.ts";
import { applyJsonPatch, applyMergePatch, applyStrategicMergePatch, createMergePatch, type Json, type JsonObject } from "./index.ts";

const json = (): fc.Arbitrary<Json> => fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>;
/** Applies and checks that the input was not touched. */
function untouched<T extends Json>(input: T, apply: (input: T) => Json): Json {
  const before = JSON.stringify(input);
  const result = apply(input);
  assert.equal(JSON.stringify(input), before);
  return result;
}

// [section of RFC 6902 or what it shows, document, patch, result or error]
const JSON_PATCHES: [string, Json, Json, Json | RegExp][] = [
  ["add a member", { a: 1 }, [{ op: "add", path: "/b", value: 2 }], { a: 1, b: 2 }],
  ["add replaces a member", { a: 1 }, [{ op: "add", path: "/a", value: null }], { a: null }],
  ["add into an array", { l: [1, 3] }, [{ op: "add", path: "/l/1", value: 2 }], { l: [1, 2, 3] }],
  ["add at the end by -", { l: [1] }, [{ op: "add", path: "/l/-", value: [2] }], { l: [1, [2]] }],
  ["add at the end by index", [1], [{ op: "add", path: "/1", value: 2 }], [1, 2]],
  ["add beyond the end", [1], [{ op: "add", path: "/3", value: 2 }], /out of bounds/],
  ["add below what is not there", {}, [{ op: "add", path: "/a/b", value: 2 }], /no "a"/],
  ["add to the root", { a: 1 }, [{ op: "add", path: "", value: [] }], []],
  ["leading zeros are no index", [1, 2], [{ op: "remove", path: "/01" }], /not an array index/],
  ["remove", { a: 1, b: { c: 2 } }, [{ op: "remove", path: "/b/c" }], { a: 1, b: {} }],
  ["remove from an array", [1, 2, 3], [{ op: "remove", path: "/1" }], [1, 3]],
  ["remove what is not there", {}, [{ op: "remove", path: "/a" }], /no "a"/],
  ["remove does not see the prototype", {}, [{ op: "remove", path: "/constructor" }], /no "constructor"/],
  ["replace", { a: [{ b: 1 }] }, [{ op: "replace", path: "/a/0/b", value: 2 }], { a: [{ b: 2 }] }],
  ["replace what is not there", {}, [{ op: "replace", path: "/a", value: 2 }], /no "a"/],
  ["move", { a: { x: 1 }, b: {} }, [{ op: "move", from: "/a/x", path: "/b/y" }], { a: {}, b: { y: 1 } }],
  ["move in an array", [1, 2, 3], [{ op: "move", from: "/0", path: "/2" }], [2, 3, 1]],
  ["move onto itself", { a: 1 }, [{ op: "move", from: "/a", path: "/a" }], { a: 1 }],
  ["move into its child", { a: { b: 1 } }, [{ op: "move", from: "/a", path: "/a/b" }], /own child/],
  ["copy", { a: [1] }, [{ op: "copy", from: "/a", path: "/b" }], { a: [1], b: [1] }],
  ["test holds", { a: { x: 1, y: [2] } }, [{ op: "test", path: "/a", value: { y: [2], x: 1 } }], { a: { x: 1, y: [2] } }],
  ["test fails", { a: "1" }, [{ op: "test", path: "/a", value: 1 }], /testing value \/a failed/],
  ["test of null", { a: null }, [{ op: "test", path: "/a", value: null }], { a: null }],
  [
    "escapes",
    { "a/b": 1, "c~d": 2 },
    [
      { op: "remove", path: "/a~1b" },
      { op: "test", path: "/c~0d", value: 2 },
    ],
    { "c~d": 2 },
  ],
  ["~01 is ~1", { "~1": 1 }, [{ op: "remove", path: "/~01" }], {}],
  ["empty keys", { "": { "": 1 } }, [{ op: "replace", path: "//", value: 2 }], { "": { "": 2 } }],
  [
    "all or nothing",
    { a: 1 },
    [
      { op: "remove", path: "/a" },
      { op: "remove", path: "/a" },
    ],
    /no "a"/,
  ],
  ["no array", { a: 1 }, { op: "remove", path: "/a" }, /must be an array/],
  ["unknown op", {}, [{ op: "spin", path: "/a" }], /not add, remove/],
  ["no value", {}, [{ op: "add", path: "/a" }], /"value" is missing/],
  ["no pointer", {}, [{ op: "add", path: "a", value: 1 }], /does not begin with/],
];
for (const [name, document, patch, expected] of JSON_PATCHES) {
  test(`JSON patch: ${name}`, () => {
    const run = (): Json => untouched(document, (d) => applyJsonPatch(d, patch));
    if (expected instanceof RegExp) assert.throws(run, expected);
    else assert.deepEqual(run(), expected);
  });
}

test("JSON patch keeps __proto__ a plain key", () => {
  const made = applyJsonPatch({}, [{ op: "add", path: "/__proto__", value: { polluted: true } }]);
  assert.equal(JSON.stringify(made), '{"__proto__":{"polluted":true}}');
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});

// Every form that RFC 7386 §3 and its appendix distinguish, with values of our own.
const MERGE_PATCHES: [Json, Json, Json][] = [
  [{ x: "1" }, { x: "2" }, { x: "2" }],
  [{ x: "1" }, { y: "2" }, { x: "1", y: "2" }],
  [{ x: "1" }, { x: null }, {}],
  [{ x: "1", y: "2" }, { x: null }, { y: "2" }],
  [{ x: ["1"] }, { x: "2" }, { x: "2" }],
  [{ x: "2" }, { x: ["1"] }, { x: ["1"] }],
  [{ x: { y: "1" } }, { x: { y: "2", z: null } }, { x: { y: "2" } }],
  [{ x: [{ y: "1" }] }, { x: [1] }, { x: [1] }],
  [["1"], ["2", null], ["2", null]],
  [{ x: 1 }, ["2"], ["2"]],
  [{ x: 1 }, null, null],
  [{ x: null }, { y: 1 }, { x: null, y: 1 }],
  [[1], { x: "1", y: null }, { x: "1" }],
  [{}, { x: { y: { z: null } } }, { x: { y: {} } }],
];
for (const [target, patch, expected] of MERGE_PATCHES) {
  test(`merge patch: ${JSON.stringify(target)} with ${JSON.stringify(patch)}`, () => {
    assert.deepEqual(
      untouched(target, (t) => applyMergePatch(t, patch)),
      expected,
    );
  });
}

test("merge patches that were computed lead where they should", () => {
  const noNulls = (value: Json): Json => JSON.parse(JSON.stringify(value).replaceAll("null", "0")) as Json;
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom("a", "b", "c"), json()),
      fc.dictionary(fc.constantFrom("a", "b", "c"), json()),
      (from, raw) => {
        const to = noNulls(raw) as JsonObject;
        const patch = createMergePatch(from, to);
        assert.deepEqual({ ...(applyMergePatch(from, patch ?? {}) as JsonObject) }, { ...to });
      },
    ),
  );
});

const SCHEMAS: Record<string, TypeSchema> = {
  Pod: { name: "Pod", fields: { spec: { type: "object", ref: "Spec" }, metadata: { type: "object", ref: "Meta" } } },
  Meta: {
    name: "Meta",
    fields: {
      labels: { type: "map", items: { type: "string" } },
      finalizers: { type: "array", items: { type: "string" }, patchStrategy: "merge" },
    },
  },
  Spec: {
    name: "Spec",
    fields: {
      containers: { type: "array", items: { type: "object", ref: "Container" }, patchStrategy: "merge", mergeKey: "name" },
      tolerations: { type: "array", items: { type: "object", ref: "Toleration" } },
      volumes: { type: "array", items: { type: "object", ref: "Volume" }, patchStrategy: "merge,retainKeys", mergeKey: "name" },
      strategy: { type: "object", ref: "Strategy", patchStrategy: "retainKeys" },
      atomic: { type: "object", ref: "Strategy", patchStrategy: "replace" },
    },
  },
  Container: {
    name: "Container",
    fields: {
      name: { type: "string" },
      image: { type: "string" },
      args: { type: "array", items: { type: "string" } },
      ports: { type: "array", items: { type: "object" }, patchStrategy: "merge", mergeKey: "containerPort" },
    },
  },
};
const pod = (...containers: Json[]): JsonObject => ({ spec: { containers } });
const c = (name: string, rest: JsonObject = {}): JsonObject => ({ name, ...rest });

const STRATEGIC: [string, JsonObject, JsonObject, JsonObject | RegExp][] = [
  [
    "a keyed element is merged",
    pod(c("a", { image: "1", args: ["x"] })),
    pod(c("a", { image: "2" })),
    pod(c("a", { image: "2", args: ["x"] })),
  ],
  // Upstream's order without $setElementOrder: an element only in the original comes first where it precedes nothing of the patch.
  ["a new element", pod(c("a")), pod(c("b")), pod(c("b"), c("a"))],
  ["an atomic list is replaced", pod(c("a", { args: ["x", "y"] })), pod(c("a", { args: ["z"] })), pod(c("a", { args: ["z"] }))],
  ["null removes a field of an element", pod(c("a", { image: "1" })), pod(c("a", { image: null })), pod(c("a"))],
  ["$patch: delete of an element", pod(c("a"), c("b")), pod({ $patch: "delete", name: "a" }), pod(c("b"))],
  ["$patch: replace of a list", pod(c("a"), c("b")), pod({ $patch: "replace" }, c("z", { image: null })), pod(c("z"))],
  [
    "$patch: replace of an object",
    { spec: { strategy: { type: "A", x: 1 } } },
    { spec: { strategy: { $patch: "replace", type: "B" } } },
    { spec: { strategy: { type: "B" } } },
  ],
  [
    "$patch: delete of an object",
    { spec: { strategy: { type: "A" } } },
    { spec: { strategy: { $patch: "delete" } } },
    { spec: { strategy: {} } },
  ],
  [
    "$patch: merge of an object",
    { spec: { strategy: { a: 1 } } },
    { spec: { strategy: { $patch: "merge", b: 2 } } },
    { spec: { strategy: { a: 1, b: 2 } } },
  ],
  ["unknown $patch", pod(), { spec: { $patch: "spin" } }, /unknown patch type/],
  ["an element without its key", pod(c("a")), pod({ image: "x" }), /does not contain declared merge key: name/],
  [
    "nested keyed lists",
    pod(c("a", { ports: [{ containerPort: 80 }] })),
    pod(c("a", { ports: [{ containerPort: 80, name: "http" }] })),
    pod(c("a", { ports: [{ containerPort: 80, name: "http" }] })),
  ],
  [
    "maps merge",
    { metadata: { labels: { a: "1", b: "2" } } },
    { metadata: { labels: { b: null, c: "3" } } },
    { metadata: { labels: { a: "1", c: "3" } } },
  ],
  [
    "a list without strategy is replaced",
    { spec: { tolerations: [{ key: "a" }] } },
    { spec: { tolerations: [{ key: "b" }] } },
    { spec: { tolerations: [{ key: "b" }] } },
  ],
  [
    "sets of scalars are united",
    { metadata: { finalizers: ["a", "b"] } },
    { metadata: { finalizers: ["b", "c"] } },
    { metadata: { finalizers: ["a", "b", "c"] } },
  ],
  [
    "$deleteFromPrimitiveList",
    { metadata: { finalizers: ["a", "b"] } },
    { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"] } },
    { metadata: { finalizers: ["b"] } },
  ],
  [
    "$deleteFromPrimitiveList of an absent list",
    { metadata: {} },
    { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"] } },
    { metadata: {} },
  ],
  [
    "$setElementOrder, delete and change at once",
    pod(c("a", { image: "1" }), c("b"), c("c")),
    {
      spec: {
        "$setElementOrder/containers": [{ name: "c" }, { name: "a" }],
        containers: [
          { name: "a", image: "2" },
          { $patch: "delete", name: "b" },
        ],
      },
    },
    pod(c("c"), c("a", { image: "2" })),
  ],
  [
    "$setElementOrder alone reorders",
    pod(c("a"), c("b")),
    { spec: { "$setElementOrder/containers": [{ name: "b" }, { name: "a" }] } },
    pod(c("b"), c("a")),
  ],
  [
    "what only the server has keeps its place",
    pod(c("a"), c("side"), c("b")),
    { spec: { "$setElementOrder/containers": [{ name: "a" }, { name: "b" }], containers: [{ name: "b", image: "2" }] } },
    pod(c("a"), c("side"), c("b", { image: "2" })),
  ],
  [
    "$setElementOrder of scalars",
    { metadata: { finalizers: ["a", "b"] } },
    { metadata: { "$setElementOrder/finalizers": ["c", "b", "a"], finalizers: ["c"] } },
    { metadata: { finalizers: ["c", "b", "a"] } },
  ],
  [
    "$setElementOrder that contradicts",
    pod(c("a")),
    { spec: { "$setElementOrder/containers": [{ name: "a" }], containers: [{ name: "b" }] } },
    /order in the patch's list doesn't match/,
  ],
  [
    "$retainKeys",
    { spec: { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } } } },
    { spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } } },
    { spec: { strategy: { type: "Recreate" } } },
  ],
  [
    "$retainKeys that forgets a field",
    { spec: { strategy: {} } },
    { spec: { strategy: { $retainKeys: ["x"], type: "Recreate" } } },
    /retainKeys/,
  ],
  [
    "$retainKeys in a keyed list",
    { spec: { volumes: [{ name: "v", emptyDir: {} }] } },
    { spec: { volumes: [{ name: "v", $retainKeys: ["name", "hostPath"], hostPath: { path: "/x" } }] } },
    { spec: { volumes: [{ name: "v", hostPath: { path: "/x" } }] } },
  ],
  ["an object that is replaced whole", { spec: { atomic: { a: 1 } } }, { spec: { atomic: { b: 2 } } }, { spec: { atomic: { b: 2 } } }],
  [
    "nulls and directives do not reach a new object",
    {},
    { spec: { strategy: { $retainKeys: ["type"], type: "X", y: null } } },
    { spec: { strategy: { type: "X" } } },
  ],
  ["types that are not known merge plainly", { x: { a: [1] } }, { x: { a: [2], b: 1 } }, { x: { a: [2], b: 1 } }],
];
for (const [name, original, patch, expected] of STRATEGIC) {
  test(`strategic merge: ${name}`, () => {
    const run = (): Json => untouched(original, (o) => applyStrategicMergePatch(o, patch, "Pod", (type) => SCHEMAS[type]));
    if (expected instanceof RegExp) assert.throws(run, expected);
    else assert.deepEqual(run(), expected);
  });
}

test("strategic merge: a patch applied twice changes nothing more", () => {
  const container = fc.record({ name: fc.constantFrom("a", "b", "c", "d"), image: fc.constantFrom("1", "2") });
  const list = fc.uniqueArray(container, { selector: (x) => x.name, minLength: 1 });
  fc.assert(
    fc.property(list, list, (before, change) => {
      const patch = { spec: { "$setElementOrder/containers": change.map(({ name }) => ({ name })), containers: change } };
      const apply = (o: JsonObject): JsonObject => applyStrategicMergePatch(o, patch, "Pod", (type) => SCHEMAS[type]);
      const once = apply(pod(...before));
      assert.deepEqual(apply(once), once);
      const spec = once["spec"] as { containers: { name: string; image: string }[] };
      const names = spec.containers.map((x) => x.name);
      const changed: string[] = change.map((x) => x.name);
      assert.deepEqual(
        names.filter((n) => changed.includes(n)),
        changed,
      );
      const serverOnly = before.map((x) => x.name).filter((n) => !changed.includes(n));
      assert.deepEqual(
        names.filter((n) => !changed.includes(n)),
        serverOnly,
      );
      for (const x of change) assert.equal(spec.containers.find((y) => y.name === x.name)?.image, x.image);
    }),
  );
});
