// Services and Endpoints as objects: kubernetes/kubernetes test/e2e/network/{service,apiserver,endpoints}.go.
import assert from "node:assert/strict";
import { ENDPOINT_SLICES, ENDPOINTS, SERVICES } from "#kube";
import { removeCollection } from "../fixture/api-operations.ts";
import { createService } from "../fixture/services.ts";
import { watchEvents } from "../fixture/wait.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

async function secureMaster({ client }: Fixture): Promise<void> {
  const { spec } = await client.get(SERVICES, { namespace: "default", name: "kubernetes" });
  assert.ok(
    spec?.ports?.some((port) => port.name === "https" && port.port === 443),
    "Service kubernetes has no port https",
  );
}

async function pointsToApiServer({ client }: Fixture): Promise<void> {
  const key = { namespace: "default", name: "kubernetes" };
  await client.get(SERVICES, key);
  const endpoints = await client.get(ENDPOINTS, key);
  const { items: slices } = await client.list(ENDPOINT_SLICES, {
    namespace: "default",
    labelSelector: "kubernetes.io/service-name=kubernetes",
  });
  const { ipFamilies } = (await client.get(SERVICES, key)).spec ?? {};
  const ofEndpoints = (endpoints.subsets ?? []).flatMap(({ addresses = [], ports = [] }) =>
    addresses.flatMap(({ ip }) => ports.map(({ port }) => `${ip} ${port}`)),
  );
  // Endpoints are of the Service's first family alone.
  const ofSlices = slices
    .filter((slice) => slice.addressType === ipFamilies?.[0])
    .flatMap(({ endpoints: all, ports = [] }) =>
      all.flatMap(({ addresses }) => addresses.flatMap((ip) => ports.map(({ port }) => `${ip} ${port}`))),
    );
  assert.ok(ofEndpoints.length > 0, "the Endpoints kubernetes are empty");
  assert.deepEqual(ofSlices.sort(), ofEndpoints.sort());
}

async function findInAllNamespaces({ client }: Fixture): Promise<void> {
  const { items } = await client.list(SERVICES);
  assert.ok(items.some(({ metadata }) => metadata.namespace === "default" && metadata.name === "kubernetes"));
}

async function deleteCollection(fixture: Fixture): Promise<void> {
  const labels = { "e2e-test-service": "delete-collection" };
  const selector = "e2e-test-service=delete-collection";
  for (const name of ["one", "two", "three"]) {
    await createService(fixture, `collection-${name}`, { ports: [{ port: 80 }] }, name === "three" ? {} : labels);
  }
  const count = async (): Promise<string[]> =>
    (await fixture.client.list(SERVICES, { namespace: fixture.namespace })).items.map(({ metadata }) => metadata.name).sort();
  assert.deepEqual(await count(), ["collection-one", "collection-three", "collection-two"]);
  await removeCollection(fixture, SERVICES, selector);
  assert.deepEqual(await count(), ["collection-three"]);
}

async function statusLifecycle(fixture: Fixture): Promise<void> {
  const { client, namespace } = fixture;
  const name = `test-service-${fixture.uniqueName}`;
  const labelSelector = "test-service-static=true";
  const key = { namespace, name };
  const path = `/api/v1/namespaces/${namespace}/services/${name}`;
  const { resourceVersion } = await client.list(SERVICES, { namespace, labelSelector });
  const events = watchEvents(fixture, SERVICES, { resourceVersion, labelSelector });
  const ports = [{ name: "http", protocol: "TCP", port: 80, targetPort: 80 }];
  const spec = { type: "LoadBalancer", loadBalancerClass: "example.com/internal-vip", ports };
  await createService(fixture, name, spec, { "test-service-static": "true" });
  await events.next("the Service is added", ({ type, object }) => type === "ADDED" && object.metadata.name === name);

  const read = await fixture.http("GET", `${path}/status`);
  assert.equal(read.status, 200, read.body);

  const annotations = { patchedstatus: "true" };
  const ingress = [{ ip: "203.0.113.1" }];
  const patch = { metadata: { annotations }, status: { loadBalancer: { ingress } } };
  const patched = await client.patch(SERVICES, key, { type: "merge", body: patch }, { subresource: "status" });
  assert.deepEqual(
    patched.status?.loadBalancer?.ingress?.map(({ ip }) => ip),
    ["203.0.113.1"],
  );
  assert.equal(patched.metadata.annotations?.["patchedstatus"], "true");
  await events.next("the patched status", ({ object }) => object.metadata.annotations?.["patchedstatus"] === "true");

  const latest = await client.get(SERVICES, key);
  const conditions = [
    { type: "StatusUpdate", status: "True", reason: "E2E", message: "Set from a test", lastTransitionTime: new Date().toISOString() },
  ];
  const updated = await client.update(SERVICES, { ...latest, status: { ...latest.status, conditions } }, { subresource: "status" });
  assert.equal(updated.status?.conditions?.[0]?.reason, "E2E");
  await events.next("the updated status", ({ object }) => object.status?.conditions?.[0]?.type === "StatusUpdate");

  const labels = { metadata: { labels: { "test-service": "patched" } } };
  await client.patch(SERVICES, key, { type: "strategic", body: labels });
  await events.next("the patched Service", ({ object }) => object.metadata.labels?.["test-service"] === "patched");

  await client.delete(SERVICES, key);
  await events.next("the Service is deleted", ({ type }) => type === "DELETED");
  events.close();
}

async function endpointLifecycle(fixture: Fixture): Promise<void> {
  const { client, namespace } = fixture;
  const name = "testservice";
  const labelSelector = "test-endpoint-static=true";
  const { resourceVersion } = await client.list(ENDPOINTS, { labelSelector });
  const events = watchEvents(fixture, ENDPOINTS, { resourceVersion, labelSelector, allNamespaces: true });
  const ports = [{ name: "http", port: 80, protocol: "TCP" }];
  await client.create(ENDPOINTS, {
    metadata: { name, namespace, labels: { "test-endpoint-static": "true" } },
    subsets: [{ addresses: [{ ip: "10.0.0.24" }], ports }],
  });
  await events.next("the Endpoints are added", ({ type, object }) => type === "ADDED" && object.metadata.name === name);
  const all = await client.list(ENDPOINTS, { labelSelector });
  assert.ok(all.items.some((endpoints) => endpoints.metadata.namespace === namespace));

  const found = await client.get(ENDPOINTS, { namespace, name });
  const labels = { ...found.metadata.labels, "test-service": "updated" };
  await client.update(ENDPOINTS, { ...found, metadata: { ...found.metadata, labels } });
  await events.next("the update", ({ object }) => object.metadata.labels?.["test-service"] === "updated");

  const body = {
    metadata: { labels: { "test-service": "patched" } },
    subsets: [{ addresses: [{ ip: "10.0.0.25" }], ports: [{ ...ports[0], port: 8080 }] }],
  };
  const patched = await client.patch(ENDPOINTS, { namespace, name }, { type: "strategic", body });
  assert.equal(patched.subsets?.[0]?.addresses?.[0]?.ip, "10.0.0.25");
  assert.equal(patched.subsets?.[0]?.ports?.[0]?.port, 8080);
  await events.next("the patch", ({ object }) => object.metadata.labels?.["test-service"] === "patched");

  await removeCollection(fixture, ENDPOINTS, labelSelector);
  await events.next("the Endpoints are deleted", ({ type }) => type === "DELETED");
  events.close();
}

export const SERVICES_API: readonly ConformanceTest[] = [
  { title: "API Server should provide secure master service", run: secureMaster },
  { title: "API Server should have Endpoints and EndpointSlices pointing to API Server", run: pointsToApiServer },
  { title: "Services should find a service from listing all namespaces", run: findInAllNamespaces },
  { title: "Services should delete a collection of services", run: deleteCollection },
  { title: "Services should complete a service status lifecycle", run: statusLifecycle },
  { title: "Endpoints should test the lifecycle of an Endpoint", run: endpointLifecycle },
];
