import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type Client } from "#client";
import { createFakeClient } from "#client/fake";
import { CLUSTER_NETWORK_POLICIES, type KubeObject, NAMESPACES, type Resource } from "#kube";
import { readObjects } from "./live-objects.ts";

/** Somebody else's cluster: lists, and nothing else; what it does not know is 404, what it does not show 403. */
function foreign(status: number): Client {
  const fake = createFakeClient();
  const list = (resource: Resource, ...rest: unknown[]): unknown => {
    assert.deepEqual(rest, []);
    if (resource.plural !== CLUSTER_NETWORK_POLICIES.plural) return fake.list(resource);
    return Promise.reject(new ApiError("list clusternetworkpolicies", { code: status, reason: "", message: "no" }));
  };
  return new Proxy(fake, {
    get(_, name) {
      assert.equal(name, "list", `${String(name)} is not a way of reading`);
      return list;
    },
  });
}

test("a cluster is read by lists alone, also one without ClusterNetworkPolicies or that does not show them", async () => {
  for (const status of [404, 403]) {
    const notes: string[] = [];
    const { clusterPolicies, policies } = await readObjects(foreign(status), notes);
    assert.deepEqual([clusterPolicies.size, policies.size], [0, 0]);
    assert.equal(notes.length, status === 403 ? 1 : 0);
  }
  await assert.rejects(readObjects(foreign(500)), { name: "ApiError" });
});

test("objects are known by namespace and name", async () => {
  const fake = createFakeClient();
  await fake.create<KubeObject>(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
  assert.deepEqual([...(await readObjects(fake)).namespaces.keys()], ["shop"]);
});
