// EndpointSlices and Endpoints as the controllers write them: kubernetes/kubernetes test/e2e/network/{endpointslice,endpoints,
// endpointslicemirroring}.go.
import assert from "node:assert/strict";
import type { Container, Pod, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { isNotFound } from "#client";
import { ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES, type Stored } from "#kube";
import { expectOperations, removeCollection } from "../fixture/api-operations.ts";
import { AGNHOST, agnhost, createPod, runExecPod, runPods } from "../fixture/pods.ts";
import { expectAnswersOf, hostPort, httpFrom, type Reply } from "../fixture/probes.ts";
import { clusterIpOf, createService } from "../fixture/services.ts";
import { eventually, untilObjects } from "../fixture/wait.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

const CONTROLLER = "endpointslice-controller.k8s.io";
const MIRROR = "endpointslicemirroring-controller.k8s.io";

const labelOf = (service: string): string => `kubernetes.io/service-name=${service}`;

type Look = (slices: readonly Stored<EndpointSlice>[]) => true | string;

async function untilSlices(fixture: Fixture, service: string, look: Look): Promise<Stored<EndpointSlice>[]> {
  const awaited = { resource: ENDPOINT_SLICES, labelSelector: labelOf(service) };
  return await untilObjects(fixture, `EndpointSlices of ${service}`, awaited, look);
}

async function untilEndpoints(fixture: Fixture, name: string, addresses: readonly string[]): Promise<void> {
  const wanted = [...addresses].sort().join(" ");
  await untilObjects(fixture, `Endpoints ${name}`, { resource: ENDPOINTS, fieldSelector: `metadata.name=${name}` }, ([found]) => {
    if (found === undefined) return "there are none";
    const ips = (found.subsets ?? []).flatMap((subset) => [...(subset.addresses ?? []), ...(subset.notReadyAddresses ?? [])]);
    const text = [...new Set(ips.map(({ ip }) => ip))].sort().join(" ");
    return text === wanted || `they name ${text || "nothing"}, wanted ${wanted || "nothing"}`;
  });
}

async function emptySelectorService(fixture: Fixture): Promise<Stored<Service>> {
  return await createService(fixture, "example-empty-selector", {
    selector: { "does-not-match-anything": "endpoints-and-endpoint-slices-should-still-be-created" },
    ports: [{ name: "example", port: 80, protocol: "TCP" }],
  });
}

async function slicesWithoutPods(fixture: Fixture): Promise<void> {
  const { metadata } = await emptySelectorService(fixture);
  const [slice] = await untilSlices(fixture, metadata.name, (slices) => slices.length > 0 || "there is none");
  assert.equal(slice?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"], CONTROLLER);
  assert.equal(slice?.endpoints?.length ?? 0, 0);
  await fixture.client.delete(SERVICES, { namespace: fixture.namespace, name: metadata.name });
  await untilSlices(fixture, metadata.name, (slices) => slices.length === 0 || "they outlive their Service");
}

async function endpointsWithoutPods(fixture: Fixture): Promise<void> {
  const { client, namespace } = fixture;
  const { metadata } = await emptySelectorService(fixture);
  await untilEndpoints(fixture, metadata.name, []);
  await client.delete(SERVICES, { namespace, name: metadata.name });
  await eventually(fixture, "Endpoints go with their Service", () =>
    assert.rejects(client.get(ENDPOINTS, { namespace, name: metadata.name }), isNotFound),
  );
}

/** Two pods and three Services: one by number, one by a name that means different ports, one without pods. */
interface Matching {
  readonly pods: readonly [Stored<Pod>, Stored<Pod>];
  readonly single: string;
  readonly named: string;
  readonly none: string;
}

async function matching(fixture: Fixture): Promise<Matching> {
  const ports = (...all: readonly (readonly [string, number])[]): Partial<Container> => ({
    ports: all.map(([name, containerPort]) => ({ name, containerPort, protocol: "TCP" })),
  });
  await createPod(fixture, agnhost("pod1", { labels: { pod1: "on", shared12: "on" }, container: ports(["example-name", 3000]) }));
  const second = ports(["example-name", 3001], ["other-port", 3002]);
  await createPod(fixture, agnhost("pod2", { labels: { pod2: "on", shared12: "on" }, container: second }));
  const create = async (name: string, label: string, port: object): Promise<string> => {
    const spec = { selector: { [label]: "on" }, publishNotReadyAddresses: true, ports: [{ port: 80, protocol: "TCP", ...port }] };
    return (await createService(fixture, name, spec)).metadata.name;
  };
  const single = await create("example-int-port", "pod1", { name: "example", targetPort: 3000 });
  const named = await create("example-named-port", "shared12", { name: "http", targetPort: "example-name" });
  const none = await create("example-no-match", "pod3", { name: "example-no-match", targetPort: 8080 });
  const [pod1, pod2] = await withAddresses(fixture, "pod1", "pod2");
  return { pods: [pod1, pod2], single, named, none };
}

async function withAddresses(fixture: Fixture, ...names: readonly [string, string]): Promise<[Stored<Pod>, Stored<Pod>]> {
  const pods = await untilObjects(fixture, `addresses of ${names.join(", ")}`, { resource: PODS }, (all) => {
    const missing = names.filter((name) => !all.some((pod) => pod.metadata.name === name && (pod.status?.podIPs ?? []).length > 0));
    return missing.length === 0 || `${missing.join(", ")} have none`;
  });
  const find = (name: string): Stored<Pod> => pods.find((pod) => pod.metadata.name === name) ?? assert.fail(`no pod ${name}`);
  return [find(names[0]), find(names[1])];
}

const ipOf = (pod: Stored<Pod>): string => pod.status?.podIP ?? assert.fail(`pod ${pod.metadata.name} has no address`);

/** The pods and ports that slices name, as `name:port`. */
function backendsOf(slices: readonly Stored<EndpointSlice>[]): string {
  return slices
    .flatMap(({ endpoints, ports = [] }) => endpoints.flatMap(({ targetRef }) => ports.map(({ port }) => `${targetRef?.name}:${port}`)))
    .sort()
    .join(" ");
}

function expectMatchingSlices(fixture: Fixture, service: string, wanted: string, slices: number): Promise<unknown> {
  return untilSlices(fixture, service, (found) => {
    const own = found.filter((slice) => slice.addressType === `IPv${fixture.family}`);
    const text = backendsOf(own);
    const count = own.length;
    return (
      (text === wanted && count === slices) || `${count} slices name ${text || "nothing"}, wanted ${slices} with ${wanted || "nothing"}`
    );
  });
}

/** Beside who is in them: what else each slice and endpoint says of its pod and Service. */
async function expectDetails(fixture: Fixture, service: string, pods: readonly Stored<Pod>[]): Promise<void> {
  const slices = await untilSlices(fixture, service, () => true);
  for (const { metadata, addressType, endpoints } of slices) {
    assert.equal(metadata.labels?.["endpointslice.kubernetes.io/managed-by"], CONTROLLER);
    assert.deepEqual(
      metadata.ownerReferences?.map(({ kind, name, controller }) => [kind, name, controller]),
      [["Service", service, true]],
    );
    for (const { addresses, conditions, nodeName, targetRef } of endpoints) {
      const pod = pods.find(({ metadata: { uid } }) => uid === targetRef?.uid) ?? assert.fail(`an endpoint of no pod in ${metadata.name}`);
      const ips = pod.status?.podIPs?.map(({ ip }) => ip).filter((ip) => ip?.includes(":") === (addressType === "IPv6"));
      assert.deepEqual(addresses, ips);
      // publishNotReadyAddresses.
      assert.equal(conditions?.ready, true);
      assert.equal(nodeName, pod.spec?.nodeName);
      assert.deepEqual([targetRef?.kind, targetRef?.namespace, targetRef?.name], ["Pod", fixture.namespace, pod.metadata.name]);
    }
  }
}

async function slicesForPods(fixture: Fixture): Promise<void> {
  const { pods, single, named, none } = await matching(fixture);
  await untilEndpoints(fixture, single, [ipOf(pods[0])]);
  await expectMatchingSlices(fixture, single, "pod1:3000", 1);
  await untilEndpoints(fixture, named, pods.map(ipOf));
  await expectMatchingSlices(fixture, named, "pod1:3000 pod2:3001", 2);
  await untilEndpoints(fixture, none, []);
  await expectMatchingSlices(fixture, none, "", 1);
  for (const service of [single, named, none]) await expectDetails(fixture, service, pods);
  await removeCollection(fixture, ENDPOINT_SLICES, labelOf(named));
  await expectMatchingSlices(fixture, named, "pod1:3000 pod2:3001", 2);
  await expectDetails(fixture, named, pods);
}

async function endpointsForPods(fixture: Fixture): Promise<void> {
  const { pods, single, named, none } = await matching(fixture);
  await untilEndpoints(fixture, single, [ipOf(pods[0])]);
  await untilEndpoints(fixture, named, pods.map(ipOf));
  await untilEndpoints(fixture, none, []);
}

function ownSlice(fixture: Fixture, name: string, service: string, rest: Partial<EndpointSlice>): EndpointSlice {
  const { namespace } = fixture;
  const labels = { "kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": "e2e-test.k8s.io" };
  return { metadata: { name, namespace, labels }, addressType: `IPv${fixture.family}`, endpoints: [], ...rest };
}

const netexec = (port: number): Container => ({
  name: `port-${port}`,
  image: AGNHOST,
  args: ["netexec", `--http-port=${port}`, "--udp-port=-1"],
  ports: [{ containerPort: port, protocol: "TCP" }],
});

async function expectFrom(fixture: Fixture, target: string, names: readonly string[]): Promise<void> {
  const ask = (): Promise<Reply[]> => httpFrom(fixture, "pause-pod-0", `http://${target}/hostname`, 4 * names.length);
  await expectAnswersOf(fixture, target, ask, names);
}

async function multipleAddresses(fixture: Fixture): Promise<void> {
  const service = await createService(fixture, "example-custom-endpoints", { ports: [{ name: "port80", port: 80, protocol: "TCP" }] });
  const pods = await runPods(
    fixture,
    ...["pod1", "pod2"].map((name) => agnhost(name, { spec: { terminationGracePeriodSeconds: 1, containers: [netexec(8090)] } })),
  );
  await runExecPod(fixture, "pause-pod-0");
  for (const [i, pod] of pods.entries()) {
    const endpoints = [{ addresses: [ipOf(pod)], conditions: { ready: true } }];
    const ports = [{ name: "port80", port: 8090, protocol: "TCP" }];
    await fixture.client.create(ENDPOINT_SLICES, ownSlice(fixture, `custom-slice-${i}`, service.metadata.name, { endpoints, ports }));
  }
  await expectFrom(fixture, hostPort(clusterIpOf(service), 80), ["pod1", "pod2"]);
}

async function multiplePorts(fixture: Fixture): Promise<void> {
  const service = await createService(fixture, "example-custom-endpoints", {
    ports: [
      { name: "port80", port: 80, protocol: "TCP" },
      { name: "port81", port: 81, protocol: "TCP" },
    ],
  });
  const spec = { terminationGracePeriodSeconds: 1, containers: [netexec(8090), netexec(9090)] };
  const [pod = assert.fail("no pod")] = await runPods(fixture, agnhost("pod1", { spec }));
  await runExecPod(fixture, "pause-pod-0");
  for (const [name, port] of [
    ["port80", 8090],
    ["port81", 9090],
  ] as const) {
    const endpoints = [{ addresses: [ipOf(pod)], conditions: { ready: true } }];
    const rest = { endpoints, ports: [{ name, port, protocol: "TCP" }] };
    await fixture.client.create(ENDPOINT_SLICES, ownSlice(fixture, `custom-slice-${port}`, service.metadata.name, rest));
  }
  for (const port of [80, 81]) await expectFrom(fixture, hostPort(clusterIpOf(service), port), ["pod1"]);
}

async function mirroring(fixture: Fixture): Promise<void> {
  const { client, namespace } = fixture;
  const name = "example-custom-endpoints";
  await createService(fixture, name, { ports: [{ name: "example", port: 80, protocol: "TCP" }] });
  const endpoints = (ip: string): object => ({ metadata: { name, namespace }, subsets: [{ ports: [{ port: 80 }], addresses: [{ ip }] }] });
  const mirrors =
    (ip: string): Look =>
    (slices) => {
      const text = slices
        .flatMap(({ endpoints: all, ports = [] }) => all.flatMap(({ addresses }) => ports.map(({ port }) => `${addresses.join()}:${port}`)))
        .join(" ");
      return text === `${ip}:80` || `they name ${text || "nothing"}, wanted ${ip}:80`;
    };
  await client.create(ENDPOINTS, endpoints("10.1.2.3"));
  const [slice] = await untilSlices(fixture, name, mirrors("10.1.2.3"));
  assert.equal(slice?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"], MIRROR);
  await client.update(ENDPOINTS, endpoints("10.2.3.4"));
  await untilSlices(fixture, name, mirrors("10.2.3.4"));
  await client.delete(ENDPOINTS, { namespace, name });
  await untilSlices(fixture, name, (slices) => slices.length === 0 || `${slices.length} are still there`);
}

export const ENDPOINT_SLICE_TESTS: readonly ConformanceTest[] = [
  { title: "EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service", run: slicesForPods },
  {
    title: "EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no pods",
    run: slicesWithoutPods,
  },
  { title: "EndpointsController should create Endpoints for Pods matching a Service", run: endpointsForPods },
  {
    title: "EndpointsController should create and delete Endpoints for a Service with a selector that matches no pods",
    run: endpointsWithoutPods,
  },
  {
    title: "EndpointSlice should support a Service with multiple endpoint IPs specified in multiple EndpointSlices",
    run: multipleAddresses,
  },
  { title: "EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices", run: multiplePorts },
  {
    title: "EndpointSlice should support creating EndpointSlice API operations",
    run: (fixture) =>
      expectOperations(fixture, {
        resource: ENDPOINT_SLICES,
        template: { addressType: "IPv4", endpoints: [{ addresses: ["1.2.3.4"] }, { addresses: ["2.2.3.4"] }] },
      }),
  },
  { title: "EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete", run: mirroring },
];
