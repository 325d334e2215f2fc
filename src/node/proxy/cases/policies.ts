// Traffic policies, with real packets, in any mode. pod-b plays a pod of another node: what counts is what its EndpointSlice says.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ProxyMode } from "../dataplane.ts";
import { type Host, unlessSilent } from "../fixture.ts";
import { type Cluster, FAMILIES } from "../fixture-cluster.ts";
import { PROTOCOLS, type Stage, seen, stage } from "./stage.ts";

export function policyCases(mode: ProxyMode): void {
  for (const family of FAMILIES) {
    describe(`${mode}: traffic policies over ${family.name}`, () => {
      const at = stage(mode, family, prepare);
      for (const protocol of PROTOCOLS) {
        nodePortCases(at, protocol);
        addressCases(at, protocol);
      }
    });
  }
}

async function prepare(cluster: Cluster, { addrOf, family }: Stage): Promise<void> {
  const { external, index } = family;
  const here = family.pods[0];
  const there = family.pods[1].replace("node-1", "node-2");
  const local = { externalTrafficPolicy: "Local", internalTrafficPolicy: "Local" };
  await cluster.set(1, family, [here, there], local);
  await cluster.set(2, family, [there], local);
  await cluster.set(3, family, [], local);
  await cluster.set(4, family, [`${here}!terminating`, there], local);
  await cluster.set(5, family, [`${here}!dead`, `${there}!terminating`], local);
  const balanced = { type: "LoadBalancer", externalIPs: [external(106)], ips: [external(6)] };
  await cluster.set(6, family, [here, there], balanced);
  await cluster.set(7, family, [here, there], { ...local, ...balanced, externalIPs: [external(107)], ips: [external(7)] });
  const ranges = [`${addrOf("outside")}/${index === 0 ? 32 : 128}`];
  await cluster.set(8, family, [here], { ...balanced, externalIPs: [], ips: [external(8)], loadBalancerSourceRanges: ranges });
  const others = [`${external(0)}/${index === 0 ? 24 : 64}`, `${addrOf("podA")}/${index === 0 ? 32 : 128}`];
  await cluster.set(9, family, [here], { ...balanced, externalIPs: [], ips: [external(9)], loadBalancerSourceRanges: others });
}

type Protocol = (typeof PROTOCOLS)[number];

function nodePortCases(at: Stage, [protocol, ask]: Protocol): void {
  const { addrOf, family } = at;
  const { gateway, node } = family;
  const nodePort = (from: Host, n: number) => (): Promise<string> => ask(from, node, 30_000 + n);

  test(`${protocol}: externalTrafficPolicy Local keeps the client's address and the packet here`, async () => {
    assert.deepEqual(await seen(nodePort(at.fixture.outside, 1)), [`pod-a ${addrOf("outside")}`]);
  });

  test(`${protocol}: pods and the node itself reach all endpoints through it, pods with their own address`, async () => {
    assert.deepEqual(await seen(nodePort(at.fixture.podA, 1)), [`pod-a ${gateway}`, `pod-b ${addrOf("podA")}`]);
    assert.deepEqual(await seen(nodePort(at.fixture.node, 1)), [`pod-a ${gateway}`, `pod-b ${gateway}`]);
    assert.deepEqual(await seen(nodePort(at.fixture.podA, 2)), [`pod-b ${addrOf("podA")}`]);
    assert.deepEqual(await seen(nodePort(at.fixture.node, 2)), [`pod-b ${gateway}`]);
  });

  test(`${protocol}: endpoints elsewhere only: silence for the outside; none at all: refused`, async () => {
    assert.equal(await unlessSilent(nodePort(at.fixture.outside, 2)()), "silence");
    for (const from of [at.fixture.outside, at.fixture.podA, at.fixture.node]) assert.equal(await nodePort(from, 3)(), "ECONNREFUSED");
  });

  test(`${protocol}: the last one here that terminates goes on for the outside; the inside has a better one`, async () => {
    assert.deepEqual(await seen(nodePort(at.fixture.outside, 4)), [`pod-a ${addrOf("outside")}`]);
    assert.deepEqual(await seen(nodePort(at.fixture.podA, 4)), [`pod-b ${addrOf("podA")}`]);
    assert.equal(await unlessSilent(nodePort(at.fixture.outside, 5)()), "silence");
    assert.deepEqual(await seen(nodePort(at.fixture.podA, 5)), [`pod-b ${addrOf("podA")}`]);
  });
}

function addressCases(at: Stage, [protocol, ask]: Protocol): void {
  const { addrOf, family } = at;
  const { gateway, node, vip } = family;
  const clusterIp = (from: Host, n: number) => (): Promise<string> => ask(from, vip(n), 80);

  test(`${protocol}: load balancer addresses and externalIPs, from everywhere`, async () => {
    for (const ip of [family.external(6), family.external(106)]) {
      for (const from of [at.fixture.outside, at.fixture.podB, at.fixture.node]) {
        assert.deepEqual(await seen(() => ask(from, ip, 80)), [`pod-a ${gateway}`, `pod-b ${gateway}`]);
      }
    }
  });

  test(`${protocol}: the same with externalTrafficPolicy Local`, async () => {
    for (const ip of [family.external(7), family.external(107)]) {
      assert.deepEqual(await seen(() => ask(at.fixture.outside, ip, 80)), [`pod-a ${addrOf("outside")}`]);
      assert.deepEqual(await seen(() => ask(at.fixture.podA, ip, 80)), [`pod-a ${gateway}`, `pod-b ${addrOf("podA")}`]);
      assert.deepEqual(await seen(() => ask(at.fixture.node, ip, 80)), [`pod-a ${gateway}`, `pod-b ${gateway}`]);
    }
  });

  test(`${protocol}: source ranges guard the load balancer's address, not the NodePort`, async () => {
    assert.match(await ask(at.fixture.outside, family.external(8), 80), /^pod-a /);
    assert.equal(await unlessSilent(ask(at.fixture.podB, family.external(8), 80)), "silence");
    assert.equal(await unlessSilent(ask(at.fixture.outside, family.external(9), 80)), "silence");
    assert.match(await ask(at.fixture.podA, family.external(9), 80), /^pod-a /);
    assert.match(await ask(at.fixture.outside, node, 30_009), /^pod-a /);
  });

  test(`${protocol}: internalTrafficPolicy Local: this node's endpoints, or silence, or refused`, async () => {
    assert.deepEqual(await seen(clusterIp(at.fixture.podB, 1)), [`pod-a ${addrOf("podB")}`]);
    assert.deepEqual(await seen(clusterIp(at.fixture.node, 1)), [`pod-a ${gateway}`]);
    assert.equal(await unlessSilent(clusterIp(at.fixture.podA, 2)()), "silence");
    assert.equal(await clusterIp(at.fixture.podA, 3)(), "ECONNREFUSED");
    assert.deepEqual(await seen(clusterIp(at.fixture.podB, 4)), [`pod-a ${addrOf("podB")}`]);
    assert.equal(await unlessSilent(clusterIp(at.fixture.podA, 5)()), "silence");
  });
}
