import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "kubernetes-types/core/v1";
import type { Stored } from "#kube";
import { nodeOfInterest } from "./node-of-interest.ts";

test("of a Node stay its addresses, its Pod CIDRs, its taints, and whether it is Ready", () => {
  const node: Stored<Node> = {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: "a",
      uid: "1",
      resourceVersion: "2",
      creationTimestamp: "2025-01-01T00:00:00Z",
      managedFields: [{ manager: "kubelet" }],
    },
    spec: { podCIDR: "10.244.1.0/24", podCIDRs: ["10.244.1.0/24"], taints: [{ key: "a", effect: "NoSchedule" }], providerID: "x" },
    status: {
      addresses: [{ type: "InternalIP", address: "172.18.0.11" }],
      conditions: [
        { type: "MemoryPressure", status: "False" },
        { type: "Ready", status: "True", lastHeartbeatTime: "2025-01-01T00:00:00Z", message: "kubelet is posting ready status" },
      ],
      images: [{ names: ["a"], sizeBytes: 1 }],
    },
  };
  const { managedFields: _, ...metadata } = node.metadata;
  const { providerID: __, ...spec } = node.spec ?? {};
  const status = { addresses: node.status?.addresses, conditions: [{ type: "Ready", status: "True" }] };
  assert.deepEqual(nodeOfInterest(node), { apiVersion: "v1", kind: "Node", metadata, spec, status });
});
