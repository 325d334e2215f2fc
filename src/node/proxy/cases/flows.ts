// What becomes of flows when endpoints change, with real packets, in any mode.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ProxyMode } from "../dataplane.ts";
import { connect, type Host, UdpClient } from "../fixture.ts";
import { FAMILIES } from "../fixture-cluster.ts";
import { type Stage, stage } from "./stage.ts";

export function flowCases(mode: ProxyMode): void {
  for (const family of FAMILIES) {
    describe(`${mode}: flows over ${family.name}`, () => {
      const at = stage(mode, family);
      udpCases(at);
      heirCases(at);
      keptCases(at);
    });
  }
}

interface Way {
  readonly name: string;
  readonly from: Host;
  readonly to: string;
  readonly port: number;
}

/** All kinds of frontends of service `n`. */
function waysTo({ family, fixture }: Stage, n: number): Way[] {
  const { external, node, vip } = family;
  return [
    { name: "ClusterIP", from: fixture.podA, to: vip(n), port: 80 },
    { name: "ClusterIP from the node", from: fixture.node, to: vip(n), port: 80 },
    { name: "NodePort", from: fixture.outside, to: node, port: 30_000 + n },
    { name: "load balancer", from: fixture.outside, to: external(n), port: 80 },
    { name: "externalIP", from: fixture.outside, to: external(100 + n), port: 80 },
  ];
}

function udpCases(at: Stage): void {
  const { family } = at;
  const [a, b] = family.pods;
  const balanced = (n: number): object => ({ type: "LoadBalancer", externalIPs: [family.external(100 + n)], ips: [family.external(n)] });

  test("UDP clients that keep their port follow the backend, at every kind of address, also from none", async (t) => {
    const { cluster } = at;
    await cluster.set(1, family, [], balanced(1));
    const clients = waysTo(at, 1).map(({ from, to, port, name }) => ({ name, client: new UdpClient(from, to, port) }));
    const all = async (expected: RegExp): Promise<void> => {
      for (const { client, name } of clients) assert.match(await client.ask(), expected, name);
    };
    await all(/ECONNREFUSED/);
    await cluster.set(1, family, [b]);
    await all(/^pod-b /);
    const begin = performance.now();
    await cluster.set(1, family, [a]);
    await all(/^pod-a /);
    t.diagnostic(
      `from the change of the EndpointSlice to answers for ${clients.length} clients: ${(performance.now() - begin).toFixed(1)} ms`,
    );
    // One that terminates goes on serving who it has, and is left when it does not serve any more.
    await cluster.set(1, family, [`${a}!terminating`, b]);
    await all(/^pod-a /);
    await cluster.set(1, family, [`${a}!dead`, b]);
    await all(/^pod-b /);
    for (const { client } of clients) client.close();
  });

  test("UDP flows that are well stay with their backend: other changes, a restart, a comparison", async () => {
    const { cluster } = at;
    await cluster.set(2, family, [a, b]);
    const client = new UdpClient(at.fixture.podA, family.vip(2), 80);
    const first = (await client.ask()).split(" ")[0];
    const mine = first === "pod-a" ? a : b;
    const stays = async (): Promise<void> => assert.equal((await client.ask()).split(" ")[0], first);
    await cluster.set(3, family, [b]);
    await stays();
    await cluster.restart();
    await stays();
    await cluster.proxy.resync();
    await stays();
    await cluster.set(2, family, [mine]);
    await stays();
    await cluster.set(2, family, [a, b]);
    await stays();
    // Nobody serves: where the flow goes is as good as anywhere.
    await cluster.set(2, family, []);
    await cluster.set(2, family, [mine]);
    await stays();
    client.close();
  });
}

function heirCases(at: Stage): void {
  const { family } = at;
  const [a, b] = family.pods;

  test("a Service that takes a deleted one's address takes its UDP flows", async () => {
    const { cluster } = at;
    await cluster.set(4, family, [a]);
    const client = new UdpClient(at.fixture.podB, family.vip(4), 80);
    assert.match(await client.ask(), /^pod-a /);
    await cluster.drop(`s4-${family.name.toLowerCase()}`);
    const same = { ...family, vip: () => family.vip(4) };
    await cluster.set(5, same, [b]);
    assert.match(await client.ask(), /^pod-b /);
    client.close();
  });
}

function keptCases(at: Stage): void {
  const { family } = at;
  const [a, b] = family.pods;

  test("TCP connections of a pod that terminates, goes, or loses its Service go on", async () => {
    const { cluster, fixture } = at;
    await cluster.set(6, family, [b], { type: "NodePort" });
    const connections = [await connect(fixture.podA, family.vip(6), 80), await connect(fixture.outside, family.node, 30_006)];
    const goOn = async (): Promise<void> => {
      for (const connection of connections) assert.match(await connection.ask(), /^pod-b /);
    };
    await goOn();
    for (const backends of [[a, `${b}!terminating`], [a, `${b}!dead`], [a], []]) {
      await cluster.set(6, family, backends);
      await goOn();
    }
    await cluster.set(6, family, [a], { type: "ExternalName", clusterIP: "", clusterIPs: [] });
    await goOn();
    await cluster.drop(`s6-${family.name.toLowerCase()}`);
    await goOn();
    for (const connection of connections) connection.end();
  });
}
