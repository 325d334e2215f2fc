import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod } from "kubernetes-types/core/v1";
import { silentLogger } from "#base";
import { ApiError, createInformer, type EventRecorder } from "#client";
import { createFakeClient } from "#client/fake";
import { type KubeObject, keyOf, NODES, PODS } from "#kube";
import { startScheduler } from "./index.ts";

function node(name: string, ready = "True", cpu = "1"): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    status: { allocatable: { cpu, memory: "1Gi", pods: "10" }, conditions: [{ type: "Ready", status: ready }] },
  };
}

function pod(name: string, spec: object = {}): Pod {
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "ns" }, spec: { containers: [{ name: "c" }], ...spec } };
}

const FULL = { containers: [{ name: "c", resources: { requests: { cpu: "1" } } }] };

async function run(objects: readonly KubeObject[]) {
  const clock = { now: () => Date.UTC(2024, 0, 1), sleep: () => Promise.resolve() };
  const client = createFakeClient(objects, { clock });
  const abort = new AbortController();
  const events: string[] = [];
  const recorder: EventRecorder = {
    event: (object, { type, reason, message }) => void events.push(`${type} ${reason} ${keyOf(object)}: ${message}`),
    flush: () => Promise.resolve(),
  };
  const { signal } = abort;
  const pods = createInformer(client, PODS, { signal });
  const nodes = createInformer(client, NODES, { signal });
  await startScheduler({ client, pods, nodes, recorder, clock, logger: silentLogger, signal });
  return {
    client,
    events,
    async until(check: () => boolean | Promise<boolean>) {
      for (const end = Date.now() + 2000; !(await check()); ) {
        if (Date.now() > end) throw new Error(`did not happen: ${check.toString()}; events: ${events.join("\n")}`);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    nodeOf: async (name: string) => (await client.get(PODS, { namespace: "ns", name })).spec?.nodeName,
    [Symbol.dispose]: () => abort.abort(),
  };
}

test("pods are bound as they come, and it is said where", async () => {
  using bed = await run([node("a"), pod("p")]);
  await bed.until(async () => (await bed.nodeOf("p")) === "a");
  await bed.until(() => bed.events.includes("Normal Scheduled ns/p: Successfully assigned ns/p to a"));
  await bed.client.create(PODS, pod("q"));
  await bed.until(async () => (await bed.nodeOf("q")) === "a");
});

test("a place is given away once, even before the API shows it", async () => {
  using bed = await run([node("a"), node("b"), pod("p", FULL), pod("q", FULL), pod("r", FULL)]);
  await bed.until(() => bed.events.length === 3);
  const nodes = await Promise.all(["p", "q", "r"].map((name) => bed.nodeOf(name)));
  assert.deepEqual(nodes.map(String).sort(), ["a", "b", "undefined"]);
  assert.ok(bed.events.some((event) => event.endsWith("0/2 nodes are available: 2 Insufficient cpu.")));
});

test("a pod that found no node says why, and gets one when a node becomes ready", async () => {
  using bed = await run([node("a", "False"), pod("p")]);
  const message = "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.";
  await bed.until(() => bed.events.includes(`Warning FailedScheduling ns/p: ${message}`));
  const condition = async () => (await bed.client.get(PODS, { namespace: "ns", name: "p" })).status?.conditions?.[0];
  await bed.until(async () => (await condition())?.reason === "Unschedulable");
  assert.equal((await condition())?.message, message);
  const body = { status: { conditions: [{ type: "Ready", status: "True" }] } };
  await bed.client.patch(NODES, { name: "a" }, { type: "merge", body }, { subresource: "status" });
  await bed.until(async () => (await bed.nodeOf("p")) === "a");
});

test("a pod that found no room gets it when another one goes", async () => {
  using bed = await run([node("a"), pod("p", { ...FULL, nodeName: "a" }), pod("q", FULL)]);
  await bed.until(() => bed.events.length === 1);
  await bed.client.delete(PODS, { namespace: "ns", name: "p" }, { gracePeriodSeconds: 0 });
  await bed.until(async () => (await bed.nodeOf("q")) === "a");
});

test("a finished pod takes no room", async () => {
  using bed = await run([node("a"), { ...pod("p", { ...FULL, nodeName: "a" }), status: { phase: "Succeeded" } } as Pod, pod("q", FULL)]);
  await bed.until(async () => (await bed.nodeOf("q")) === "a");
});

test("pods of other schedulers and gated ones are left alone", async () => {
  using bed = await run([node("a"), pod("p", { schedulerName: "mine" }), pod("q", { schedulingGates: [{ name: "g" }] }), pod("r")]);
  await bed.until(async () => (await bed.nodeOf("r")) === "a");
  assert.deepEqual([await bed.nodeOf("p"), await bed.nodeOf("q")], [undefined, undefined]);
});

test("a binding that fails is tried again", async () => {
  using bed = await run([node("a")]);
  bed.client.failNext("create", PODS, new ApiError("bind", { code: 500, reason: "InternalError", message: "no" }));
  bed.client.seed(PODS, pod("p"));
  await bed.until(async () => (await bed.nodeOf("p")) === "a");
});

test("the more important pod goes first", async () => {
  using bed = await run([node("a"), pod("low", FULL), pod("high", { ...FULL, priority: 1000 })]);
  await bed.until(async () => (await bed.nodeOf("high")) === "a");
  assert.equal(await bed.nodeOf("low"), undefined);
});
