import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "kubernetes-types/core/v1";
import { createInformer } from "#client";
import { createFakeClient } from "#client/fake";
import { formatAddr, formatPrefix } from "#ip";
import { NODES } from "#kube";
import { primaryAddresses, watchNode } from "./node-watch.ts";
import type { ProxyNode } from "./types.ts";

function node(addresses: readonly string[], zone?: string): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "a", labels: { ...(zone !== undefined && { "topology.kubernetes.io/zone": zone }) } },
    status: { addresses: addresses.map((text) => ({ type: text.split(" ")[0] ?? "", address: text.split(" ")[1] ?? "" })) },
  };
}

test("primary addresses: one of each family, InternalIP first", () => {
  const of = (...addresses: string[]): string[] => primaryAddresses(node(addresses)).map(formatAddr);
  assert.deepEqual(of("Hostname a", "ExternalIP 203.0.113.1", "InternalIP 10.0.0.1", "InternalIP 10.0.0.2"), ["10.0.0.1"]);
  assert.deepEqual(of("InternalIP fd00::1", "InternalIP 10.0.0.1", "InternalIP fd00::2"), ["fd00::1", "10.0.0.1"]);
  assert.deepEqual(of("InternalIP 10.0.0.1", "ExternalIP 2001:db8::1"), ["10.0.0.1", "2001:db8::1"]);
  assert.deepEqual(of("InternalIP nonsense"), []);
});

test("zone and addresses are followed; without either the last ones stay", async () => {
  const client = createFakeClient([node(["InternalIP 10.0.0.1"], "east")]);
  const nodes = createInformer(client, NODES);
  const seen: string[] = [];
  const cidrs: string[] = [];
  watchNode({
    nodes,
    node: { name: "a", addresses: [] },
    followAddresses: true,
    onChange: ({ addresses, zone }: ProxyNode) => void seen.push([...addresses.map(formatAddr), zone].join(" ")),
    onPodCidrs: (podCidrs) => void cidrs.push(podCidrs.map(formatPrefix).join()),
    onObject() {},
  });
  await nodes.synced;
  const settle = async (): Promise<void> => {
    const { metadata } = await client.get(NODES, { name: "a" });
    while (!nodes.hasSeen(metadata.resourceVersion)) await new Promise((resolve) => setImmediate(resolve));
  };
  await client.update(NODES, node(["InternalIP 10.0.0.1"], "east"));
  await settle();
  await client.update(NODES, node([], "west"));
  await settle();
  for (const addresses of [["InternalIP 10.0.0.2"], []]) {
    await client.update(NODES, node(addresses), { subresource: "status" });
    await settle();
  }
  await client.update(NODES, node([]));
  await settle();
  assert.deepEqual(seen, ["10.0.0.1 east", "10.0.0.1 west", "10.0.0.2 west", "10.0.0.2 "]);
  await client.update(NODES, { ...node([]), spec: { podCIDRs: ["10.244.1.0/24", "fd00::/64"] } });
  await settle();
  await client.update(NODES, { ...node([], "west"), spec: { podCIDRs: ["10.244.1.0/24", "fd00::/64"] } });
  await settle();
  assert.deepEqual(cidrs, ["10.244.1.0/24,fd00::/64"]);
  nodes.stop();
});
