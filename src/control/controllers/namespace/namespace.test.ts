import assert from "node:assert/strict";
import { test } from "node:test";
import { CONFIG_MAPS, CORE_EVENTS, type KubeObject, NAMESPACES, PODS } from "#kube";
import { startTestBed, type TestBed } from "../testing.ts";
import { startNamespaces } from "./reconcile.ts";

function namespace(name: string): KubeObject {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name }, spec: { finalizers: ["kubernetes"] } } as KubeObject;
}

function object(kind: string, name: string, ns: string, more: object = {}): KubeObject {
  return { apiVersion: "v1", kind, metadata: { name, namespace: ns }, ...more };
}

async function exists(bed: TestBed): Promise<boolean> {
  return (await bed.client.list(NAMESPACES, { fieldSelector: "metadata.name=ns" })).items.length > 0;
}

async function run(...objects: KubeObject[]): Promise<TestBed> {
  const bed = await startTestBed([namespace("ns"), namespace("other"), ...objects], startNamespaces);
  await bed.settle();
  assert.deepEqual(bed.client.writes, []);
  await bed.client.delete(NAMESPACES, { name: "ns" });
  await bed.settle();
  return bed;
}

test("everything in it goes, events too, nothing elsewhere, then the namespace", async () => {
  const event = object("Event", "e", "ns", { involvedObject: {} });
  using bed = await run(object("ConfigMap", "c", "ns"), object("Secret", "s", "ns"), event, object("ConfigMap", "c", "other"));
  await bed.until(async () => !(await exists(bed)));
  assert.deepEqual(
    (await bed.client.list(CONFIG_MAPS)).items.map((c) => c.metadata.namespace),
    ["other"],
  );
  assert.deepEqual((await bed.client.list(CORE_EVENTS)).items, []);
});

test("pods first: nothing else goes while one of them is still ending", async () => {
  using bed = await run(object("Pod", "p", "ns", { spec: { containers: [], nodeName: "n" } }), object("ConfigMap", "c", "ns"));
  assert.equal((await bed.client.list(CONFIG_MAPS)).items.length, 1);
  const { status } = await bed.client.get(NAMESPACES, { name: "ns" });
  assert.equal(status?.phase, "Terminating");
  assert.deepEqual(
    status?.conditions?.map((c) => `${c.type} ${c.status}: ${c.message}`),
    [
      "NamespaceContentRemaining True: Some resources are remaining: configmaps. has 1 resource instances, pods. has 1 resource instances",
      "NamespaceFinalizersRemaining False: All content-preserving finalizers finished",
    ],
  );
  await bed.client.delete(PODS, { namespace: "ns", name: "p" }, { gracePeriodSeconds: 0 });
  await bed.until(async () => !(await exists(bed)));
});

test("a finalizer that stays is named", async () => {
  const held = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c", namespace: "ns", finalizers: ["example.com/hold"] } };
  using bed = await run(held);
  const { status } = await bed.client.get(NAMESPACES, { name: "ns" });
  const message = "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances";
  assert.equal(status?.conditions?.[1]?.message, message);
  await bed.client.patch(CONFIG_MAPS, { namespace: "ns", name: "c" }, { type: "merge", body: { metadata: { finalizers: null } } });
  await bed.until(async () => !(await exists(bed)));
});
