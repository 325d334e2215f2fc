import assert from "node:assert/strict";
import { test } from "node:test";
import { CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS } from "#kube";
import { startTestBed } from "../testing.ts";
import { startServiceAccounts } from "./reconcile.ts";

const NAMESPACE = { apiVersion: "v1", kind: "Namespace", metadata: { name: "ns" } };

test("every namespace has its account and the CA, also after someone deletes or changes them", async () => {
  using bed = await startTestBed([NAMESPACE], (context) => startServiceAccounts(context, "PEM"));
  await bed.settle();
  await bed.client.create(NAMESPACES, { metadata: { name: "new" } });
  await bed.settle();
  const names = async () => (await bed.client.list(SERVICE_ACCOUNTS)).items.map((sa) => `${sa.metadata.namespace}/${sa.metadata.name}`);
  assert.deepEqual(await names(), ["new/default", "ns/default"]);
  const key = { namespace: "ns", name: "kube-root-ca.crt" };
  assert.deepEqual((await bed.client.get(CONFIG_MAPS, key)).data, { "ca.crt": "PEM" });
  await bed.client.delete(SERVICE_ACCOUNTS, { namespace: "ns", name: "default" });
  await bed.client.patch(CONFIG_MAPS, key, { type: "merge", body: { data: { "ca.crt": "forged" } } });
  await bed.settle();
  assert.deepEqual(await names(), ["new/default", "ns/default"]);
  assert.deepEqual((await bed.client.get(CONFIG_MAPS, key)).data, { "ca.crt": "PEM" });
});

test("a namespace that is going away gets nothing back", async () => {
  using bed = await startTestBed([NAMESPACE], (context) => startServiceAccounts(context, undefined));
  await bed.settle();
  await bed.client.patch(NAMESPACES, { name: "ns" }, { type: "merge", body: { spec: { finalizers: ["kubernetes"] } } });
  await bed.client.delete(NAMESPACES, { name: "ns" });
  await bed.client.delete(SERVICE_ACCOUNTS, { namespace: "ns", name: "default" });
  await bed.settle();
  assert.equal(bed.client.writes.at(-1), "delete serviceaccounts ns/default");
});
