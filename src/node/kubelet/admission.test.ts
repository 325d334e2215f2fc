import assert from "node:assert/strict";
import { test } from "node:test";
import { PODS, type Stored } from "#kube";
import { refusalOf } from "./admission.ts";
import type { StoredPod } from "./pod-spec.ts";
import { isReady, KEY, podOf, until, useKubelet } from "./testing/fixture.ts";

const kubelet = useKubelet();

function pod(uid: string, hostPort: number, given: { hostIP?: string; status?: StoredPod["status"] } = {}): StoredPod {
  const { hostIP, status } = given;
  const ports = [{ containerPort: 80, hostPort, ...(hostIP !== undefined && { hostIP }) }];
  const metadata = { name: uid, namespace: "default", uid, resourceVersion: "1", creationTimestamp: "" };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [{ name: "c", ports }] }, ...(status && { status }) };
}

test("a host port is given once, unless addresses differ or its pod has ended", () => {
  assert.equal(refusalOf(pod("b", 80), [pod("a", 81)]), undefined);
  assert.equal(refusalOf(pod("b", 80), [pod("b", 80)]), undefined);
  assert.equal(refusalOf(pod("b", 80), [pod("a", 80)])?.reason, "NodePorts");
  assert.equal(refusalOf(pod("b", 80, { hostIP: "127.0.0.1" }), [pod("a", 80, { hostIP: "127.0.0.2" })]), undefined);
  assert.equal(refusalOf(pod("b", 80, { hostIP: "127.0.0.1" }), [pod("a", 80)])?.reason, "NodePorts");
  assert.equal(refusalOf(pod("b", 80), [pod("a", 80, { status: { phase: "Succeeded" } })]), undefined);
  assert.equal(refusalOf(pod("b", 80, { status: { startTime: "2026-01-01T00:00:00Z" } }), [pod("a", 80)]), undefined);
});

test("a pod that is refused fails, is never started, and says why", async () => {
  await kubelet.start().ready;
  const spec = { nodeName: "node-1", containers: [{ name: "c", image: "agnhost", ports: [{ containerPort: 80, hostPort: 8080 }] }] };
  await kubelet.client.create(PODS, podOf(spec));
  await kubelet.podWhere("ready", isReady);
  await kubelet.client.create(PODS, { ...podOf(spec), metadata: { name: "second", namespace: "default" } });
  const second = await until("failed", async (): Promise<Stored<StoredPod> | false> => {
    const found = await kubelet.client.get(PODS, { namespace: "default", name: "second" });
    return found.status?.phase === "Failed" && found;
  });
  assert.equal(second.status?.reason, "NodePorts");
  assert.equal(kubelet.runtime.calls.filter((call) => call.startsWith("sandbox")).length, 1);
  await until("event", async () => (await kubelet.events()).some((event) => event.startsWith("NodePorts: Pod was rejected")));
});

test("the port of a pod that was deleted at once is free, although the pod may still be ending", async () => {
  await kubelet.start().ready;
  const spec = { nodeName: "node-1", containers: [{ name: "c", image: "agnhost", ports: [{ containerPort: 80, hostPort: 8080 }] }] };
  await kubelet.client.create(PODS, podOf(spec));
  await kubelet.podWhere("ready", isReady);
  const stopping = Promise.withResolvers<void>();
  kubelet.runtime.beforeSandboxStops = stopping.promise;
  await kubelet.client.delete(PODS, KEY, { gracePeriodSeconds: 0 });
  await kubelet.client.create(PODS, { ...podOf(spec), metadata: { name: "second", namespace: "default" } });
  await until("ready", async () => isReady(await kubelet.client.get(PODS, { namespace: "default", name: "second" })));
  stopping.resolve();
});
