import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { objectYaml, yamlPlace } from "./yaml-place.ts";

const POLICY = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "db", namespace: "x", uid: "u", resourceVersion: "7", managedFields: [] },
  spec: {
    podSelector: { matchLabels: { app: "db" } },
    ingress: [
      { from: [{ podSelector: {} }, { namespaceSelector: { matchLabels: { team: "pay" } } }], ports: [{ port: 80 }, { port: 81 }] },
    ],
  },
  status: { secret: true },
};

suite("a place in an object", () => {
  test("YAML has what a person wrote", () => {
    const text = objectYaml(POLICY);
    assert.doesNotMatch(text, /uid|resourceVersion|managedFields|secret/);
    assert.match(text, /^apiVersion: networking.k8s.io\/v1\nkind: NetworkPolicy\nmetadata:\n {2}name: db\n {2}namespace: x\nspec:\n/);
  });

  for (const [path, expected] of [
    ["spec.podSelector", "podSelector:"],
    ["spec.ingress[0]", "- from:"],
    ["spec.ingress[0].from[1].namespaceSelector", "- namespaceSelector:"],
    ["spec.ingress[0].ports[1]", "- port: 81"],
    ["spec.ingress[0].ports[9]", "ports:"],
    ["spec.nothing", "spec:"],
  ] as const) {
    test(path, () => {
      const { lines, line, object } = yamlPlace(POLICY, path);
      const [at] = lines.filter((one) => one.at);
      assert.deepEqual([at?.text.trim(), at?.number, object], [expected, line, "NetworkPolicy x/db"]);
    });
  }
});
