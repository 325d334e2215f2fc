import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { NODES, PODS } from "#kube";
import { startTestBed } from "../testing.ts";
import { startPodGc } from "./reconcile.ts";

function pod(name: string, nodeName: string) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "ns" },
    spec: { containers: [], nodeName },
    status: { phase: "Running" },
  };
}

const node = (name: string) => ({ apiVersion: "v1", kind: "Node", metadata: { name } });

test("pods of a node that stays away are removed, others are not", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    using bed = await startTestBed([node("a"), node("b"), pod("p", "a"), pod("q", "b"), pod("r", "never")], startPodGc);
    const names = async () => (await bed.client.list(PODS)).items.map((p) => p.metadata.name);
    await bed.client.delete(NODES, { name: "a" });
    await bed.client.delete(NODES, { name: "b" });
    await bed.settle();
    await bed.client.create(NODES, { metadata: { name: "b" } });
    await bed.settle();
    mock.timers.tick(39_000);
    await bed.settle();
    assert.deepEqual(await names(), ["p", "q", "r"]);
    mock.timers.tick(2_000);
    await bed.settle();
    assert.deepEqual(await names(), ["q"]);
  } finally {
    mock.timers.reset();
  }
});
