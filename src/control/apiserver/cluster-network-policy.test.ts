// ClusterNetworkPolicy is a custom resource elsewhere and built in here: clients must not notice.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { makeKeys, startTestServer, type TestServer } from "./testing.ts";

const GROUP_VERSION = "/apis/policy.networking.k8s.io/v1alpha2";
const PATH = `${GROUP_VERSION}/clusternetworkpolicies`;

let server: TestServer;
before(async () => {
  server = await startTestServer(await makeKeys());
});
after(() => server.close());

const spec = { tier: "Admin", priority: 0, subject: { namespaces: {} }, ingress: [{ action: "Deny", from: [{ namespaces: {} }] }] };

test("discovery and OpenAPI tell of it", async () => {
  const groups = await server.call("GET", "/apis");
  assert.ok(groups.text.includes('"policy.networking.k8s.io/v1alpha2"'));
  const list = await server.call("GET", GROUP_VERSION);
  const resources = list.at("resources") as { name: string; namespaced: boolean; kind: string; shortNames?: string[] }[];
  assert.deepEqual(
    resources.map(({ name, namespaced, kind, shortNames }) => [name, namespaced, kind, shortNames]),
    [
      ["clusternetworkpolicies", false, "ClusterNetworkPolicy", ["cnp"]],
      ["clusternetworkpolicies/status", false, "ClusterNetworkPolicy", undefined],
    ],
  );
  const document = JSON.parse((await server.call("GET", `/openapi/v3${GROUP_VERSION}`)).text);
  const schema = document.components.schemas["io.k8s.api.policy.v1alpha2.ClusterNetworkPolicy"];
  assert.deepEqual(schema["x-kubernetes-group-version-kind"], [
    { group: "policy.networking.k8s.io", kind: "ClusterNetworkPolicy", version: "v1alpha2" },
  ]);
  assert.match(JSON.stringify(document.components.schemas), /"x-kubernetes-list-type":"set"/);
});

test("what is written is kept, its columns are those of the CRD, and status is a part of its own", async () => {
  const created = await server.call("POST", PATH, { body: { metadata: { name: "p" }, spec, status: { conditions: [] } } });
  assert.equal(created.status, 201, created.text);
  assert.deepEqual([created.at("spec"), created.at("status"), created.at("metadata.generation")], [spec, undefined, 1]);
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  const table = JSON.parse((await server.call("GET", PATH, { headers: { accept } })).text);
  assert.deepEqual(
    table.columnDefinitions.map(({ name }: { name: string }) => name),
    ["Name", "Tier", "Priority", "Age"],
  );
  assert.deepEqual(table.rows[0].cells.slice(0, 3), ["p", "Admin", "0"]);
  const condition = { type: "Known", status: "True", reason: "Test", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" };
  const merge = { "content-type": "application/merge-patch+json" };
  const raw = JSON.stringify({ spec: { priority: 9 }, status: { conditions: [condition] } });
  const status = await server.call("PATCH", `${PATH}/p/status`, { raw, headers: merge });
  assert.deepEqual([status.at("spec.priority"), status.at("status.conditions"), status.at("metadata.generation")], [0, [condition], 1]);
});

test("what the CRD refuses is refused, with its field", async () => {
  const answer = await server.call("POST", PATH, { body: { metadata: { name: "bad" }, spec: { ...spec, priority: 1001 } } });
  assert.equal(answer.status, 422);
  assert.equal(
    answer.at("message"),
    'ClusterNetworkPolicy.policy.networking.k8s.io "bad" is invalid: spec.priority: Invalid value: 1001: ' +
      "spec.priority in body should be less than or equal to 1000",
  );
});
