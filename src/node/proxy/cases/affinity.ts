// sessionAffinity ClientIP, with real packets, in any mode.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ProxyMode } from "../dataplane.ts";
import { type Host, tcp } from "../fixture.ts";
import { type Cluster, FAMILIES } from "../fixture-cluster.ts";
import { PROTOCOLS, type Stage, stage } from "./stage.ts";

const STICKY = { sessionAffinity: "ClientIP" };
/** So many Services agree by chance once in 2 to their number. */
const SERVICES: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8];

export function affinityCases(mode: ProxyMode): void {
  for (const family of FAMILIES) {
    describe(`${mode}: ClientIP affinity over ${family.name}`, () => {
      const [here, b] = family.pods;
      const there = b.replace("node-1", "node-2");
      const at = stage(mode, family, async (cluster) => {
        const { external } = family;
        for (const n of SERVICES) {
          const given = { ...STICKY, type: "LoadBalancer", externalIPs: [external(100 + n)], ips: [external(n)] };
          await cluster.set(n, family, [here, there], given);
        }
        const given = { ...STICKY, type: "LoadBalancer", externalIPs: [external(111)], externalTrafficPolicy: "Local" };
        await cluster.set(11, family, [here, there], given);
        await cluster.set(12, family, [here, there], { ...STICKY, internalTrafficPolicy: "Local" });
      });
      for (const protocol of PROTOCOLS) addressCases(at, protocol);
      timeCases(at);
      changeCases(at);
    });
  }
}

function addressCases(at: Stage, [protocol, ask]: (typeof PROTOCOLS)[number]): void {
  const { node, vip, external } = at.family;
  const who = async (from: Host, ip: string, port = 80): Promise<string> => (await ask(from, ip, port)).split(" ")[0] ?? "";

  test(`${protocol}: a client has one backend at all addresses and node ports of a service port`, async () => {
    for (const from of [at.fixture.podA, at.fixture.node, at.fixture.outside]) {
      for (const n of SERVICES) {
        const first = await who(from, node, 30_000 + n);
        if (from !== at.fixture.outside) assert.equal(await who(from, vip(n)), first, "ClusterIP");
        assert.equal(await who(from, external(n)), first, "load balancer");
        assert.equal(await who(from, external(100 + n)), first, "externalIP");
      }
    }
  });

  test(`${protocol}: policy Local remembers for itself: nobody is led off this node`, async () => {
    for (let i = 0; i < 4; i++) {
      assert.equal(await who(at.fixture.outside, node, 30_011), "pod-a");
      assert.equal(await who(at.fixture.outside, external(111)), "pod-a");
    }
    // Pods have all backends at either address, and the same one.
    const first = await who(at.fixture.podA, node, 30_011);
    for (const answer of [await who(at.fixture.podA, vip(11)), await who(at.fixture.podA, external(111))]) assert.equal(answer, first);
    for (const from of [at.fixture.podA, at.fixture.podB, at.fixture.node]) {
      await who(from, node, 30_012);
      assert.equal(await who(from, vip(12)), "pod-a");
    }
  });
}

interface Remembered {
  readonly client: string;
  readonly backend: string;
  readonly expiresMs?: number;
}

async function remembered(cluster: Cluster, n: number, { family }: Stage): Promise<readonly Remembered[]> {
  return (await cluster.proxy.inspect(`default/s${n}-${family.name.toLowerCase()}`))?.affinities ?? [];
}

/** Who answers the outside at the NodePort of service `n`. */
async function answerOf({ family, fixture }: Stage, n: number): Promise<string> {
  return (await tcp(fixture.outside, family.node, 30_000 + n)).split(" ")[0] ?? "";
}

function timeCases(at: Stage): void {
  const { family } = at;
  const [a, b] = family.pods;
  const within = (timeoutSeconds: number): object => ({ ...STICKY, sessionAffinityConfig: { clientIP: { timeoutSeconds } } });

  test("each new connection starts the time anew, and another timeout counts from the last one", async () => {
    const { cluster } = at;
    const left = async (): Promise<number | undefined> => (await remembered(cluster, 21, at))[0]?.expiresMs;
    await cluster.set(21, family, [a, b], within(3600));
    const first = await answerOf(at, 21);
    const full = await left();
    assert.ok(full !== undefined && full > 3_500_000, `${full} ms of an hour are left`);
    while (((await left()) ?? 0) > full - 200) await new Promise((resolve) => setTimeout(resolve, 10));
    const low = (await left()) ?? 0;
    assert.equal(await answerOf(at, 21), first);
    // It only ever becomes less, unless it is started anew.
    assert.ok(((await left()) ?? 0) > low, "the time was not started anew");
    await cluster.set(21, family, [a, b], within(100));
    assert.ok(((await left()) ?? Number.POSITIVE_INFINITY) <= 100_000, "the old timeout goes on");
    assert.equal(await answerOf(at, 21), first);
    await cluster.set(21, family, [a, b], within(1));
    while ((await remembered(cluster, 21, at)).length > 0) await new Promise((resolve) => setImmediate(resolve));
  });
}

function changeCases(at: Stage): void {
  const { family } = at;
  const [a, b] = family.pods;

  test("who is remembered with a backend that terminates or goes is forgotten at once, others are not", async () => {
    const { cluster } = at;
    await cluster.set(22, family, [a, b], STICKY);
    const first = await answerOf(at, 22);
    const [mine, other] = first === "pod-a" ? [a, b] : [b, a];
    const name = first === "pod-a" ? "pod-b" : "pod-a";
    await cluster.set(22, family, [`${mine}!terminating`, other]);
    assert.deepEqual(await remembered(cluster, 22, at), []);
    assert.equal(await answerOf(at, 22), name);
    await cluster.set(22, family, [other]);
    assert.equal((await remembered(cluster, 22, at)).length, 1);
    await cluster.set(22, family, [mine, other]);
    assert.equal(await answerOf(at, 22), name);
    await cluster.set(22, family, [mine]);
    assert.equal(await answerOf(at, 22), first);
  });

  test("a restart of the proxy forgets nobody", async () => {
    const { cluster } = at;
    await cluster.set(23, family, [a, b], STICKY);
    const first = await answerOf(at, 23);
    const before = await remembered(cluster, 23, at);
    assert.equal(before.length, 1);
    await cluster.restart();
    const after = await remembered(cluster, 23, at);
    assert.deepEqual(
      after.map(({ client, backend }) => [client, backend]),
      before.map(({ client, backend }) => [client, backend]),
    );
    for (let i = 0; i < 8; i++) assert.equal(await answerOf(at, 23), first);
  });

  test("a Service that loses its affinity forgets all", async () => {
    const { cluster } = at;
    await cluster.set(24, family, [a, b], STICKY);
    await answerOf(at, 24);
    await cluster.set(24, family, [a, b], { sessionAffinity: "None" });
    assert.deepEqual(await remembered(cluster, 24, at), []);
    const answers = new Set<string>();
    for (let i = 0; i < 24; i++) answers.add(await answerOf(at, 24));
    assert.equal(answers.size, 2);
  });
}
