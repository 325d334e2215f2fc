import assert from "node:assert/strict";
import { test } from "node:test";
import type { EndpointSubset, Endpoints, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { ENDPOINT_SLICES, ENDPOINTS, type KubeObject, SERVICES, type Stored } from "#kube";
import { startTestBed, type TestBed } from "../testing.ts";
import { startEndpointSliceMirroring } from "./reconcile.ts";

const KEY = { namespace: "ns", name: "custom" };
const MIRROR = "endpointslicemirroring-controller.k8s.io";

function service(spec: object = {}): Service {
  return { apiVersion: "v1", kind: "Service", metadata: KEY, spec: { ports: [{ port: 80 }], ...spec } };
}

function endpoints(subsets: readonly EndpointSubset[], metadata: object = {}): Endpoints {
  return { apiVersion: "v1", kind: "Endpoints", metadata: { ...KEY, ...metadata }, subsets: [...subsets] };
}

const subset = (ip: string, ...notReady: readonly string[]): EndpointSubset => ({
  addresses: [{ ip }],
  ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady.map((other) => ({ ip: other })) }),
  ports: [{ port: 80 }],
});

async function run(...objects: KubeObject[]): Promise<TestBed & { slices(): Promise<Stored<EndpointSlice>[]> }> {
  const bed = await startTestBed(objects, startEndpointSliceMirroring);
  return { ...bed, slices: async () => (await bed.client.list(ENDPOINT_SLICES, { namespace: "ns" })).items };
}

const shown = (slices: readonly EndpointSlice[]): string[] =>
  slices
    .map(({ addressType, endpoints: all, ports = [] }) => {
      const addresses = all.map((endpoint) => `${endpoint.addresses.join()}${endpoint.conditions?.ready === true ? "" : "!"}`);
      return `${addressType} ${addresses.join(" ")} ${ports.map(({ name, port, protocol }) => `${name}:${port}/${protocol}`).join()}`;
    })
    .sort();

test("Endpoints of a user become slices, one per family and set of ports, and follow them", async () => {
  const annotations = { note: "a", "kubectl.kubernetes.io/last-applied-configuration": "{}" };
  using bed = await run(
    service(),
    endpoints([subset("10.1.2.3", "10.1.2.4", "10.1.2.3", "fd00::1")], { labels: { team: "a" }, annotations }),
  );
  await bed.until(async () => (await bed.slices()).length === 2);
  assert.deepEqual(shown(await bed.slices()), ["IPv4 10.1.2.3 10.1.2.4! :80/TCP", "IPv6 fd00::1! :80/TCP"]);
  const [first] = await bed.slices();
  assert.deepEqual(first?.metadata.labels, {
    team: "a",
    "kubernetes.io/service-name": "custom",
    "endpointslice.kubernetes.io/managed-by": MIRROR,
  });
  assert.deepEqual(first?.metadata.annotations, { note: "a" });
  assert.deepEqual(
    first?.metadata.ownerReferences?.map(({ kind, name, controller }) => [kind, name, controller]),
    [["Endpoints", "custom", true]],
  );

  const current = await bed.client.get(ENDPOINTS, KEY);
  await bed.client.update(ENDPOINTS, { ...current, subsets: [subset("10.2.3.4")] });
  await bed.until(async () => (await bed.slices()).length === 1);
  assert.deepEqual(shown(await bed.slices()), ["IPv4 10.2.3.4 :80/TCP"]);
  await bed.client.delete(ENDPOINTS, KEY);
  await bed.until(async () => (await bed.slices()).length === 0);
});

test("not for Services with a selector, nor without a Service, nor for leaders' locks, nor when told not to", async () => {
  const subsets = [subset("10.1.2.3")];
  const lock = { annotations: { "control-plane.alpha.kubernetes.io/leader": "{}" } };
  const told = { labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } };
  const table: readonly (readonly KubeObject[])[] = [
    [service({ selector: { app: "x" } }), endpoints(subsets)],
    [endpoints(subsets)],
    [service(), endpoints(subsets, lock)],
    [service(), endpoints(subsets, told)],
    [service(), endpoints([])],
  ];
  for (const objects of table) {
    using bed = await run(...objects);
    await bed.settle();
    assert.deepEqual(bed.client.writes, [], JSON.stringify(objects));
  }
});

test("a Service that gets a selector loses its mirrors, slices of others stay, and a removed mirror is made again", async () => {
  const other = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "other", namespace: "ns", labels: { "kubernetes.io/service-name": "custom" } },
    addressType: "IPv4",
    endpoints: [],
  };
  using bed = await run(service(), endpoints([subset("10.1.2.3")]), other);
  const mirrors = async (): Promise<Stored<EndpointSlice>[]> => (await bed.slices()).filter(({ metadata }) => metadata.name !== "other");
  await bed.until(async () => (await mirrors()).length === 1);
  const [first] = await mirrors();
  await bed.client.delete(ENDPOINT_SLICES, { namespace: "ns", name: first?.metadata.name ?? "" });
  await bed.until(async () => (await mirrors()).some(({ metadata }) => metadata.uid !== first?.metadata.uid));
  const current = await bed.client.get(SERVICES, KEY);
  await bed.client.update(SERVICES, { ...current, spec: { ...current.spec, selector: { app: "x" } } });
  await bed.until(async () => (await mirrors()).length === 0);
  assert.equal((await bed.slices()).length, 1);
});
