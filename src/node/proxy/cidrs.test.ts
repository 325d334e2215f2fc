import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base";
import { type Client, createInformer } from "#client";
import { createFakeClient } from "#client/fake";
import { parsePrefix } from "#ip";
import { ENDPOINT_SLICES, NODES, SERVICES } from "#kube";
import { FakeNft } from "#linux/fake";
import { type Change, formatKey } from "#nft";
import { NftablesDataplane } from "./nftables/dataplane.ts";
import { TABLE } from "./nftables/layout.ts";
import { type ServiceProxy, startProxy } from "./start.ts";
import { CIDRS, NODE, service, slice } from "./testing.ts";

test("pods and Services have other addresses now: the sets change, and nothing else", async () => {
  const nft = new FakeNft();
  const ports = [{ name: "http", port: 80, targetPort: 8080 }];
  const proxy = startProxy({
    client: createFakeClient([service("web", ["10.96.0.1"], ports), slice("web", ["10.244.1.2@node-1"], ports)]),
    node: NODE,
    ...CIDRS,
    logger: silentLogger,
    openDataplane: ({ cidrs, metrics, logger }) => new NftablesDataplane({ nft, cidrs, metrics, logger }),
  });
  await proxy.synced;
  const before = nft.transactions.length;
  await proxy.setCidrs({ podCidrs: [parsePrefix("10.1.0.0/16")], serviceCidrs: CIDRS.serviceCidrs });
  const of = (name: string): string[] => {
    const set = nft.list(TABLE)?.sets.find((one) => one.name === name);
    return (set?.elements ?? []).map((element) => (set === undefined ? "" : formatKey(set, element)));
  };
  assert.deepEqual(of("pod-cidrs4"), ["10.1.0.0/16"]);
  assert.deepEqual(of("pod-cidrs6"), []);
  assert.deepEqual(of("service-cidrs4"), ["10.96.0.0/16"]);
  const nameOf = (change: Change): string => {
    if (!("set" in change)) return change.op;
    return typeof change.set === "string" ? change.set : change.set.name;
  };
  const touched = nft.transactions.slice(before).flatMap((changes) => changes.map(nameOf));
  assert.deepEqual([...new Set(touched)].sort(), ["local-pod-cidrs4", "local-pod-cidrs6", "pod-cidrs4", "pod-cidrs6"]);
  proxy.stop();
});

test("the next proxy writes nothing before it knows its Node, and then nothing that is there", async () => {
  const nft = new FakeNft();
  const ports = [{ name: "http", port: 80, targetPort: 8080 }];
  const own = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: NODE.name },
    spec: { podCIDRs: ["10.244.1.0/24", "fd00:10:244:1::/64"] },
  };
  const client = createFakeClient([service("web", ["10.96.0.1"], ports), slice("web", ["10.244.1.2@node-1"], ports), own]);
  const start = (nodesFrom: Client): ServiceProxy =>
    startProxy({
      client,
      node: NODE,
      ...CIDRS,
      informers: {
        services: createInformer(client, SERVICES),
        slices: createInformer(client, ENDPOINT_SLICES),
        nodes: createInformer(nodesFrom, NODES),
      },
      logger: silentLogger,
      openDataplane: ({ cidrs, metrics, logger }) => new NftablesDataplane({ nft, cidrs, metrics, logger }),
    });
  const first = start(client);
  await first.synced;
  await first.idle();
  first.stop();
  const written = nft.transactions.length;
  const known = Promise.withResolvers<void>();
  const watch: Client["watch"] = async function* (resource, options) {
    await known.promise;
    yield* client.watch(resource, options);
  };
  const second = start({ ...client, watch });
  for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
  known.resolve();
  await second.synced;
  await second.idle();
  assert.deepEqual(nft.transactions.slice(written).flat(), []);
  second.stop();
});

for (const followPodCidrs of [true, false]) {
  test(`this node's pods are ${followPodCidrs ? "in its Node's Pod CIDRs" : "anywhere, where addresses do not come from Pod CIDRs"}`, async () => {
    const nft = new FakeNft();
    const own = { apiVersion: "v1", kind: "Node", metadata: { name: NODE.name }, spec: { podCIDRs: ["10.244.1.0/24"] } };
    const client = createFakeClient([own]);
    const informers = {
      services: createInformer(client, SERVICES),
      slices: createInformer(client, ENDPOINT_SLICES),
      nodes: createInformer(client, NODES),
    };
    const proxy = startProxy({
      client,
      informers,
      node: NODE,
      ...CIDRS,
      followPodCidrs,
      logger: silentLogger,
      openDataplane: ({ cidrs, metrics, logger }) => new NftablesDataplane({ nft, cidrs, metrics, logger }),
    });
    await proxy.synced;
    const set = nft.list(TABLE)?.sets.find(({ name }) => name === "local-pod-cidrs4");
    const found = (set?.elements ?? []).map((element) => (set === undefined ? "" : formatKey(set, element)));
    assert.deepEqual(found, [followPodCidrs ? "10.244.1.0/24" : "10.244.0.0/16"]);
    proxy.stop();
  });
}
