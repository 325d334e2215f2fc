import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, Service } from "kubernetes-types/core/v1";
import { ENDPOINTS, type KubeObject, PODS, SERVICES, type Stored } from "#kube";
import { startTestBed } from "../testing.ts";
import { computeEndpoints } from "./compute.ts";
import { startEndpoints } from "./reconcile.ts";

const KEY = { namespace: "ns", name: "web" };

function service(spec: object = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { ...KEY, labels: { team: "a" } },
    spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }], ipFamilies: ["IPv4", "IPv6"], ...spec },
  };
}

function pod(name: string, ip: string, ready: boolean = true): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "ns", uid: `uid-${name}`, labels: { app: "web" } },
    spec: { containers: [], nodeName: "n" },
    status: { phase: "Running", podIP: ip, podIPs: [{ ip }], conditions: [{ type: "Ready", status: ready ? "True" : "False" }] },
  };
}

async function run(...objects: KubeObject[]) {
  const bed = await startTestBed(objects, startEndpoints);
  return { bed, subsets: async () => (await bed.client.get(ENDPOINTS, KEY)).subsets, [Symbol.dispose]: () => bed[Symbol.dispose]() };
}

test("one object of the first family, ready and not ready apart", async () => {
  using env = await run(service(), pod("b", "10.0.0.2"), pod("a", "10.0.0.1"), pod("c", "10.0.0.3", false), pod("six", "fd00::1"));
  await env.bed.until(() => env.bed.client.writes.length === 1);
  const address = (name: string, ip: string) => ({
    ip,
    nodeName: "n",
    targetRef: { kind: "Pod", namespace: "ns", name, uid: `uid-${name}` },
  });
  assert.deepEqual(await env.subsets(), [
    {
      addresses: [address("a", "10.0.0.1"), address("b", "10.0.0.2")],
      notReadyAddresses: [address("c", "10.0.0.3")],
      ports: [{ port: 8080, protocol: "TCP" }],
    },
  ]);
  const { metadata } = await env.bed.client.get(ENDPOINTS, KEY);
  assert.deepEqual(metadata.labels, { team: "a", "endpoints.kubernetes.io/managed-by": "endpoint-controller" });
});

test("a burst of changes is one write; what terminates is not shown; the object goes with its Service", async () => {
  using env = await run(service(), pod("a", "10.0.0.1"), pod("b", "10.0.0.2"));
  const { client } = env.bed;
  await env.bed.until(() => client.writes.length === 1);
  const write = () => client.writes.filter((line) => line.endsWith("endpoints ns/web"));
  await client.delete(PODS, { namespace: "ns", name: "a" });
  await client.delete(PODS, { namespace: "ns", name: "b" });
  await env.bed.until(async () => (await env.subsets()) === undefined);
  assert.deepEqual(write(), ["create endpoints ns/web", "update endpoints ns/web"]);
  await client.delete(SERVICES, KEY);
  await env.bed.until(() => write().at(-1) === "delete endpoints ns/web");
});

test("Services without a selector are left alone", async () => {
  const mine = { apiVersion: "v1", kind: "Endpoints", metadata: KEY, subsets: [{ addresses: [{ ip: "192.0.2.1" }] }] };
  using env = await run({ ...service(), spec: { ports: [{ port: 80 }] } } as Service, mine, pod("a", "10.0.0.1"));
  await env.bed.settle();
  assert.deepEqual(env.bed.client.writes, []);
});

test("more than a thousand addresses are cut, and it is said so", () => {
  const pods = Array.from({ length: 1100 }, (_, i) => pod(`p${i}`, `10.0.${i >> 8}.${i & 255}`, i % 2 === 0) as Stored<Pod>);
  const made = computeEndpoints({ service: service() as Stored<Service>, pods, current: undefined, triggerTime: undefined });
  assert.equal(made?.metadata?.annotations?.["endpoints.kubernetes.io/over-capacity"], "truncated");
  assert.deepEqual([made?.subsets?.[0]?.addresses?.length, made?.subsets?.[0]?.notReadyAddresses?.length], [550, 450]);
});
