import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { Node, Pod, Taint, Toleration } from "kubernetes-types/core/v1";
import { formatMicroTime } from "#base";
import { type KubeObject, LEASES, NODES, PODS } from "#kube";
import { startTestBed, TEST_START_MS, type TestBed } from "../testing.ts";
import { computeTaints, evictionAtMs, lostConditions } from "./compute.ts";
import { startTaintEviction } from "./eviction.ts";
import { startNodeLifecycle } from "./reconcile.ts";

function node(ready: string | undefined, spec: object = {}): Node {
  const conditions = ready === undefined ? [] : [{ type: "Ready", status: ready, lastHeartbeatTime: "2024-01-01T00:00:00Z" }];
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "n", uid: "uid-n", creationTimestamp: "2024-01-01T00:00:00Z" },
    spec,
    status: { conditions },
  };
}

function pod(name: string, tolerations: Toleration[] = []): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "ns" },
    spec: { containers: [], nodeName: "n", tolerations },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  };
}

const LEASE = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name: "n", namespace: "kube-node-lease" } };

function show(taints: readonly Taint[] | undefined): string[] | undefined {
  return taints?.map(
    ({ key, effect, timeAdded }) => `${key.replace("node.kubernetes.io/", "")}:${effect}${timeAdded === undefined ? "" : " since"}`,
  );
}

const NOT_READY = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" };
const FOREIGN = { key: "dedicated", value: "db", effect: "NoSchedule" };

const TAINTS: readonly [string, Node, string[] | undefined][] = [
  ["ready", node("True"), undefined],
  ["new", node(undefined), ["not-ready:NoSchedule"]],
  ["not ready", node("False"), ["not-ready:NoSchedule", "not-ready:NoExecute since"]],
  [
    "lost",
    node("Unknown", { taints: [NOT_READY, FOREIGN] }),
    ["dedicated:NoSchedule", "unreachable:NoSchedule", "unreachable:NoExecute since"],
  ],
  ["ready again", node("True", { taints: [NOT_READY, FOREIGN] }), ["dedicated:NoSchedule"]],
  ["cordoned", node("True", { unschedulable: true }), ["unschedulable:NoSchedule"]],
  ["as it should be", node(undefined, { taints: [NOT_READY] }), undefined],
];

for (const [name, subject, expected] of TAINTS) {
  test(`taints: ${name}`, () => assert.deepEqual(show(computeTaints(subject, TEST_START_MS)), expected));
}

test("taints: pressure keeps new pods away", () => {
  const status = {
    conditions: [
      { type: "Ready", status: "True" },
      { type: "DiskPressure", status: "True" },
    ],
  };
  assert.deepEqual(show(computeTaints({ ...node("True"), status }, 0)), ["disk-pressure:NoSchedule"]);
});

test("a lost node says so in all of its kubelet's conditions, once", () => {
  const lost = lostConditions(node("True"), TEST_START_MS + 60_000);
  assert.deepEqual(
    lost?.map(({ type, status, reason }) => `${type} ${status} ${reason}`),
    ["Ready Unknown NodeStatusUnknown", ...["Memory", "Disk", "PID"].map((kind) => `${kind}Pressure Unknown NodeStatusNeverUpdated`)],
  );
  assert.equal(lost?.[0]?.lastHeartbeatTime, "2024-01-01T00:00:00Z");
  assert.equal(lostConditions({ ...node("True"), status: { conditions: lost ?? [] } }, 0), undefined);
});

const NO_EXECUTE = { key: "gone", effect: "NoExecute", timeAdded: "2024-01-01T00:00:10Z" };

const EVICTIONS: readonly [string, Toleration[], number | undefined][] = [
  ["not tolerated", [], 10],
  ["tolerated", [{ key: "gone", operator: "Exists" }], undefined],
  ["tolerated for a while", [{ key: "gone", operator: "Exists", tolerationSeconds: 300 }], 310],
  [
    "the shortest counts",
    [
      { operator: "Exists", tolerationSeconds: 20 },
      { key: "gone", operator: "Exists", tolerationSeconds: 300 },
    ],
    30,
  ],
  ["another effect does not", [{ key: "gone", operator: "Exists", effect: "NoSchedule" }], 10],
];

for (const [name, tolerations, seconds] of EVICTIONS) {
  test(`eviction: ${name}`, () => {
    const at = evictionAtMs(pod("p", tolerations), node("True", { taints: [FOREIGN, NO_EXECUTE] }), TEST_START_MS);
    assert.equal(at, seconds === undefined ? undefined : TEST_START_MS + seconds * 1000);
  });
}

async function run(
  objects: readonly KubeObject[],
  body: (bed: TestBed, pass: (ms: number) => Promise<void>) => Promise<void>,
): Promise<void> {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    using bed = await startTestBed(objects, async (context) => {
      await Promise.all([startNodeLifecycle(context), startTaintEviction(context)]);
    });
    await bed.settle();
    await body(bed, async (ms) => {
      bed.clock.nowMs += ms;
      mock.timers.tick(ms);
      await bed.settle();
    });
  } finally {
    mock.timers.reset();
  }
}

async function renew(bed: TestBed): Promise<void> {
  const body = { spec: { renewTime: formatMicroTime(bed.clock.now()) } };
  await bed.client.patch(LEASES, { namespace: "kube-node-lease", name: "n" }, { type: "merge", body });
  await bed.settle();
}

const ready = async (bed: TestBed) =>
  (await bed.client.get(NODES, { name: "n" })).status?.conditions?.find((c) => c.type === "Ready")?.status;

test("a node that renews its Lease stays Ready; silent for 40 s, it is lost, its pods are not ready, and later they go", async () => {
  const patient = [{ key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 }];
  await run([node("True"), LEASE, pod("p", patient)], async (bed, pass) => {
    for (let i = 0; i < 8; i++) {
      await pass(10_000);
      await renew(bed);
    }
    assert.equal(await ready(bed), "True");
    await pass(36_000);
    assert.equal(await ready(bed), "True");
    await pass(5_000);
    assert.equal(await ready(bed), "Unknown");
    const taints = (await bed.client.get(NODES, { name: "n" })).spec?.taints;
    assert.deepEqual(show(taints), ["unreachable:NoSchedule", "unreachable:NoExecute since"]);
    const condition = (await bed.client.get(PODS, { namespace: "ns", name: "p" })).status?.conditions?.[0];
    assert.equal(condition?.status, "False");
    assert.ok(bed.events.includes("Normal NodeNotReady n: Node n status is now: NodeNotReady"));
    await pass(298_000);
    assert.equal((await bed.client.get(PODS, { namespace: "ns", name: "p" })).metadata.deletionTimestamp, undefined);
    await pass(3_000);
    assert.notEqual((await bed.client.get(PODS, { namespace: "ns", name: "p" })).metadata.deletionTimestamp, undefined);
    assert.ok(bed.events.includes("Normal TaintManagerEviction ns/p: Marking for deletion Pod ns/p"));
  });
});

test("a node that comes back loses its taints, and its pods stay", async () => {
  const patient = [{ operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 }];
  await run([node("True"), LEASE, pod("p", patient)], async (bed, pass) => {
    await pass(36_000);
    await pass(5_000);
    assert.equal(await ready(bed), "Unknown");
    const conditions = [{ type: "Ready", status: "True", lastHeartbeatTime: "2024-01-01T00:00:41Z" }];
    await bed.client.patch(NODES, { name: "n" }, { type: "merge", body: { status: { conditions } } }, { subresource: "status" });
    await renew(bed);
    assert.equal((await bed.client.get(NODES, { name: "n" })).spec?.taints, undefined);
    await pass(30_000);
    await renew(bed);
    await pass(300_000);
    assert.equal((await bed.client.get(PODS, { namespace: "ns", name: "p" })).metadata.deletionTimestamp, undefined);
  });
});

test("an API server that was away for long does not make nodes lost", async () => {
  await run([node("True"), LEASE], async (bed, pass) => {
    bed.client.failNext("get", LEASES, new Error("connection refused"));
    await pass(60_000);
    await pass(5_000);
    assert.equal(await ready(bed), "True");
    await renew(bed);
    await pass(34_000);
    await renew(bed);
    await pass(34_000);
    assert.equal(await ready(bed), "True");
  });
});
