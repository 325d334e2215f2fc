// What one Service, or one who listens, does wrong costs the others nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { ENDPOINT_SLICES, SERVICES } from "#kube";
import { elements, settle, start } from "./fixture-fake.ts";
import { type PortSpec, service, slice } from "./testing.ts";

const HTTP: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080 }];
const OTHER = service("other", ["10.96.0.2"], HTTP);

test("lists that are null, as an API server in Go may write them, are empty ones", async () => {
  const local = { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 30_900 };
  const empty: EndpointSlice = { ...slice("web", [], HTTP), ...JSON.parse('{"endpoints":null,"ports":null}') };
  const setup = await start([service("web", ["10.96.0.1"], HTTP, local), empty, OTHER, slice("other", ["10.244.1.2@node-1"], HTTP)]);
  assert.equal(elements(setup.nft)["services4"]?.length, 1);
  assert.equal(elements(setup.nft)["no-endpoints4"]?.length, 1);
  assert.deepEqual(setup.warnings, []);
  setup.proxy.stop();
});

test("a Service that cannot be understood stays as it was, and says so; the others are programmed", async () => {
  const web = service("web", ["10.96.0.1"], HTTP);
  const setup = await start([web, slice("web", ["10.244.1.2@node-1"], HTTP), OTHER, slice("other", ["10.244.1.3@b"], HTTP)]);
  const before = elements(setup.nft);
  const broken: Service = { ...web, spec: { ...web.spec, ports: [JSON.parse("null")] } };
  await setup.client.update(SERVICES, broken);
  await settle(setup, () => setup.warnings.some(({ fields }) => fields["service"] === "default/web"));
  assert.deepEqual(elements(setup.nft), before);
  await setup.client.update(ENDPOINT_SLICES, slice("other", ["10.244.1.4@b"], HTTP));
  await settle(setup, () => elements(setup.nft)["endpoints4"]?.some((line) => line.includes("10.244.1.4")) === true);
  assert.equal(elements(setup.nft)["services4"]?.length, 2);
  assert.equal(setup.proxy.metrics.sync_failures_total, 0);
  setup.proxy.stop();
});
