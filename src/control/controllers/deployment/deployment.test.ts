import assert from "node:assert/strict";
import { test } from "node:test";
import type { Deployment, ReplicaSet } from "kubernetes-types/apps/v1";
import { formatTime } from "#base";
import type { FakeClient } from "#client/fake";
import { DEPLOYMENTS, type KubeObject, PODS, REPLICA_SETS, type Stored } from "#kube";
import { startReplicaSets } from "../replicaset/reconcile.ts";
import { startTestBed, type TestBed } from "../testing.ts";
import { REVISION, REVISION_HISTORY } from "./annotations.ts";
import { startDeployments } from "./reconcile.ts";
import { conditionOf } from "./status.ts";
import { sameTemplate, templateHash } from "./template.ts";

const KEY = { namespace: "ns", name: "web" };

function deployment(replicas: number, spec: object = {}): Deployment {
  const labels = { app: "web" };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { ...KEY, generation: 1, uid: "d-1", annotations: { "kubernetes.io/change-cause": "first" } },
    spec: {
      replicas,
      progressDeadlineSeconds: 600,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "agnhost:1" }] } },
      ...spec,
    },
  };
}

function image(name: string) {
  return { spec: { template: { spec: { containers: [{ name: "c", image: name }] } } } };
}

/** Deployments with ReplicaSets; `ready` makes every pod ready as soon as it is there, as quick nodes would. */
async function run(objects: readonly KubeObject[], { ready = true } = {}): Promise<TestBed> {
  return await startTestBed(objects, async (context) => {
    if (ready) {
      context.informers.pods.subscribe(({ type, object }) => {
        if (type === "set" && object.status?.phase === undefined) void makeReady(context.client as FakeClient, object, context.clock.now());
      });
    }
    await Promise.all([startReplicaSets(context), startDeployments(context)]);
  });
}

async function makeReady(client: FakeClient, pod: Stored, nowMs: number): Promise<void> {
  const conditions = [{ type: "Ready", status: "True", lastTransitionTime: formatTime(nowMs) }];
  const body = { status: { phase: "Running", conditions } };
  await client.patch(PODS, pod.metadata, { type: "merge", body }, { subresource: "status" }).catch(() => undefined);
}

async function change(bed: TestBed, body: object): Promise<void> {
  await bed.client.patch(DEPLOYMENTS, KEY, { type: "merge", body });
  await bed.settle();
}

async function replicaSets(bed: TestBed): Promise<Stored<ReplicaSet>[]> {
  return (await bed.client.list(REPLICA_SETS)).items.sort((a, b) => revision(a) - revision(b));
}

function revision(object: KubeObject): number {
  return Number(object.metadata?.annotations?.[REVISION]);
}

async function current(bed: TestBed): Promise<Stored<Deployment>> {
  return await bed.client.get(DEPLOYMENTS, KEY);
}

async function sizes(bed: TestBed): Promise<(number | undefined)[]> {
  return (await replicaSets(bed)).map((rs) => rs.spec?.replicas);
}

async function reason(bed: TestBed, type: string): Promise<string> {
  const condition = conditionOf((await current(bed)).status?.conditions, type);
  return `${condition?.status} ${condition?.reason}`;
}

test("a new Deployment becomes a ReplicaSet, and is complete when its pods are ready", async () => {
  using bed = await run([deployment(3)]);
  await bed.settle();
  const [rs] = await replicaSets(bed);
  assert.ok(rs !== undefined);
  const hash = rs.metadata.labels?.["pod-template-hash"] ?? "";
  assert.equal(rs.metadata.name, `web-${hash}`);
  assert.deepEqual(rs.spec?.selector.matchLabels, { app: "web", "pod-template-hash": hash });
  assert.deepEqual(rs.spec?.template?.metadata?.labels, { app: "web", "pod-template-hash": hash });
  assert.equal(rs.metadata.annotations?.["kubernetes.io/change-cause"], "first");
  assert.equal(rs.metadata.annotations?.["deployment.kubernetes.io/desired-replicas"], "3");
  assert.equal(rs.metadata.annotations?.["deployment.kubernetes.io/max-replicas"], "4");
  const d = await current(bed);
  assert.equal(d.metadata.annotations?.[REVISION], "1");
  const { conditions: _, ...counts } = d.status ?? {};
  assert.deepEqual(counts, { observedGeneration: 1, replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3 });
  assert.equal(await reason(bed, "Progressing"), "True NewReplicaSetAvailable");
  assert.equal(await reason(bed, "Available"), "True MinimumReplicasAvailable");
  assert.ok(bed.events.includes(`Normal ScalingReplicaSet ns/web: Scaled up replica set ${rs.metadata.name} from 0 to 3`));
});

test("a rolling update replaces the pods step by step and keeps the old ReplicaSet", async () => {
  using bed = await run([deployment(4)]);
  await bed.settle();
  await change(bed, image("agnhost:2"));
  assert.deepEqual(await sizes(bed), [0, 4]);
  const images = (await bed.client.list(PODS)).items.map((pod) => pod.spec?.containers[0]?.image);
  assert.deepEqual(images, Array(4).fill("agnhost:2"));
  assert.equal((await current(bed)).metadata.annotations?.[REVISION], "2");
  assert.equal(await reason(bed, "Progressing"), "True NewReplicaSetAvailable");
});

test("a rollout whose pods never get ready stops where availability would suffer, then times out", async () => {
  using bed = await run([deployment(4)], { ready: false });
  await bed.settle();
  for (const pod of (await bed.client.list(PODS)).items) await makeReady(bed.client, pod, bed.clock.now());
  await bed.settle();
  await change(bed, image("broken"));
  assert.deepEqual(await sizes(bed), [3, 2], "25 % may be missing, 25 % may be more");
  assert.equal(await reason(bed, "Progressing"), "True ReplicaSetUpdated");
  bed.clock.nowMs += 601_000;
  await change(bed, { metadata: { labels: { touch: "1" } } });
  assert.equal(await reason(bed, "Progressing"), "False ProgressDeadlineExceeded");
  assert.equal(await reason(bed, "Available"), "True MinimumReplicasAvailable");
});

test("undo: the template of an old revision makes its ReplicaSet the newest", async () => {
  using bed = await run([deployment(2)]);
  await bed.settle();
  const [first] = await replicaSets(bed);
  await change(bed, image("agnhost:2"));
  await change(bed, image("agnhost:1"));
  const sets = await replicaSets(bed);
  assert.deepEqual(sets.map(revision), [2, 3]);
  assert.equal(sets[1]?.metadata.uid, first?.metadata.uid);
  assert.equal(sets[1]?.metadata.annotations?.[REVISION_HISTORY], "1");
  assert.deepEqual(
    sets.map((rs) => rs.spec?.replicas),
    [0, 2],
  );
});

test("restart: an annotation of the template is a new revision", async () => {
  using bed = await run([deployment(1)]);
  await bed.settle();
  const restartedAt = { "kubectl.kubernetes.io/restartedAt": "2024-01-01T00:00:00Z" };
  await change(bed, { spec: { template: { metadata: { annotations: restartedAt } } } });
  assert.deepEqual(await sizes(bed), [0, 1]);
});

test("scaling touches the newest ReplicaSet only", async () => {
  using bed = await run([deployment(1)]);
  await bed.settle();
  await change(bed, image("agnhost:2"));
  await change(bed, { spec: { replicas: 5 } });
  assert.deepEqual(await sizes(bed), [0, 5]);
  assert.equal((await current(bed)).status?.availableReplicas, 5);
  await change(bed, { spec: { replicas: 0 } });
  assert.deepEqual(await sizes(bed), [0, 0]);
  const { conditions: _, ...counts } = (await current(bed)).status ?? {};
  assert.deepEqual(counts, { observedGeneration: 4 });
});

test("paused: a new template waits, scaling does not; resumed, it rolls out", async () => {
  using bed = await run([deployment(2)]);
  await bed.settle();
  await change(bed, { spec: { paused: true } });
  assert.equal(await reason(bed, "Progressing"), "Unknown DeploymentPaused");
  await change(bed, image("agnhost:2"));
  await change(bed, { spec: { replicas: 3 } });
  assert.deepEqual(await sizes(bed), [3]);
  await change(bed, { spec: { paused: false } });
  assert.deepEqual(await sizes(bed), [0, 3]);
  assert.equal(await reason(bed, "Progressing"), "True NewReplicaSetAvailable");
});

test("Recreate: no new pod before the last old one is gone", async () => {
  using bed = await run([deployment(2, { strategy: { type: "Recreate" } })]);
  await bed.settle();
  // On a node, pods take their time to end.
  for (const pod of (await bed.client.list(PODS)).items) {
    await bed.client.patch(PODS, pod.metadata, { type: "merge", body: { spec: { nodeName: "n" } } });
  }
  await bed.settle();
  await change(bed, image("agnhost:2"));
  assert.deepEqual(await sizes(bed), [0]);
  for (const pod of (await bed.client.list(PODS)).items) await bed.client.delete(PODS, pod.metadata, { gracePeriodSeconds: 0 });
  await bed.settle();
  assert.deepEqual(await sizes(bed), [0, 2]);
  assert.equal(await reason(bed, "Progressing"), "True NewReplicaSetAvailable");
});

test("history beyond the limit is removed, oldest first", async () => {
  using bed = await run([deployment(1, { revisionHistoryLimit: 1 })]);
  await bed.settle();
  for (const tag of ["2", "3", "4"]) await change(bed, image(`agnhost:${tag}`));
  assert.deepEqual((await replicaSets(bed)).map(revision), [3, 4]);
});

test("a ReplicaSet of another template under the wanted name is a collision: another hash is used", async () => {
  const d = deployment(1);
  const hash = templateHash(d.spec?.template ?? {}, 0);
  const other: ReplicaSet = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { name: `web-${hash}`, namespace: "ns", labels: { other: "1" } },
    spec: { replicas: 0, selector: { matchLabels: { other: "1" } }, template: { metadata: { labels: { other: "1" } } } },
  };
  using bed = await run([d, other]);
  await bed.until(async () => (await replicaSets(bed)).length === 2);
  assert.equal((await current(bed)).status?.collisionCount, 1);
});

test("nothing is written when nothing changes", async () => {
  using bed = await run([deployment(2)]);
  await bed.settle();
  const before = bed.client.writes.length;
  await change(bed, { metadata: { labels: { touch: "1" } } });
  assert.deepEqual(bed.client.writes.slice(before), ["patch deployments ns/web"]);
});

test("templates are compared without the hash label, in whatever order their fields are", () => {
  const a = { metadata: { labels: { app: "web", "pod-template-hash": "x" } }, spec: { containers: [], nodeName: "n" } };
  const b = { spec: { nodeName: "n", containers: [] }, metadata: { labels: { app: "web" } } };
  assert.ok(sameTemplate(a, b));
  assert.equal(templateHash({ spec: a.spec }, 0), templateHash({ spec: b.spec }, 0));
  assert.notEqual(templateHash(a, 0), templateHash(a, 1));
  assert.match(templateHash(a, 0), /^[a-z0-9]{8,10}$/);
});
