import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReplicaSet } from "kubernetes-types/apps/v1";
import type { Pod } from "kubernetes-types/core/v1";
import { ApiError } from "#client";
import type { FakeClient } from "#client/fake";
import { type KubeObject, PODS, REPLICA_SETS, type Stored } from "#kube";
import { startTestBed, TEST_START_MS } from "../testing.ts";
import { computeStatus, slowStartBatches } from "./compute.ts";
import { podsToDelete } from "./deletion-order.ts";
import { startReplicaSets } from "./reconcile.ts";

const LABELS = { app: "web" };

function replicaSet(replicas: number, more: object = {}): ReplicaSet {
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { name: "web", namespace: "ns", uid: "rs-1", generation: 1 },
    spec: {
      replicas,
      selector: { matchLabels: LABELS },
      template: { metadata: { labels: LABELS, annotations: { a: "b" } }, spec: { containers: [{ name: "c", image: "agnhost" }] } },
      ...more,
    },
  };
}

function pod(
  name: string,
  more: { owner?: string; ready?: boolean; labels?: Record<string, string>; phase?: string; node?: string } = {},
): Pod {
  const { owner, ready = false, labels = LABELS, phase = "Running", node } = more;
  const ownerReferences =
    owner === undefined ? [] : [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: owner, controller: true }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "ns", labels, ...(owner === undefined ? {} : { ownerReferences }) },
    spec: { containers: [], ...(node === undefined ? {} : { nodeName: node }) },
    status: { phase, conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: "2023-12-31T23:59:50Z" }] },
  };
}

async function pods(client: FakeClient): Promise<Stored<Pod>[]> {
  return (await client.list(PODS)).items;
}

async function status(client: FakeClient) {
  return (await client.get(REPLICA_SETS, { namespace: "ns", name: "web" })).status;
}

async function run(objects: readonly KubeObject[]) {
  const bed = await startTestBed(objects, startReplicaSets);
  await bed.settle();
  return bed;
}

test("pods are made from the template, with its labels and their owner", async () => {
  using bed = await run([replicaSet(3)]);
  const made = await pods(bed.client);
  assert.equal(made.length, 3);
  for (const { metadata } of made) {
    assert.match(metadata.name, /^web-.{5}$/);
    assert.deepEqual([metadata.labels, metadata.annotations], [LABELS, { a: "b" }]);
    const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "rs-1", controller: true, blockOwnerDeletion: true };
    assert.deepEqual(metadata.ownerReferences, [owner]);
  }
  assert.equal(bed.events.length, 3);
  assert.match(bed.events[0] ?? "", /^Normal SuccessfulCreate ns\/web: Created pod: web-/);
  const counts = { replicas: 3, fullyLabeledReplicas: 3, observedGeneration: 1 };
  assert.deepEqual(await status(bed.client), counts);
});

test("a deleted and a finished pod are replaced, a ready one is counted", async () => {
  using bed = await run([replicaSet(2), pod("done", { owner: "rs-1", phase: "Failed" }), pod("ready", { owner: "rs-1", ready: true })]);
  assert.equal((await pods(bed.client)).length, 3);
  assert.equal((await status(bed.client))?.availableReplicas, 1);
  await bed.client.delete(PODS, { namespace: "ns", name: "ready" });
  await bed.settle();
  assert.equal((await pods(bed.client)).length, 3);
  assert.equal((await status(bed.client))?.readyReplicas, undefined);
});

test("a pod that terminates no longer counts", async () => {
  using bed = await run([replicaSet(1), pod("old", { owner: "rs-1", ready: true, node: "n" })]);
  await bed.client.delete(PODS, { namespace: "ns", name: "old" });
  await bed.settle();
  assert.equal((await pods(bed.client)).length, 2, "the replacement does not wait for the end of the old one");
});

test("orphans that match are adopted, own pods that no longer match are released", async () => {
  const foreign = pod("foreign", { owner: "someone-else" });
  using bed = await run([
    replicaSet(2),
    pod("orphan"),
    pod("astray", { owner: "rs-1", labels: { app: "debug" } }),
    foreign,
    pod("mine", { owner: "rs-1" }),
  ]);
  const owners = Object.fromEntries((await pods(bed.client)).map((p) => [p.metadata.name, p.metadata.ownerReferences?.[0]?.uid]));
  assert.deepEqual(owners, { orphan: "rs-1", astray: undefined, foreign: "someone-else", mine: "rs-1" });
});

test("scaling down to zero deletes, and says so", async () => {
  using bed = await run([replicaSet(2)]);
  await bed.client.patch(REPLICA_SETS, { namespace: "ns", name: "web" }, { type: "merge", body: { spec: { replicas: 0 } } });
  await bed.settle();
  assert.deepEqual(await pods(bed.client), []);
  assert.match(bed.events.at(-1) ?? "", /^Normal SuccessfulDelete ns\/web: Deleted pod: web-/);
  assert.equal((await status(bed.client))?.observedGeneration, 2);
});

test("a creation that fails becomes an event and a condition, and is tried again", async () => {
  const bed = await startTestBed([], startReplicaSets);
  bed.client.failNext("create", PODS, new ApiError("create pod", { code: 403, reason: "Forbidden", message: "exceeded quota" }));
  bed.client.seed(REPLICA_SETS, replicaSet(2));
  await bed.until(() => bed.events.includes("Warning FailedCreate ns/web: Error creating: exceeded quota"));
  await bed.until(async () => (await pods(bed.client)).length === 2);
  await bed.settle();
  assert.deepEqual((await status(bed.client))?.conditions ?? [], []);
  bed[Symbol.dispose]();
});

test("nothing is created twice while the copy lags", async () => {
  using bed = await run([replicaSet(5)]);
  // Each of these events makes a sync.
  for (const { metadata } of await pods(bed.client)) {
    await bed.client.patch(PODS, metadata, { type: "merge", body: { status: { phase: "Running" } } }, { subresource: "status" });
  }
  await bed.settle();
  assert.equal((await pods(bed.client)).length, 5);
});

test("slow start doubles", () => {
  assert.deepEqual(slowStartBatches(10), [1, 2, 4, 3]);
  assert.deepEqual(slowStartBatches(0), []);
});

test("minReadySeconds: a pod is available that long after it became ready", () => {
  const rs = replicaSet(1, { minReadySeconds: 20 }) as Stored<ReplicaSet>;
  const ready = pod("a", { ready: true });
  assert.equal(computeStatus(rs, [ready], TEST_START_MS, undefined).availableReplicas, 0);
  assert.equal(computeStatus(rs, [ready], TEST_START_MS + 10_000, undefined).availableReplicas, 1);
});

function ranked(
  name: string,
  fields: Partial<Record<"node" | "phase" | "readyAt" | "created" | "cost", string>>,
  restarts = 0,
): Stored<Pod> {
  const conditions = fields.readyAt === undefined ? [] : [{ type: "Ready", status: "True", lastTransitionTime: fields.readyAt }];
  const annotations = fields.cost === undefined ? {} : { "controller.kubernetes.io/pod-deletion-cost": fields.cost };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, uid: name, resourceVersion: "1", creationTimestamp: fields.created ?? "2024-01-01T00:00:00Z", annotations },
    spec: { containers: [], ...(fields.node === undefined ? {} : { nodeName: fields.node }) },
    status: {
      phase: fields.phase ?? "Running",
      conditions,
      containerStatuses: [{ name: "c", image: "", imageID: "", ready: true, restartCount: restarts }],
    },
  };
}

const T1 = "2024-01-01T00:00:00Z";
const T2 = "2024-01-02T00:00:00Z";

const ORDER: readonly [string, Stored<Pod>, Stored<Pod>][] = [
  ["unscheduled first", ranked("b", {}), ranked("a", { node: "n" })],
  ["pending before running", ranked("b", { node: "n", phase: "Pending" }), ranked("a", { node: "n" })],
  ["not ready before ready", ranked("b", { node: "n" }), ranked("a", { node: "n", readyAt: T1 })],
  ["cheap before dear", ranked("b", { node: "n", cost: "-1" }), ranked("a", { node: "n" })],
  ["ready later before ready earlier", ranked("b", { node: "n", readyAt: T2 }), ranked("a", { node: "n", readyAt: T1 })],
  ["restarted before steady", ranked("b", { node: "n" }, 3), ranked("a", { node: "n" })],
  ["younger before older", ranked("b", { node: "n", created: T2 }), ranked("a", { node: "n", created: T1 })],
];

for (const [name, first, second] of ORDER) {
  test(`deletion order: ${name}`, () => {
    for (const input of [
      [first, second],
      [second, first],
    ]) {
      assert.deepEqual(
        podsToDelete(input, input, 1).map((p) => p.metadata.name),
        [first.metadata.name],
      );
    }
  });
}

test("deletion order: from the fullest node", () => {
  const all = [ranked("a", { node: "n1" }), ranked("b", { node: "n2" }), ranked("c", { node: "n2" })];
  assert.deepEqual(
    podsToDelete(all, all, 1).map((p) => p.metadata.name),
    ["b"],
  );
});
