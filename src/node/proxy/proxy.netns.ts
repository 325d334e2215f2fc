// Real packets through the real table.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { formatAddr } from "#ip";
import { openNft } from "#linux";
import { connect, Fixture, tcp, UdpClient, udp } from "./fixture.ts";
import { Cluster, FAMILIES } from "./fixture-cluster.ts";

let fixture: Fixture;

before(() => {
  fixture = new Fixture();
  for (const host of fixture.hosts) fixture.serve(host, 8080);
});

after(() => fixture.close());

for (const family of FAMILIES) {
  const { vip, pods, gateway, index } = family;
  const [podA, podB] = pods;
  const addrOf = (host: "node" | "podA" | "podB" | "outside"): string => formatAddr(fixture[host].addrs[index]);
  const clean = (answer: string): string => answer.replace("::ffff:", "");

  describe(`services over ${family.name}`, () => {
    let cluster: Cluster;

    before(async () => {
      cluster = await Cluster.start(fixture);
      await cluster.set(1, family, [podB]);
      await cluster.set(2, family, [podA, podB]);
      await cluster.set(3, family, []);
      await cluster.set(4, family, [podA]);
    });

    after(() => {
      cluster.remove();
    });

    for (const [protocol, ask] of [
      ["TCP", tcp],
      ["UDP", udp],
    ] as const) {
      test(`${protocol}: pod to service keeps the pod's address`, async () => {
        assert.equal(clean(await ask(fixture.podA, vip(1), 80)), `pod-b ${addrOf("podA")}`);
      });

      test(`${protocol}: a pod that is its own backend is answered, from the node's address`, async () => {
        assert.equal(clean(await ask(fixture.podA, vip(4), 80)), `pod-a ${gateway}`);
      });

      test(`${protocol}: the node itself`, async () => {
        assert.equal(clean(await ask(fixture.node, vip(1), 80)), `pod-b ${gateway}`);
      });

      test(`${protocol}: a NodePort from outside and from the node, with the node's address`, async () => {
        assert.equal(clean(await ask(fixture.outside, family.node, 30_001)), `pod-b ${gateway}`);
        assert.equal(clean(await ask(fixture.node, family.node, 30_001)), `pod-b ${gateway}`);
        assert.equal(clean(await ask(fixture.podA, family.node, 30_001)), `pod-b ${gateway}`);
      });

      test(`${protocol}: no endpoints, or no such port: refused at once`, async () => {
        assert.equal(await ask(fixture.podA, vip(3), 80), "ECONNREFUSED");
        assert.equal(await ask(fixture.node, vip(3), 80), "ECONNREFUSED");
        assert.equal(await ask(fixture.outside, family.node, 30_003), "ECONNREFUSED");
        assert.equal(await ask(fixture.podA, vip(1), 81), "ECONNREFUSED");
        assert.equal(await ask(fixture.node, vip(1), 81), "ECONNREFUSED");
      });

      test(`${protocol}: all backends get their part`, async () => {
        const seen = new Map<string, number>();
        for (let i = 0; i < 60; i++) {
          const [name = ""] = (await ask(fixture.outside, family.node, 30_002)).split(" ");
          seen.set(name, (seen.get(name) ?? 0) + 1);
        }
        assert.deepEqual([...seen.keys()].sort(), ["pod-a", "pod-b"]);
        // Of 60 fair draws fewer than 10 on one side happens once in 10 million times.
        for (const count of seen.values()) assert.ok(count >= 10, JSON.stringify([...seen]));
      });

      test(`${protocol}: pods leave the cluster with the node's address, and reach pods with their own`, async () => {
        assert.equal(clean(await ask(fixture.podA, family.outside, 8080)), `outside ${addrOf("node")}`);
        assert.equal(clean(await ask(fixture.podA, addrOf("podB"), 8080)), `pod-b ${addrOf("podA")}`);
        assert.equal(clean(await ask(fixture.podA, family.node, 8080)), `node ${addrOf("podA")}`);
      });
    }

    test("an established connection outlives its endpoint, a restart of the proxy and its comparison with the kernel", async () => {
      await cluster.set(5, family, [podB]);
      const connection = await connect(fixture.podA, vip(5), 80);
      assert.match(await connection.ask(), /^pod-b /);
      const nft = openNft(fixture.node.ns);
      const generation = nft.generation();
      await cluster.restart();
      await cluster.proxy.resync();
      assert.equal(nft.generation(), generation, "nothing was to be changed");
      nft.close();
      assert.match(await connection.ask(), /^pod-b /);
      await cluster.set(5, family, []);
      assert.equal(await tcp(fixture.podA, vip(5), 80), "ECONNREFUSED");
      assert.match(await connection.ask(), /^pod-b /);
      connection.end();
    });

    test("a UDP client that goes on sending follows the endpoints, also from a time without any", async () => {
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
      await cluster.set(7, family, [podA, podB], { sessionAffinity: "ClientIP" });
      const first = (await tcp(fixture.outside, family.node, 30_007)).split(" ")[0];
      for (let i = 0; i < 15; i++) assert.equal((await tcp(fixture.outside, family.node, 30_007)).split(" ")[0], first);
      const [rest, other] = first === "pod-a" ? [podB, "pod-b"] : [podA, "pod-a"];
      await cluster.set(7, family, [rest]);
      assert.equal((await tcp(fixture.outside, family.node, 30_007)).split(" ")[0], other);
    });
  });
}
