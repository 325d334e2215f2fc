import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "kubernetes-types/core/v1";
import { CORE_EVENTS, NODES, PODS } from "#kube";
import { createFakeClient } from "./fake/index.ts";
import { createEventRecorder } from "./index.ts";

const clock = { now: () => Date.UTC(2024, 0, 1), sleep: () => Promise.resolve() };

function summary(event: Event): string {
  return `${event.metadata.namespace} ${event.involvedObject.kind}/${event.involvedObject.name} ${event.type} ${event.reason} x${event.count}`;
}

test("events are counted, in the namespace of their object or in default", async () => {
  const client = createFakeClient();
  const pod = client.seed(PODS, { metadata: { name: "p", namespace: "ns" } });
  const node = client.seed(NODES, { metadata: { name: "n" } });
  const recorder = createEventRecorder(client, { component: "kubelet", host: "n", clock });
  const started = { type: "Normal", reason: "Started", message: "Started container c", fieldPath: "spec.containers{c}" } as const;
  recorder.event(pod, started);
  recorder.event(pod, started);
  recorder.event(node, { type: "Warning", reason: "NotReady", message: "no" });
  await recorder.flush();
  recorder.event(pod, started);
  await recorder.flush();
  const { items } = await client.list(CORE_EVENTS);
  assert.deepEqual(items.map(summary), ["default Node/n Warning NotReady x1", "ns Pod/p Normal Started x3"]);
  assert.deepEqual(items[1]?.source, { component: "kubelet", host: "n" });
  assert.equal(items[1]?.involvedObject.fieldPath, "spec.containers{c}");
  assert.equal(items[1]?.lastTimestamp, "2024-01-01T00:00:00Z");
});

test("an event that expired on the server is written anew with its count", async () => {
  const client = createFakeClient();
  const pod = client.seed(PODS, { metadata: { name: "p" } });
  const recorder = createEventRecorder(client, { component: "c", clock });
  const say = async () => {
    recorder.event(pod, { type: "Normal", reason: "R", message: "m" });
    await recorder.flush();
  };
  await say();
  for (const { metadata } of (await client.list(CORE_EVENTS)).items) await client.delete(CORE_EVENTS, metadata);
  await say();
  assert.deepEqual((await client.list(CORE_EVENTS)).items.map(summary), ["default Pod/p Normal R x2"]);
});

test("one object gets no more than 25 different events at once", async () => {
  const client = createFakeClient();
  const pod = client.seed(PODS, { metadata: { name: "p" } });
  const recorder = createEventRecorder(client, { component: "c", clock });
  for (let i = 0; i < 40; i++) recorder.event(pod, { type: "Normal", reason: "R", message: String(i) });
  await recorder.flush();
  const { items } = await client.list(CORE_EVENTS);
  assert.equal(items.length, 25);
  assert.equal(new Set(items.map((event) => event.metadata.name)).size, 25, "every event has a name of its own");
});
