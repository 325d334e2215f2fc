import assert from "node:assert/strict";
import { test } from "node:test";
import type { OwnerReference } from "kubernetes-types/meta/v1";
import { CONFIG_MAPS, DEPLOYMENTS, type KubeObject, PODS, REPLICA_SETS, type Resource } from "#kube";
import { startTestBed, type TestBed } from "../testing.ts";
import { decideFate, type Fate, type Ownership } from "./compute.ts";
import { startGarbageCollector } from "./reconcile.ts";

function reference(kind: string, name: string, more: Partial<OwnerReference> = {}): OwnerReference {
  const apiVersion = kind === "ConfigMap" ? "v1" : "apps/v1";
  return { apiVersion, kind, name, uid: `uid-${name}`, controller: true, blockOwnerDeletion: true, ...more };
}

function object(kind: string, name: string, owners: OwnerReference[] = [], more: object = {}): KubeObject {
  return {
    apiVersion: kind === "Pod" || kind === "ConfigMap" ? "v1" : "apps/v1",
    kind,
    metadata: { name, namespace: "ns", uid: `uid-${name}`, ...(owners.length === 0 ? {} : { ownerReferences: owners }), ...more },
  };
}

const TREE = [
  object("Deployment", "d"),
  object("ReplicaSet", "rs", [reference("Deployment", "d")]),
  object("Pod", "p1", [reference("ReplicaSet", "rs")]),
  object("Pod", "p2", [reference("ReplicaSet", "rs")]),
];

async function run(...objects: KubeObject[]): Promise<TestBed> {
  const bed = await startTestBed(objects, startGarbageCollector);
  await bed.settle();
  return bed;
}

async function names(bed: TestBed, ...resources: Resource[]): Promise<string[]> {
  const lists = await Promise.all(resources.map((resource) => bed.client.list(resource)));
  return lists.flatMap((list) => list.items.map((item) => item.metadata.name));
}

const ALL = [DEPLOYMENTS, REPLICA_SETS, PODS];

test("in the background: dependents go after their owner", async () => {
  using bed = await run(...TREE);
  assert.deepEqual(bed.client.writes, []);
  await bed.client.delete(DEPLOYMENTS, { namespace: "ns", name: "d" });
  await bed.settle();
  assert.deepEqual(await names(bed, ...ALL), []);
});

test("in the foreground: the owner goes last, and nothing is left waiting", async () => {
  using bed = await run(...TREE);
  await bed.client.delete(DEPLOYMENTS, { namespace: "ns", name: "d" }, { propagationPolicy: "Foreground" });
  await bed.settle();
  assert.deepEqual(await names(bed, ...ALL), []);
  const deletions = bed.client.writes.filter((write) => write.startsWith("delete"));
  assert.deepEqual(deletions.slice(0, 2), ["delete deployments ns/d", "delete replicasets ns/rs"]);
  assert.equal(bed.client.writes.at(-1), "patch deployments ns/d");
});

test("in the foreground: what does not block the owner does not hold it up", async () => {
  using bed = await run(
    object("ConfigMap", "owner"),
    object("ConfigMap", "held", [reference("ConfigMap", "owner", { blockOwnerDeletion: false })], {
      finalizers: ["fairlead.dev/test"],
    }),
  );
  await bed.client.delete(CONFIG_MAPS, { namespace: "ns", name: "owner" }, { propagationPolicy: "Foreground" });
  await bed.settle();
  assert.deepEqual(await names(bed, CONFIG_MAPS), ["held"]);
});

test("in the foreground: a dependent that stays keeps the owner", async () => {
  using bed = await run(
    object("ConfigMap", "owner"),
    object("ConfigMap", "held", [reference("ConfigMap", "owner")], { finalizers: ["fairlead.dev/test"] }),
  );
  await bed.client.delete(CONFIG_MAPS, { namespace: "ns", name: "owner" }, { propagationPolicy: "Foreground" });
  await bed.settle();
  assert.deepEqual(await names(bed, CONFIG_MAPS), ["held", "owner"]);
  await bed.client.patch(CONFIG_MAPS, { namespace: "ns", name: "held" }, { type: "merge", body: { metadata: { finalizers: null } } });
  await bed.settle();
  assert.deepEqual(await names(bed, CONFIG_MAPS), []);
});

test("orphaned: dependents stay, without their owner", async () => {
  using bed = await run(...TREE);
  await bed.client.delete(DEPLOYMENTS, { namespace: "ns", name: "d" }, { propagationPolicy: "Orphan" });
  await bed.settle();
  assert.deepEqual(await names(bed, ...ALL), ["rs", "p1", "p2"]);
  const rs = await bed.client.get(REPLICA_SETS, { namespace: "ns", name: "rs" });
  assert.equal(rs.metadata.ownerReferences, undefined);
});

test("absent owners: at the start, of a new object, and another object of the same name", async () => {
  using bed = await run(object("Pod", "lost", [reference("ReplicaSet", "gone")]), object("ReplicaSet", "rs"));
  assert.deepEqual(await names(bed, PODS), []);
  await bed.client.create(PODS, object("Pod", "late", [reference("ReplicaSet", "rs", { uid: "another" })]));
  await bed.settle();
  assert.deepEqual(await names(bed, PODS), []);
});

test("one owner of several that stays is enough", async () => {
  const owners = [reference("ConfigMap", "stays", { controller: false }), reference("ConfigMap", "goes", { controller: false })];
  using bed = await run(object("ConfigMap", "stays"), object("ConfigMap", "goes"), object("Pod", "p", owners));
  await bed.client.delete(CONFIG_MAPS, { namespace: "ns", name: "goes" });
  await bed.settle();
  const pod = await bed.client.get(PODS, { namespace: "ns", name: "p" });
  assert.deepEqual(
    pod.metadata.ownerReferences?.map((owner) => owner.name),
    ["stays"],
  );
});

test("owners of unknown kinds are taken to be there", async () => {
  using bed = await run(object("Pod", "p", [reference("Widget", "w", { apiVersion: "example.com/v1" })]));
  assert.deepEqual(await names(bed, PODS), ["p"]);
});

const r1 = reference("ConfigMap", "a");
const r2 = reference("ConfigMap", "b");
const solid = (reference: OwnerReference): Ownership => ({ reference, state: "solid" });
const FATES: readonly [string, KubeObject, Ownership[], boolean, Fate][] = [
  ["no owners", {}, [], false, { type: "keep" }],
  ["all there", {}, [solid(r1), solid(r2)], false, { type: "keep" }],
  ["one gone", {}, [solid(r1), { reference: r2, state: "dangling" }], false, { type: "unlink", keep: [r1] }],
  ["all gone", {}, [{ reference: r1, state: "dangling" }], true, { type: "delete", propagationPolicy: "Background" }],
  ["waited for, with dependents", {}, [{ reference: r1, state: "waiting" }], true, { type: "delete", propagationPolicy: "Foreground" }],
  ["waited for, without", {}, [{ reference: r1, state: "waiting" }], false, { type: "delete", propagationPolicy: "Background" }],
  [
    "told to orphan",
    { metadata: { finalizers: ["orphan"] } },
    [{ reference: r1, state: "dangling" }],
    true,
    { type: "delete", propagationPolicy: "Orphan" },
  ],
];

for (const [name, subject, owners, hasDependents, fate] of FATES) {
  test(`fate: ${name}`, () => assert.deepEqual(decideFate(subject, owners, hasDependents), fate));
}
