// kubernetes/kubernetes test/e2e/network/service_cidrs.go.
import assert from "node:assert/strict";
import { IP_ADDRESSES, type IPAddress, SERVICE_CIDRS } from "#kube";
import { expectDiscovered, removeCollection } from "../fixture/api-operations.ts";
import { watchEvents } from "../fixture/wait.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

async function serviceCidr(fixture: Fixture): Promise<void> {
  const { client } = fixture;
  await expectDiscovered(fixture, SERVICE_CIDRS, true);
  const found = await client.get(SERVICE_CIDRS, { name: "kubernetes" });
  const answer = await fixture.http("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes/status");
  const status = JSON.parse(answer.body) as { apiVersion: string; kind: string; metadata: { uid: string } };
  assert.deepEqual([status.apiVersion, status.kind, status.metadata.uid], ["networking.k8s.io/v1", "ServiceCIDR", found.metadata.uid]);
  const { items, resourceVersion } = await client.list(SERVICE_CIDRS);
  assert.ok(items.length > 0, "there is no ServiceCIDR");
  const watch = watchEvents(fixture, SERVICE_CIDRS, { resourceVersion, labelSelector: "" });
  const annotate = (value: string | null): Promise<unknown> =>
    client.patch(
      SERVICE_CIDRS,
      { name: "kubernetes" },
      { type: "merge", body: { metadata: { annotations: { [fixture.uniqueName]: value } } } },
    );
  fixture.cleanUp(() => annotate(null));
  await annotate("watched");
  await watch.next("the patch", ({ object }) => object.metadata.annotations?.[fixture.uniqueName] === "watched");
  watch.close();
}

const address = (name: string, type: string): IPAddress => ({
  metadata: { name, labels: { type } },
  spec: { parentRef: { group: "mygroup", resource: "myresources", namespace: "foo", name: "bar" } },
});

async function ipAddress(fixture: Fixture): Promise<void> {
  const { client } = fixture;
  await expectDiscovered(fixture, IP_ADDRESSES);
  const key = { name: "255.255.255.255" };
  for (const selector of ["type=broadcast", "type=link-local"]) fixture.cleanUp(() => removeCollection(fixture, IP_ADDRESSES, selector));
  const created = await client.create(IP_ADDRESSES, address(key.name, "broadcast"));
  await client.create(IP_ADDRESSES, address("fe80::42:1dff:fe84:f9e2", "link-local"));
  const listed = await client.list(IP_ADDRESSES, { labelSelector: "type=broadcast" });
  assert.equal(listed.items.length, 1);
  const watch = watchEvents(fixture, IP_ADDRESSES, { resourceVersion: listed.resourceVersion, labelSelector: "type=broadcast" });

  const patched = await client.patch(IP_ADDRESSES, key, { type: "merge", body: { metadata: { annotations: { patched: "true" } } } });
  assert.equal(patched.metadata.annotations?.["patched"], "true");
  assert.ok(Number(patched.metadata.resourceVersion) > Number(created.metadata.resourceVersion), "the version has not grown");
  const annotations = { ...patched.metadata.annotations, updated: "true" };
  const updated = await client.update(IP_ADDRESSES, { ...patched, metadata: { ...patched.metadata, annotations } });
  assert.equal(updated.metadata.annotations?.["updated"], "true");
  await watch.next("the update", ({ object }) => object.metadata.annotations?.["updated"] === "true");
  await client.get(IP_ADDRESSES, key);
  await client.delete(IP_ADDRESSES, key);
  await watch.next("the deletion", ({ type }) => type === "DELETED");
  watch.close();
  await removeCollection(fixture, IP_ADDRESSES, "type=link-local");
  assert.deepEqual((await client.list(IP_ADDRESSES, { labelSelector: "type=link-local" })).items, []);
}

export const SERVICE_CIDR_TESTS: readonly ConformanceTest[] = [
  { title: "ServiceCIDR and IPAddress API should support ServiceCIDR API operations", run: serviceCidr },
  { title: "ServiceCIDR and IPAddress API should support IPAddress API operations", run: ipAddress },
];
