import assert from "node:assert/strict";
import { test } from "node:test";
import { checkFieldSelector, formatFieldSelector, matchFields, parseFieldSelector, selectedName } from "./field-selectors.ts";
import { DEPLOYMENTS, PODS } from "./resources.ts";
import { formatLabelSelector, formatParsedSelector, matchLabelSelector, matchLabels, parseLabelSelector } from "./selectors.ts";

for (const [text, canonical] of [
  ["", ""],
  ["a=b", "a=b"],
  ["a==b", "a==b"],
  [" a = b , c != d ", "a=b,c!=d"],
  ["e in (y, x),!f,g", "e in (x,y),!f,g"],
  ["x notin (a,,b)", "x notin (,a,b)"],
  ["x in ()", "x in ()"],
  ["x=", "x="],
  ["x=,b", "b,x="],
  ["n>1,m<5", "m<5,n>1"],
  ["in in (in,notin)", "in in (in,notin)"],
  ["app.kubernetes.io/name=web", "app.kubernetes.io/name=web"],
] as const) {
  test(`label selector "${text}"`, () => assert.equal(formatParsedSelector(parseLabelSelector(text)), canonical));
}

for (const [text, message] of [
  ["a=b,", "found '', expected: identifier after ','"],
  [",a", "found ',', expected: !, identifier, or 'end of string'"],
  ["a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
  ["a in x", "unable to parse requirement: found 'x' expected: '('"],
  ["a in (x", "unable to parse requirement: found '', expected: ',' or ')'"],
  ["a=b c", "found 'c', expected: ',' or 'end of string'"],
  ["!", "unable to parse requirement: found '', expected: identifier"],
  ["a=(", "unable to parse requirement: found '(', expected: identifier"],
] as const) {
  test(`label selector "${text}" is refused`, () => assert.throws(() => parseLabelSelector(text), { code: "BadRequest", message }));
}

test("keys and values are checked", () => {
  assert.throws(() => parseLabelSelector("-a=b"), /Invalid value: "-a"/);
  assert.throws(() => parseLabelSelector(`a=${"x".repeat(64)}`), /a valid label must be/);
  assert.throws(() => parseLabelSelector("a>x"), /must be an integer/);
});

for (const [text, labels, expected] of [
  ["", {}, true],
  ["a=b", { a: "b" }, true],
  ["a=b", {}, false],
  ["a!=b", {}, true],
  ["a!=b", { a: "b" }, false],
  ["a in (b,c)", { a: "c" }, true],
  ["a notin (b,c)", {}, true],
  ["a", { a: "" }, true],
  ["!a", { a: "" }, false],
  ["constructor", {}, false],
  ["a>1", { a: "2" }, true],
  ["a<1", { a: "x" }, false],
  ["a=b,c=d", { a: "b" }, false],
] as [string, Record<string, string>, boolean][]) {
  test(`"${text}" ${expected ? "matches" : "does not match"} ${JSON.stringify(labels)}`, () => {
    assert.equal(matchLabels(parseLabelSelector(text), labels), expected);
  });
}

test("LabelSelector objects: absent selects nothing, empty everything", () => {
  assert.equal(matchLabelSelector(undefined, { a: "b" }), false);
  assert.equal(matchLabelSelector({}, undefined), true);
  const selector = { matchLabels: { b: "2", a: "1" }, matchExpressions: [{ key: "c", operator: "In", values: ["y", "x"] }] };
  assert.equal(formatLabelSelector(selector), "a=1,b=2,c in (x,y)");
  assert.equal(matchLabelSelector(selector, { a: "1", b: "2", c: "x" }), true);
  assert.equal(formatLabelSelector(undefined), "<none>");
  assert.throws(
    () => matchLabelSelector({ matchExpressions: [{ key: "c", operator: "Is" }] }, {}),
    /"Is" is not a valid label selector operator/,
  );
});

test("field selectors", () => {
  const pod = { metadata: { name: "web", namespace: "shop" }, spec: { nodeName: "node-1", containers: [] }, status: { phase: "Running" } };
  const matches = (text: string): boolean => {
    const selector = parseFieldSelector(text);
    checkFieldSelector(PODS, selector);
    return matchFields(PODS, selector, pod);
  };
  assert.equal(matches("metadata.name=web,status.phase!=Failed"), true);
  assert.equal(matches("spec.nodeName==node-2"), false);
  assert.equal(matches("spec.nodeName="), false);
  assert.equal(matches("spec.hostNetwork=false"), true);
  assert.equal(matches(""), true);
  assert.throws(() => matches("spec.color=red"), { message: "field label not supported: spec.color" });
  assert.throws(() => checkFieldSelector(DEPLOYMENTS, parseFieldSelector("status.phase=x")), {
    message: '"status.phase" is not a known field selector: only "metadata.name", "metadata.namespace"',
  });
  assert.throws(() => parseFieldSelector("name"), { message: "invalid selector: 'name'; can't understand 'name'" });
  assert.equal(selectedName(parseFieldSelector("metadata.name=web")), "web");
  assert.equal(formatFieldSelector(parseFieldSelector("a=x\\,y\\=z,b!=c")), "a=x\\,y\\=z,b!=c");
  assert.equal(parseFieldSelector("a=x\\,y")[0]?.value, "x,y");
});
