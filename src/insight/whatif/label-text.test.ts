import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { matchLabels, parseLabelSelector } from "#kube";
import { labelText } from "./label-text.ts";

const app = (name: string, more: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> => ({ app: name, ...more });

test("the shortest selector of one label, equality before all others", () => {
  const store = [app("store", { tier: "back" }), app("store", { tier: "back" })];
  assert.equal(labelText(store, [app("api"), app("front")]), "app=store");
  assert.equal(labelText([app("api"), app("customer")], [...store, app("front", { tier: "x" })]), "!tier");
  assert.equal(labelText([app("api"), app("front")], [...store, app("mail")]), "app in (api, front)");
  assert.equal(labelText([app("api"), {}, app("front")], [app("store"), app("store")]), "app!=store");
  assert.equal(labelText([app("api"), {}], [app("store"), app("mail")]), "app notin (mail, store)");
});

test("no single label tells them apart", () => {
  assert.equal(labelText([app("api"), app("store")], [app("store")]), undefined);
  assert.equal(labelText([{ "pod-template-hash": "a" }], [{ "pod-template-hash": "b" }]), undefined);
  const many = Array.from({ length: 6 }, (_, i) => app(`a${i}`));
  assert.equal(labelText(many, [...many.map(({ app: name = "" }) => app(`${name}x`)), {}]), undefined);
});

test("what it says is what the API understands by it", () => {
  const labels = fc.dictionary(fc.constantFrom("app", "tier", "zone"), fc.constantFrom("a", "b", "c"), { maxKeys: 3 });
  const pods = fc.array(labels, { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(pods, pods, (own, others) => {
      const text = labelText(own, others);
      if (text === undefined) return;
      const selector = parseLabelSelector(text);
      assert.ok(
        own.every((one) => matchLabels(selector, one)),
        text,
      );
      assert.ok(!others.some((one) => matchLabels(selector, one)), text);
    }),
  );
});
