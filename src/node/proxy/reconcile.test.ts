import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import type { Service } from "kubernetes-types/core/v1";
import { parseAddr } from "#ip";
import { ENDPOINT_SLICES, type KubeObject, SERVICES } from "#kube";
import type { ConntrackEntry, ConntrackSocket } from "#linux";
import { FakeNft } from "#linux/fake";
import { type Change, diffTable, formatElement, formatTable, type Table } from "#nft";
import { canonical, elements, settle, start } from "./fixture-fake.ts";
import { affinityMap, SETS, TABLE } from "./nftables/layout.ts";
import { type PortSpec, service, slice } from "./testing.ts";

const HTTP: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080 }];

const BOTH: readonly PortSpec[] = [
  { name: "http", port: 80, targetPort: 8080, nodePort: 30_080 },
  { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
];

const STICKY: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080, nodePort: 30_082 }];
const KEPT: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080, nodePort: 30_081 }];

test("golden: the ruleset of a few services", async () => {
  const { nft, proxy } = await start([
    service("web", ["10.96.0.1", "fd00:10:96::1"], BOTH),
    slice("web", ["10.244.1.2@node-1", "10.244.2.2@node-2"], BOTH),
    slice("web", ["fd00:10:244:2::2@node-2"], BOTH, "6"),
    service("sticky", ["10.96.0.2"], STICKY, { sessionAffinity: "ClientIP" }),
    slice("sticky", ["10.244.1.3@node-1"], STICKY),
    service("empty", ["10.96.0.3"], HTTP),
    service("local", ["10.96.0.4"], HTTP, { internalTrafficPolicy: "Local" }),
    slice("local", ["10.244.2.3@node-2"], HTTP),
    service("kept", ["10.96.0.5"], KEPT, { externalTrafficPolicy: "Local" }),
    slice("kept", ["10.244.1.4@node-1", "10.244.2.4@node-2"], KEPT),
    {
      ...service("lb", ["10.96.0.6"], HTTP, { type: "LoadBalancer", loadBalancerSourceRanges: ["198.51.100.0/24", "203.0.113.9/32"] }),
      status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } },
    },
    slice("lb", ["10.244.2.4@node-2"], HTTP),
  ]);
  proxy.stop();
  const table = nft.list(TABLE);
  assert.ok(table);
  assert.equal(formatTable(table), readFileSync(new URL("services.nft", import.meta.url), "utf8"));
});

test("a change touches the elements of its service and no others", async () => {
  const setup = await start([
    service("web", ["10.96.0.1"], HTTP),
    slice("web", ["10.244.1.2@a", "10.244.1.3@a", "10.244.1.4@a"], HTTP),
    service("other", ["10.96.0.2"], HTTP),
    slice("other", ["10.244.1.2@a"], HTTP),
  ]);
  const { client, nft, proxy } = setup;
  const before = nft.transactions.length;
  await client.update(ENDPOINT_SLICES, slice("web", ["10.244.1.3@a", "10.244.1.4@a", "10.244.1.5@a"], HTTP));
  await settle(setup, () => nft.transactions.length > before);
  assert.deepEqual(
    nft.transactions.slice(before).map((changes) => changes.map(text)),
    [["delete 10.96.0.1 . tcp . 80 . 0", "add 10.96.0.1 . tcp . 80 . 0"]],
  );
  await client.update(ENDPOINT_SLICES, slice("web", ["10.244.1.4@a", "10.244.1.5@a"], HTTP));
  await settle(setup, () => nft.transactions.length > before + 1);
  // 10.244.1.3 was number 1; the last one, 10.244.1.4, moves there, and the chain of two is new.
  assert.deepEqual(nft.transactions.at(-1)?.map(text), [
    "add chain",
    "add rule",
    "add rule",
    "delete 10.96.0.1 . tcp . 80",
    "delete 10.96.0.1 . tcp . 80 . 1,10.96.0.1 . tcp . 80 . 2",
    "add 10.96.0.1 . tcp . 80",
    "add 10.96.0.1 . tcp . 80 . 1",
  ]);
  proxy.stop();
});

function text(change: Change): string {
  if (change.op !== "add elements" && change.op !== "delete elements") return change.op;
  const keys = change.elements.map(({ key }) => formatElement({ ...change.set }, { key }));
  return `${change.op.split(" ")[0]} ${keys.join(",")}`;
}

test("nothing is written before both resources are complete", async () => {
  const nft = new FakeNft();
  const pending = start([service("web", ["10.96.0.1"], HTTP), slice("web", ["10.244.1.2@a"], HTTP)], { nft });
  assert.equal(nft.transactions.length, 0);
  const { proxy } = await pending;
  assert.equal(nft.transactions.length, 1);
  proxy.stop();
});

test("what is there is adopted: the same state is no transaction, and backends keep their numbers", async () => {
  const objects = [service("web", ["10.96.0.1"], HTTP), slice("web", ["10.244.1.2@a", "10.244.1.3@a", "10.244.1.4@a"], HTTP)];
  const first = await start(objects);
  first.proxy.stop();
  const { nft } = first;
  const second = await start(objects, { nft });
  second.proxy.stop();
  assert.equal(nft.transactions.length, 1);
  const third = await start([service("web", ["10.96.0.1"], HTTP), slice("web", ["10.244.1.3@a", "10.244.1.4@a", "10.244.1.9@a"], HTTP)], {
    nft,
  });
  third.proxy.stop();
  assert.deepEqual(nft.transactions.at(-1)?.map(text), ["delete 10.96.0.1 . tcp . 80 . 0", "add 10.96.0.1 . tcp . 80 . 0"]);
  const fourth = await start([], { nft });
  fourth.proxy.stop();
  assert.deepEqual(elements(nft), {});
});

test("a transaction that fails is followed by a comparison of everything", async () => {
  const setup = await start([service("web", ["10.96.0.1"], HTTP)]);
  const { client, nft, proxy, warnings } = setup;
  // Somebody else's hand in our table, and a refusal.
  nft.apply([{ op: "add elements", table: TABLE, set: SETS[4].clusterIps, elements: [{ key: [parseAddr("10.96.9.9")] }] }]);
  nft.failNext("ENOMEM");
  await client.create(ENDPOINT_SLICES, slice("web", ["10.244.1.2@a"], HTTP));
  await settle(setup, () => elements(nft)["services4"] !== undefined);
  assert.deepEqual(elements(nft)["cluster-ips4"], ["10.96.0.1"]);
  assert.equal(proxy.metrics.sync_failures_total, 1);
  assert.match(warnings[0]?.message ?? "", /cannot write the service rules/);
  proxy.stop();
});

test("of two services with one NodePort the older has it, and the other gets it when the older goes", async () => {
  const port = (name: string, at: string): Service => {
    const s = service(name, [name === "old" ? "10.96.0.1" : "10.96.0.2"], [{ name: "http", port: 80, nodePort: 30_080 }]);
    return { ...s, metadata: { ...s.metadata, creationTimestamp: at } };
  };
  const ports = [{ name: "http", port: 80 }];
  const setup = await start([
    port("new", "2025-01-02T00:00:00Z"),
    port("old", "2025-01-01T00:00:00Z"),
    slice("old", ["10.244.1.1@a"], ports),
    slice("new", ["10.244.1.2@a"], ports),
  ]);
  const { client, nft, proxy, warnings } = setup;
  const owner = (): string | undefined => elements(nft)["endpoints4"]?.find((line) => line.startsWith("172.18.0.11"));
  assert.match(owner() ?? "", /default\/old:http.*10\.244\.1\.1/);
  assert.match(warnings[0]?.message ?? "", /two Services want the same/);
  await client.delete(SERVICES, { namespace: "default", name: "old" });
  await settle(setup, () => owner()?.includes("10.244.1.2") === true);
  proxy.stop();
});

test("NodePort to ExternalName: the old keys go in the transaction of the change", async () => {
  const ports = [{ name: "http", port: 80, nodePort: 30_080 }];
  const setup = await start([service("web", ["10.96.0.1"], ports), slice("web", ["10.244.1.2@a"], ports)]);
  const { client, nft, proxy } = setup;
  const before = nft.transactions.length;
  await client.update(SERVICES, service("web", [""], ports, { type: "ExternalName" }));
  await settle(setup, () => nft.transactions.length > before);
  assert.equal(nft.transactions.length, before + 1);
  assert.deepEqual(elements(nft), {});
  proxy.stop();
});

const DNS: readonly PortSpec[] = [{ name: "dns", port: 53, protocol: "UDP" }];

function flow(dst: string, backend: string, protocol = 17): ConntrackEntry {
  const src = parseAddr("10.244.1.9");
  return {
    original: { src, dst: parseAddr(dst), protocol, srcPort: 4000, dstPort: 53 },
    reply: { src: parseAddr(backend), dst: src, protocol, srcPort: 53, dstPort: 4000 },
    id: 1,
    mark: 0,
    zone: 0,
    timeoutSeconds: 30,
    status: 0,
  };
}

test("stale UDP flows go, healthy ones stay through a restart", async () => {
  let flows = [
    flow("10.96.0.10", "10.244.1.2"),
    flow("10.96.0.10", "10.244.1.3"),
    flow("10.96.0.10", "10.96.0.10"),
    flow("10.96.0.10", "10.244.9.9", 6),
    flow("10.96.0.11", "10.244.9.9"),
  ];
  const conntrack: ConntrackSocket = {
    use: () => ({ count: flows.length, max: 0 }),
    list: (family) => flows.filter(({ original }) => family === undefined || original.dst.family === family),
    del: (entry) => conntrack.delMany([entry]) === 1,
    delMany: (entries) => {
      flows = flows.filter((flow) => !entries.includes(flow));
      return entries.length;
    },
    close() {},
  };
  const left = (): string[] => flows.map(({ reply }) => [...reply.src.bytes].join("."));
  const setup = await start(
    [
      service("dns", ["10.96.0.10"], DNS),
      service("none", ["10.96.0.11"], DNS),
      slice("dns", ["10.244.1.2@a", "10.244.1.3@a!terminating"], DNS),
    ],
    {
      conntrack,
    },
  );
  assert.deepEqual(left(), ["10.244.1.2", "10.244.1.3", "10.244.9.9", "10.244.9.9"]);
  await setup.client.update(ENDPOINT_SLICES, slice("dns", ["10.244.1.4@a"], DNS));
  await settle(setup, () => flows.length === 2);
  assert.deepEqual(left(), ["10.244.9.9", "10.244.9.9"]);
  assert.equal(setup.proxy.metrics.conntrack_reconciler[4].deleted_entries_total, 3);
  setup.proxy.stop();
});

test("a client is not sent to a backend that is gone", async () => {
  const sticky = service("web", ["10.96.0.1"], HTTP, { sessionAffinity: "ClientIP" });
  const setup = await start([sticky, slice("web", ["10.244.1.2@a", "10.244.1.3@a"], HTTP)]);
  const { client, nft, proxy } = setup;
  const set = affinityMap(4, 0);
  const remembered = [2, 3].map((n) => ({
    key: [parseAddr(`10.244.9.${n}`), 6, 0],
    data: [parseAddr(`10.244.1.${n}`), 8080],
  }));
  nft.apply([{ op: "add elements", table: TABLE, set, elements: remembered }]);
  await client.update(ENDPOINT_SLICES, slice("web", ["10.244.1.3@a"], HTTP));
  await settle(setup, () => elements(nft)["affinity4-0"]?.length === 1);
  assert.deepEqual(elements(nft)["affinity4-0"], ["10.244.9.3 . tcp . 0 : 10.244.1.3 . 8080"]);
  proxy.stop();
});

test("property: any history of changes ends where a fresh start would", async () => {
  const backends = fc.subarray(["10.244.1.2@node-1", "10.244.1.3@b", "10.244.1.4@b!terminating", "10.244.1.5@b!notready", "10.244.1.6@b"]);
  const step = fc.record({
    name: fc.constantFrom("a", "b", "c"),
    vip: fc.constantFrom("10.96.0.1", "10.96.0.2", "10.96.0.3"),
    node: fc.boolean(),
    keeps: fc.boolean(),
    sticky: fc.boolean(),
    exists: fc.boolean(),
    backends,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      const setup = await start([]);
      const state = new Map<string, KubeObject[]>();
      for (const { name, vip, node, keeps, sticky, exists, backends: chosen } of steps) {
        const ports = [{ name: "p", port: 80, ...(node && { nodePort: 30_080 }) }];
        const svc = service(name, [vip], ports, {
          ...(sticky && { sessionAffinity: "ClientIP" }),
          ...(keeps && { externalTrafficPolicy: "Local", externalIPs: ["192.0.2.1"] }),
        });
        const eps = slice(name, chosen, ports);
        const known = state.has(name);
        if (exists && known) {
          await setup.client.update(SERVICES, svc);
          await setup.client.update(ENDPOINT_SLICES, eps);
        } else if (exists) {
          await setup.client.create(SERVICES, svc);
          await setup.client.create(ENDPOINT_SLICES, eps);
        } else if (known) {
          await setup.client.delete(SERVICES, { namespace: "default", name });
          await setup.client.delete(ENDPOINT_SLICES, { namespace: "default", name: `${name}-1` });
        }
        if (exists) state.set(name, [svc, eps]);
        else state.delete(name);
      }
      const fresh = await start([...(await setup.client.list(SERVICES)).items, ...(await setup.client.list(ENDPOINT_SLICES)).items]);
      const expected = canonical(fresh.nft);
      await settle(setup, () => JSON.stringify(canonical(setup.nft)) === JSON.stringify(expected));
      // And what it thinks is in the kernel is what a comparison finds there.
      const before = setup.nft.transactions.length;
      await setup.proxy.resync();
      assert.equal(setup.nft.transactions.length, before);
      assert.equal(setup.proxy.metrics.sync_failures_total, 0);
      setup.proxy.stop();
      fresh.proxy.stop();
    }),
    { numRuns: 60 },
  );
});

test("a table too large for one transaction is loaded in several, the rules last; and changed frontend by frontend", async () => {
  const nft = new FakeNft({ maxBatchBytes: 60_000 });
  const objects = Array.from({ length: 300 }, (_, i) => [
    service(`s${i}`, [`10.96.1.${i % 256}`], [{ name: "p", port: 80 + (i >> 8) }]),
    slice(`s${i}`, ["10.244.1.2@b", "10.244.1.3@b"], [{ name: "p", port: 80 }]),
  ]).flat();
  const first = await start(objects, { nft });
  first.proxy.stop();
  assert.ok(nft.transactions.length > 1);
  for (const [i, changes] of nft.transactions.entries()) {
    const hasRules = changes.some(({ op }) => op === "add rule");
    assert.equal(hasRules, i === nft.transactions.length - 1);
  }
  const one: Table | undefined = nft.list(TABLE);
  const big = new FakeNft();
  const whole = await start(objects, { nft: big });
  whole.proxy.stop();
  const other = big.list(TABLE);
  assert.ok(one && other);
  assert.deepEqual(diffTable(one, other).changes, []);
  const moved = objects.map((object) =>
    object.kind === "EndpointSlice"
      ? slice(object.metadata?.labels?.["kubernetes.io/service-name"] ?? "", ["10.244.1.4@b"], [{ name: "p", port: 80 }])
      : object,
  );
  const second = await start(moved, { nft });
  second.proxy.stop();
  assert.equal(elements(nft)["endpoints4"]?.length, 300);
});
