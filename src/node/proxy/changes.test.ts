// Changes of Services while the proxy runs: what was goes in the transaction that brings what is.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Service, ServiceSpec } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { ENDPOINT_SLICES, type KubeObject, SERVICES } from "#kube";
import { elements, type Setup, settle, start } from "./fixture-fake.ts";
import { type PortSpec, service, slice } from "./testing.ts";

const PORTS: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080, nodePort: 30_080 }];
const EPS = slice("web", ["10.244.1.2@node-1"], PORTS);
const NODE_PORT = service("web", ["10.96.0.1"], PORTS);

/** Frontends that lead somewhere, or refuse. */
function keys({ nft }: Setup): string[] {
  const { services4 = [], "no-endpoints4": none = [], services6 = [], "no-endpoints6": none6 = [] } = elements(nft);
  return [...services4, ...none, ...services6, ...none6].map((line) => line.split(" comment")[0] ?? "").sort();
}

/** Writes what is given, and returns the frontends after the one transaction that this took. */
async function change(setup: Setup, ...objects: readonly KubeObject[]): Promise<string[]> {
  const { client, nft } = setup;
  const before = nft.transactions.length;
  for (const object of objects) {
    if (object.kind === "Service") await client.update(SERVICES, object);
    else await client.update(ENDPOINT_SLICES, object);
  }
  await settle(setup, () => nft.transactions.length > before);
  assert.equal(nft.transactions.length, before + 1);
  return keys(setup);
}

function spec(of: Service, over: Partial<ServiceSpec>): Service {
  return { ...of, spec: { ...of.spec, ...over } };
}

describe("old keys go in the transaction of the new ones", () => {
  const clusterIp = "10.96.0.1 . tcp . 80";
  const cases: readonly [string, Service, string[]][] = [
    ["to ClusterIP", service("web", ["10.96.0.1"], [{ name: "http", port: 80 }]), [clusterIp]],
    [
      "to another node port",
      service("web", ["10.96.0.1"], [{ name: "http", port: 80, nodePort: 30_081 }]),
      [clusterIp, "172.18.0.11 . tcp . 30081"],
    ],
    [
      "to another port",
      service("web", ["10.96.0.1"], [{ name: "http", port: 81, nodePort: 30_080 }]),
      ["10.96.0.1 . tcp . 81", "172.18.0.11 . tcp . 30080"],
    ],
    [
      "to another protocol",
      service("web", ["10.96.0.1"], [{ name: "http", port: 80, protocol: "UDP", nodePort: 30_080 }]),
      ["10.96.0.1 . udp . 80", "172.18.0.11 . udp . 30080"],
    ],
    [
      "to two protocols",
      service(
        "web",
        ["10.96.0.1"],
        [
          { name: "http", port: 80 },
          { name: "udp", port: 80, protocol: "UDP" },
        ],
      ),
      [clusterIp, "10.96.0.1 . udp . 80"],
    ],
    ["to another family", service("web", ["fd00:10:96::1"], PORTS), ["fd00:10:96::1 . tcp . 80", "fd00:18::11 . tcp . 30080"]],
    ["to ExternalName", spec(NODE_PORT, { type: "ExternalName", clusterIP: "", clusterIPs: [] }), []],
    ["to externalIPs", spec(NODE_PORT, { externalIPs: ["192.0.2.1"] }), [clusterIp, "172.18.0.11 . tcp . 30080", "192.0.2.1 . tcp . 80"]],
    [
      "to another proxy",
      { ...NODE_PORT, metadata: { ...NODE_PORT.metadata, labels: { "service.kubernetes.io/service-proxy-name": "other" } } },
      [],
    ],
    ["to headless by label", { ...NODE_PORT, metadata: { ...NODE_PORT.metadata, labels: { "service.kubernetes.io/headless": "" } } }, []],
  ];
  for (const [name, next, expected] of cases) {
    test(`${name}, and back`, async () => {
      const setup = await start([NODE_PORT, EPS]);
      const before = keys(setup);
      assert.deepEqual(await change(setup, next), expected.sort());
      assert.deepEqual(await change(setup, NODE_PORT), before);
      setup.proxy.stop();
    });
  }
});

test("a node port goes from one Service to another at once", async () => {
  const other = service("other", ["10.96.0.2"], [{ name: "http", port: 80 }]);
  const setup = await start([NODE_PORT, EPS, other]);
  const { client, nft } = setup;
  await client.update(SERVICES, service("web", ["10.96.0.1"], [{ name: "http", port: 80 }]));
  await client.update(SERVICES, service("other", ["10.96.0.2"], PORTS));
  await settle(setup, () => elements(nft)["no-endpoints4"]?.some((line) => line.startsWith("172.18.0.11")) === true);
  assert.deepEqual(keys(setup), ["10.96.0.1 . tcp . 80", "10.96.0.2 . tcp . 80", "172.18.0.11 . tcp . 30080"]);
  setup.proxy.stop();
});

test("what publishNotReadyAddresses makes ready is used, terminating or not", async () => {
  // The EndpointSlice controller says it in the condition (ready: true), beside what the pod says itself.
  const endpoints = [{ addresses: ["10.244.1.2"], conditions: { ready: true, serving: false, terminating: true } }];
  const shown: EndpointSlice = { ...EPS, endpoints };
  const setup = await start([NODE_PORT, shown]);
  assert.equal(elements(setup.nft)["endpoints4"]?.length, 2);
  setup.proxy.stop();
});
