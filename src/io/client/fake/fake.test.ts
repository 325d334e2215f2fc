import assert from "node:assert/strict";
import { test } from "node:test";
import { NAMESPACES, NODES, PODS } from "#kube";
import { CLIENT_CONTRACT, runContractCase } from "../contract.ts";
import { ApiError, createInformer, isExpired, isNotFound } from "../index.ts";
import { createFakeClient } from "./index.ts";

for (const contractCase of CLIENT_CONTRACT) {
  test(`contract: ${contractCase.name}`, () => runContractCase(contractCase, createFakeClient(), "ns"));
}

test("seeded objects keep their status, and writes are written down", async () => {
  const client = createFakeClient([{ apiVersion: "v1", kind: "Node", metadata: { name: "n" } }]);
  client.seed(PODS, { metadata: { name: "p" }, status: { phase: "Running" } });
  assert.equal((await client.get(PODS, { namespace: "default", name: "p" })).status?.phase, "Running");
  await client.patch(NODES, { name: "n" }, { type: "merge", body: { metadata: { labels: { a: "b" } } } }, { subresource: "status" });
  await client.delete(NODES, { name: "n" });
  assert.deepEqual(client.writes, ["patch nodes/status n", "delete nodes n"]);
});

test("failures happen when they are asked for, once", async () => {
  const client = createFakeClient();
  client.failNext("get", NODES, new ApiError("get", { code: 500, reason: "InternalError", message: "no" }));
  await assert.rejects(client.get(NODES, { name: "n" }), /no/);
  await assert.rejects(client.get(NODES, { name: "n" }), isNotFound);
});

test("an informer survives a disconnect after which its version is too old", async () => {
  const client = createFakeClient();
  client.seed(NODES, { metadata: { name: "a" } });
  const informer = createInformer(client, NODES, { backoff: { initialMs: 1, maxMs: 1 } });
  await informer.synced;
  const gone = Promise.withResolvers<void>();
  informer.subscribe((change) => {
    if (change.type === "delete") gone.resolve();
  });
  client.disconnect();
  await client.delete(NODES, { name: "a" });
  client.disconnect({ expire: true });
  await gone.promise;
  assert.deepEqual(informer.list(), []);
  informer.stop();
  const replay = client.watch(NODES, { resourceVersion: "1" })[Symbol.asyncIterator]();
  await assert.rejects(replay.next(), isExpired);
});

test("a namespace stays until it is finalized, and takes nothing new meanwhile", async () => {
  const client = createFakeClient();
  await client.create(NAMESPACES, { metadata: { name: "ns" } });
  await client.delete(NAMESPACES, { name: "ns" });
  const terminating = await client.get(NAMESPACES, { name: "ns" });
  assert.equal(terminating.status?.phase, "Terminating");
  await assert.rejects(client.create(PODS, { metadata: { name: "p", namespace: "ns" } }), /being terminated/);
  await client.update(NAMESPACES, { ...terminating, spec: { finalizers: [] } }, { subresource: "finalize" });
  await assert.rejects(client.get(NAMESPACES, { name: "ns" }), isNotFound);
});
