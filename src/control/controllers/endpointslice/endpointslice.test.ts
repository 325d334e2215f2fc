import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { ENDPOINT_SLICES, type KubeObject, PODS, SERVICES, type Stored } from "#kube";
import { startTestBed, type TestBed } from "../testing.ts";
import { resolvePorts } from "./endpoint.ts";
import { startEndpointSlices } from "./reconcile.ts";

const LABELS = { app: "web" };

function service(spec: object = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "ns", uid: "svc-1", labels: { team: "a", "kubernetes.io/service-name": "trick" } },
    spec: { selector: LABELS, ports: [{ port: 80, protocol: "TCP", targetPort: 8080 }], ipFamilies: ["IPv4", "IPv6"], ...spec },
  };
}

interface PodFields {
  readonly ready?: boolean;
  readonly phase?: string;
  readonly spec?: object;
  readonly ips?: string[];
  readonly labels?: Record<string, string>;
}

function pod(name: string, n: number, fields: PodFields = {}): Pod {
  const { ready = true, phase = "Running", spec = {}, ips = [`10.0.0.${n}`, `fd00::${n}`], labels = LABELS } = fields;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "ns", uid: `uid-${name}`, labels },
    spec: { containers: [], nodeName: "node-1", ...spec },
    status: {
      phase,
      podIP: ips[0] ?? "",
      podIPs: ips.map((ip) => ({ ip })),
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  };
}

const NODE = { apiVersion: "v1", kind: "Node", metadata: { name: "node-1", labels: { "topology.kubernetes.io/zone": "z1" } } };

async function run(...objects: KubeObject[]): Promise<TestBed> {
  const bed = await startTestBed([NODE, ...objects], startEndpointSlices);
  await bed.settle();
  return bed;
}

async function slices(bed: TestBed): Promise<Stored<EndpointSlice>[]> {
  const { items } = await bed.client.list(ENDPOINT_SLICES);
  return items.sort((a, b) => (a.addressType < b.addressType ? -1 : 1));
}

/** `IPv4 8080: 10.0.0.1 ready serving` */
async function shown(bed: TestBed): Promise<string[]> {
  return (await slices(bed)).map((s) => {
    const endpoints = s.endpoints.map(({ addresses, conditions = {} }) => {
      const flags = (["ready", "serving", "terminating"] as const).filter((flag) => conditions[flag] === true);
      return [addresses.join(), ...flags].join(" ");
    });
    return `${s.addressType} ${(s.ports ?? []).map((p) => p.port).join() || "-"}: ${endpoints.join("; ")}`;
  });
}

test("a slice per family, with labels, owner, ports and everything about its endpoint", async () => {
  using bed = await run(service(), pod("a", 1));
  const [v4, v6] = await slices(bed);
  assert.match(v4?.metadata.name ?? "", /^web-.{5}$/);
  assert.deepEqual(v4?.metadata.labels, {
    team: "a",
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
  });
  const owner = { apiVersion: "v1", kind: "Service", name: "web", uid: "svc-1", controller: true, blockOwnerDeletion: true };
  assert.deepEqual(v4?.metadata.ownerReferences, [owner]);
  assert.deepEqual(v4?.metadata.annotations, { "endpoints.kubernetes.io/last-change-trigger-time": "2024-01-01T00:00:00.000000Z" });
  assert.deepEqual(v4?.ports, [{ name: "", port: 8080, protocol: "TCP" }]);
  const rest = {
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: "node-1",
    targetRef: { kind: "Pod", namespace: "ns", name: "a", uid: "uid-a" },
    zone: "z1",
  };
  assert.deepEqual(v4?.endpoints, [{ addresses: ["10.0.0.1"], ...rest }]);
  assert.deepEqual(v6?.endpoints, [{ addresses: ["fd00::1"], ...rest }]);
});

test("conditions: not ready, terminating, finished, without an address", async () => {
  using bed = await run(
    service({ ipFamilies: ["IPv4"] }),
    pod("ready", 1),
    pod("not-ready", 2, { ready: false }),
    pod("finished", 3, { phase: "Succeeded" }),
    pod("starting", 4, { ips: [] }),
    pod("other", 5, { labels: { app: "db" } }),
    pod("ending", 6),
  );
  await bed.client.delete(PODS, { namespace: "ns", name: "ending" });
  await bed.settle();
  assert.deepEqual(await shown(bed), ["IPv4 8080: 10.0.0.1 ready serving; 10.0.0.2; 10.0.0.6 serving terminating"]);
});

test("publishNotReadyAddresses makes everything ready", async () => {
  using bed = await run(service({ ipFamilies: ["IPv4"], publishNotReadyAddresses: true }), pod("a", 1, { ready: false }));
  assert.deepEqual(await shown(bed), ["IPv4 8080: 10.0.0.1 ready"]);
});

test("a pod without an address of a family is missing there only", async () => {
  using bed = await run(service(), pod("a", 1, { ips: ["10.0.0.1"] }));
  assert.deepEqual(await shown(bed), ["IPv4 8080: 10.0.0.1 ready serving", "IPv6 -: "]);
});

test("named target ports make a slice per set of ports", async () => {
  const container = (port: number) => ({ spec: { containers: [{ name: "c", ports: [{ name: "http", containerPort: port }] }] } });
  using bed = await run(
    service({ ipFamilies: ["IPv4"], ports: [{ name: "web", port: 80, targetPort: "http" }] }),
    pod("a", 1, container(8080)),
    pod("b", 2, container(9090)),
    pod("c", 3, container(8080)),
  );
  assert.deepEqual((await shown(bed)).sort(), [
    "IPv4 8080: 10.0.0.1 ready serving; 10.0.0.3 ready serving",
    "IPv4 9090: 10.0.0.2 ready serving",
  ]);
});

test("ports: defaults, names by protocol, sidecars, appProtocol, and names that the pod does not have", () => {
  const p = pod("a", 1, {
    spec: {
      containers: [{ name: "c", ports: [{ name: "dns", containerPort: 5353, protocol: "UDP" }] }],
      initContainers: [{ name: "s", restartPolicy: "Always", ports: [{ name: "admin", containerPort: 15000 }] }],
    },
  });
  const ports = [
    { name: "a", port: 80 },
    { name: "b", port: 53, protocol: "UDP", targetPort: "dns" },
    { name: "c", port: 53, protocol: "TCP", targetPort: "dns" },
    { name: "d", port: 1, targetPort: "admin", appProtocol: "kubernetes.io/h2c" },
  ];
  assert.deepEqual(resolvePorts(service({ ports }), p), [
    { name: "a", port: 80, protocol: "TCP" },
    { name: "b", port: 5353, protocol: "UDP" },
    { name: "d", port: 15000, protocol: "TCP", appProtocol: "kubernetes.io/h2c" },
  ]);
});

test("headless: label, hostname of pods that ask for one, and no ports are no ports", async () => {
  using bed = await run(
    service({ clusterIP: "None", ipFamilies: ["IPv4"], ports: [] }),
    pod("a", 1, { spec: { hostname: "web-0", subdomain: "web" } }),
    pod("b", 2, { spec: { hostname: "web-1", subdomain: "other" } }),
  );
  const [slice] = await slices(bed);
  assert.equal(slice?.metadata.labels?.["service.kubernetes.io/headless"], "");
  assert.deepEqual(
    slice?.endpoints.map((e) => e.hostname),
    ["web-0", undefined],
  );
  assert.deepEqual(slice?.ports, []);
});

test("a Service whose selector matches nothing has an empty slice per family", async () => {
  using bed = await run(service());
  assert.deepEqual(await shown(bed), ["IPv4 -: ", "IPv6 -: "]);
});

test("Services without a selector and slices of others are left alone", async () => {
  const foreign: EndpointSlice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "mine", namespace: "ns", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["192.0.2.1"] }],
  };
  const { selector: _, ...noSelector } = service().spec ?? {};
  using bed = await run({ ...service(), spec: noSelector } as Service, foreign, pod("a", 1));
  assert.deepEqual(
    (await slices(bed)).map((s) => s.metadata.name),
    ["mine"],
  );
  assert.deepEqual(bed.client.writes, []);
});

test("readiness that changes is one update of one slice per family, and other changes of a pod are none", async () => {
  using bed = await run(service({ ipFamilies: ["IPv4"] }), pod("a", 1), pod("b", 2));
  const before = bed.client.writes.length;
  const patch = (body: object) =>
    bed.client.patch(PODS, { namespace: "ns", name: "a" }, { type: "merge", body }, { subresource: "status" });
  await patch({ status: { conditions: [{ type: "Ready", status: "False" }] } });
  await bed.settle();
  assert.deepEqual(await shown(bed), ["IPv4 8080: 10.0.0.1; 10.0.0.2 ready serving"]);
  await patch({ status: { message: "whatever" } });
  await bed.settle();
  const names = (await slices(bed)).map((s) => s.metadata.name);
  assert.deepEqual(bed.client.writes.slice(before), [
    "patch pods/status ns/a",
    `update endpointslices ns/${names[0]}`,
    "patch pods/status ns/a",
  ]);
});

test("a Service that becomes a name for another one, or loses a family, loses its slices", async () => {
  using bed = await run(service(), pod("a", 1));
  const change = async (spec: object) => {
    await bed.client.patch(SERVICES, { namespace: "ns", name: "web" }, { type: "merge", body: { spec } });
    await bed.settle();
  };
  await change({ ipFamilies: ["IPv6"] });
  assert.deepEqual(await shown(bed), ["IPv6 8080: fd00::1 ready serving"]);
  await change({ type: "ExternalName" });
  assert.deepEqual(await shown(bed), []);
});

test("a slice that someone deletes comes back; one of an earlier Service goes", async () => {
  const old: EndpointSlice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "web-old",
      namespace: "ns",
      labels: { "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" },
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name: "web", uid: "svc-0", controller: true }],
    },
    addressType: "IPv4",
    endpoints: [],
  };
  using bed = await run(service({ ipFamilies: ["IPv4"] }), pod("a", 1), old);
  const [slice, ...others] = await slices(bed);
  assert.equal(others.length, 0);
  assert.ok(slice !== undefined && slice.metadata.name !== "web-old");
  await bed.client.delete(ENDPOINT_SLICES, slice.metadata);
  await bed.settle();
  assert.deepEqual(await shown(bed), ["IPv4 8080: 10.0.0.1 ready serving"]);
});

test("250 pods are three slices", async () => {
  const pods = Array.from({ length: 250 }, (_, i) => pod(`p${i}`, i, { ips: [`10.0.${i >> 7}.${i & 127}`] }));
  using bed = await run(service({ ipFamilies: ["IPv4"] }), ...pods);
  assert.deepEqual(
    (await slices(bed)).map((s) => s.endpoints.length).sort((a, b) => a - b),
    [50, 100, 100],
  );
});
