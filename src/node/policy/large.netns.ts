// With the socket of an ordinary user, of which one send takes 0.4 MB: what is larger reaches the kernel all the same.
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { parseAddr } from "#ip";
import { NAMESPACES, NETWORK_POLICIES, PODS } from "#kube";
import { netns, openNft } from "#linux";
import { TABLE } from "./layout.ts";
import { startPolicies } from "./start.ts";

/** Twice net.core.wmem_max on most machines. */
const USERS_BYTES = 425_984;
const PEERS = 25_000;

test("25,000 peers come, go, and come back", async () => {
  using ns = netns.createAnonymous();
  const nft = openNft(ns, { bufferBytes: USERS_BYTES });
  const client = createFakeClient();
  for (const name of ["x", "y"])
    client.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { team: name } } });
  const pod = (namespace: string, name: string, ip: string, nodeName: string): string =>
    client.seed(PODS, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace, name },
      spec: { nodeName, containers: [] },
      status: { podIPs: [{ ip }] },
    }).metadata.uid;
  for (let n = 0; n < PEERS; n++) pod("y", `peer-${n}`, `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, "node-2");
  const uid = pod("x", "server", "10.244.1.1", "node-1");
  client.seed(NETWORK_POLICIES, {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "x", name: "p" },
    spec: { podSelector: {}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: "y" } } }] }] },
  });
  const policies = startPolicies({ client, nodeName: "node-1", nft, logger: silentLogger });
  policies.open([{ containerId: "c", namespace: "x", name: "server", uid, addrs: [parseAddr("10.244.1.1")] }]);

  const peers = (): number | undefined => nft.list(TABLE)?.sets.find(({ name }) => name.startsWith("pods4-"))?.elements.length;
  await policies.ready;
  assert.equal(peers(), PEERS);
  for (const [team, expected] of [
    ["nobody", 0],
    ["y", PEERS],
  ] as const) {
    const { syncs_total: before } = policies.metrics;
    await client.patch(NAMESPACES, { name: "y" }, { type: "merge", body: { metadata: { labels: { team } } } });
    while (policies.metrics.syncs_total === before) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(peers(), expected);
  }
  assert.equal(policies.metrics.sync_failures_total, 0);
  policies.stop();
  nft.close();
});
