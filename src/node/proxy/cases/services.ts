// What a Service does, with real packets, in any mode.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openNft } from "#linux";
import type { ProxyMode } from "../dataplane.ts";
import { connect, tcp, UdpClient } from "../fixture.ts";
import { FAMILIES } from "../fixture-cluster.ts";
import { clean, PROTOCOLS, type Stage, stage } from "./stage.ts";

export function serviceCases(mode: ProxyMode): void {
  for (const family of FAMILIES) {
    describe(`${mode}: services over ${family.name}`, () => {
      const [podA, podB] = family.pods;
      const at = stage(mode, family, async (cluster) => {
        await cluster.set(1, family, [podB]);
        await cluster.set(2, family, [podA, podB]);
        await cluster.set(3, family, []);
        await cluster.set(4, family, [podA]);
      });
      for (const protocol of PROTOCOLS) pathCases(at, protocol);
      flowCases(at);
    });
  }
}

function pathCases(at: Stage, [protocol, ask]: (typeof PROTOCOLS)[number]): void {
  const { addrOf, family } = at;
  const { gateway, node, vip } = family;

  test(`${protocol}: pod to service keeps the pod's address`, async () => {
    assert.equal(clean(await ask(at.fixture.podA, vip(1), 80)), `pod-b ${addrOf("podA")}`);
  });

  test(`${protocol}: a pod that is its own backend is answered, from the node's address`, async () => {
    assert.equal(clean(await ask(at.fixture.podA, vip(4), 80)), `pod-a ${gateway}`);
  });

  test(`${protocol}: the node itself`, async () => {
    assert.equal(clean(await ask(at.fixture.node, vip(1), 80)), `pod-b ${gateway}`);
  });

  test(`${protocol}: a NodePort from outside and from the node, with the node's address`, async () => {
    for (const from of [at.fixture.outside, at.fixture.node, at.fixture.podA]) {
      assert.equal(clean(await ask(from, node, 30_001)), `pod-b ${gateway}`);
    }
  });

  test(`${protocol}: no endpoints, or no such port: refused at once`, async () => {
    for (const from of [at.fixture.podA, at.fixture.node]) {
      assert.equal(await ask(from, vip(3), 80), "ECONNREFUSED");
      assert.equal(await ask(from, vip(1), 81), "ECONNREFUSED");
    }
    assert.equal(await ask(at.fixture.outside, node, 30_003), "ECONNREFUSED");
  });

  test(`${protocol}: all backends get their part`, async () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 60; i++) {
      const [name = ""] = (await ask(at.fixture.outside, node, 30_002)).split(" ");
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    assert.deepEqual([...counts.keys()].sort(), ["pod-a", "pod-b"]);
    // Of 60 fair draws fewer than 10 on one side happens once in 10 million times.
    for (const count of counts.values()) assert.ok(count >= 10, JSON.stringify([...counts]));
  });
}

function flowCases(at: Stage): void {
  const { family } = at;
  const { node, vip } = family;
  const [podA, podB] = family.pods;

  test("an established connection outlives its endpoint, a restart of the proxy and its comparison with the kernel", async () => {
    const { cluster, fixture } = at;
    await cluster.set(5, family, [podB]);
    const connection = await connect(fixture.podA, vip(5), 80);
    assert.match(await connection.ask(), /^pod-b /);
    const nft = openNft(fixture.node.ns);
    const generation = nft.generation();
    await cluster.restart();
    await cluster.proxy.resync();
    if (at.mode === "nftables") assert.equal(nft.generation(), generation, "nothing was to be changed");
    nft.close();
    assert.match(await connection.ask(), /^pod-b /);
    await cluster.set(5, family, []);
    assert.equal(await tcp(fixture.podA, vip(5), 80), "ECONNREFUSED");
    assert.match(await connection.ask(), /^pod-b /);
    connection.end();
  });

  test("a UDP client that goes on sending follows the endpoints, also from a time without any", async () => {
    const { cluster, fixture } = at;
    await cluster.set(6, family, []);
    const client = new UdpClient(fixture.podA, vip(6), 80);
    assert.equal(await client.ask(), "ECONNREFUSED");
    await cluster.set(6, family, [podB]);
    assert.match(await client.ask(), /^pod-b /);
    await cluster.set(6, family, [podA]);
    assert.match(await client.ask(), /^pod-a /);
    client.close();
  });

  test("ClientIP affinity: a client stays with its backend until that is gone", async () => {
    const { cluster, fixture } = at;
    await cluster.set(7, family, [podA, podB], { sessionAffinity: "ClientIP" });
    const ask = async (): Promise<string | undefined> => (await tcp(fixture.outside, node, 30_007)).split(" ")[0];
    const first = await ask();
    for (let i = 0; i < 15; i++) assert.equal(await ask(), first);
    const [rest, other] = first === "pod-a" ? [podB, "pod-b"] : [podA, "pod-a"];
    await cluster.set(7, family, [rest]);
    assert.equal(await ask(), other);
  });
}
