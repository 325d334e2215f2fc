// Traffic policies, with real packets. pod-b plays a pod of another node: what counts is what its EndpointSlice says.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { formatAddr } from "#ip";
import { Fixture, type Host, tcp, udp, unlessSilent } from "./fixture.ts";
import { Cluster, FAMILIES } from "./fixture-cluster.ts";

let fixture: Fixture;

before(() => {
  fixture = new Fixture();
  for (const host of fixture.hosts) fixture.serve(host, 8080);
});

after(() => fixture.close());

/** Who answers, and which clients they see, in 24 questions: 2 of 2 backends are missed once in 8 million times. */
async function seen(ask: () => Promise<string>): Promise<string[]> {
  const answers = new Set<string>();
  for (let i = 0; i < 24; i++) answers.add((await ask()).replace("::ffff:", ""));
  return [...answers].sort();
}

for (const family of FAMILIES) {
  const { gateway, index, node, vip } = family;
  const here = family.pods[0];
  const there = family.pods[1].replace("node-1", "node-2");
  const addrOf = (host: "podA" | "outside"): string => formatAddr(fixture[host].addrs[index]);

  describe(`traffic policies over ${family.name}`, () => {
    let cluster: Cluster;

    before(async () => {
      cluster = await Cluster.start(fixture);
      const local = { externalTrafficPolicy: "Local", internalTrafficPolicy: "Local" };
      await cluster.set(1, family, [here, there], local);
      await cluster.set(2, family, [there], local);
      await cluster.set(3, family, [], local);
      await cluster.set(4, family, [`${here}!terminating`, there], local);
      const { external } = family;
      const balanced = { type: "LoadBalancer", externalIPs: [external(106)], ips: [external(6)] };
      await cluster.set(6, family, [here, there], balanced);
      await cluster.set(7, family, [here, there], { ...local, ...balanced, externalIPs: [external(107)], ips: [external(7)] });
      const ranges = [`${addrOf("outside")}/${index === 0 ? 32 : 128}`];
      await cluster.set(8, family, [here], { ...balanced, externalIPs: [], ips: [external(8)], loadBalancerSourceRanges: ranges });
      const others = [
        `${family.external(0)}/${index === 0 ? 24 : 64}`,
        `${formatAddr(fixture.podA.addrs[index])}/${index === 0 ? 32 : 128}`,
      ];
      await cluster.set(9, family, [here], { ...balanced, externalIPs: [], ips: [external(9)], loadBalancerSourceRanges: others });
      await cluster.set(5, family, [`${here}!dead`, `${there}!terminating`], local);
    });

    after(() => cluster.remove());

    for (const [protocol, ask] of [
      ["TCP", tcp],
      ["UDP", udp],
    ] as const) {
      const nodePort = (from: Host, n: number) => (): Promise<string> => ask(from, node, 30_000 + n);
      const clusterIp = (from: Host, n: number) => (): Promise<string> => ask(from, vip(n), 80);

      test(`${protocol}: externalTrafficPolicy Local keeps the client's address and the packet here`, async () => {
        assert.deepEqual(await seen(nodePort(fixture.outside, 1)), [`pod-a ${addrOf("outside")}`]);
      });

      test(`${protocol}: pods and the node itself reach all endpoints through it, pods with their own address`, async () => {
        assert.deepEqual(await seen(nodePort(fixture.podA, 1)), [`pod-a ${gateway}`, `pod-b ${addrOf("podA")}`]);
        assert.deepEqual(await seen(nodePort(fixture.node, 1)), [`pod-a ${gateway}`, `pod-b ${gateway}`]);
        assert.deepEqual(await seen(nodePort(fixture.podA, 2)), [`pod-b ${addrOf("podA")}`]);
        assert.deepEqual(await seen(nodePort(fixture.node, 2)), [`pod-b ${gateway}`]);
      });

      test(`${protocol}: endpoints elsewhere only: silence for the outside; none at all: refused`, async () => {
        assert.equal(await unlessSilent(nodePort(fixture.outside, 2)()), "silence");
        for (const from of [fixture.outside, fixture.podA, fixture.node]) assert.equal(await nodePort(from, 3)(), "ECONNREFUSED");
      });

      test(`${protocol}: the last one here that terminates goes on for the outside; the inside has a better one`, async () => {
        assert.deepEqual(await seen(nodePort(fixture.outside, 4)), [`pod-a ${addrOf("outside")}`]);
        assert.deepEqual(await seen(nodePort(fixture.podA, 4)), [`pod-b ${addrOf("podA")}`]);
        assert.equal(await unlessSilent(nodePort(fixture.outside, 5)()), "silence");
        assert.deepEqual(await seen(nodePort(fixture.podA, 5)), [`pod-b ${addrOf("podA")}`]);
      });

      test(`${protocol}: load balancer addresses and externalIPs, from everywhere`, async () => {
        for (const ip of [family.external(6), family.external(106)]) {
          for (const from of [fixture.outside, fixture.podB, fixture.node]) {
            assert.deepEqual(await seen(() => ask(from, ip, 80)), [`pod-a ${gateway}`, `pod-b ${gateway}`]);
          }
        }
      });

      test(`${protocol}: the same with externalTrafficPolicy Local`, async () => {
        for (const ip of [family.external(7), family.external(107)]) {
          assert.deepEqual(await seen(() => ask(fixture.outside, ip, 80)), [`pod-a ${addrOf("outside")}`]);
          assert.deepEqual(await seen(() => ask(fixture.podA, ip, 80)), [`pod-a ${gateway}`, `pod-b ${addrOf("podA")}`]);
          assert.deepEqual(await seen(() => ask(fixture.node, ip, 80)), [`pod-a ${gateway}`, `pod-b ${gateway}`]);
        }
      });

      test(`${protocol}: source ranges guard the load balancer's address, not the NodePort`, async () => {
        assert.match(await ask(fixture.outside, family.external(8), 80), /^pod-a /);
        assert.equal(await unlessSilent(ask(fixture.podB, family.external(8), 80)), "silence");
        assert.equal(await unlessSilent(ask(fixture.outside, family.external(9), 80)), "silence");
        assert.match(await ask(fixture.podA, family.external(9), 80), /^pod-a /);
        assert.match(await ask(fixture.outside, node, 30_009), /^pod-a /);
      });

      test(`${protocol}: internalTrafficPolicy Local: this node's endpoints, or silence, or refused`, async () => {
        assert.deepEqual(await seen(clusterIp(fixture.podB, 1)), [`pod-a ${formatAddr(fixture.podB.addrs[index])}`]);
        assert.deepEqual(await seen(clusterIp(fixture.node, 1)), [`pod-a ${gateway}`]);
        assert.equal(await unlessSilent(clusterIp(fixture.podA, 2)()), "silence");
        assert.equal(await clusterIp(fixture.podA, 3)(), "ECONNREFUSED");
        assert.deepEqual(await seen(clusterIp(fixture.podB, 4)), [`pod-a ${formatAddr(fixture.podB.addrs[index])}`]);
        assert.equal(await unlessSilent(clusterIp(fixture.podA, 5)()), "silence");
      });
    }
  });
}
