import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Node, Pod } from "kubernetes-types/core/v1";
import { formatAddr, parseAddr } from "#ip";
import type { Stored } from "#kube";
import type { NetworkPolicy } from "#netpol";
import { whatIf } from "./answer.ts";
import type { LiveConnection } from "./connections.ts";
import { NO_OBJECTS, type Objects } from "./objects.ts";

const meta = (name: string, namespace?: string): Stored["metadata"] => ({
  name,
  uid: name,
  resourceVersion: "1",
  creationTimestamp: "",
  labels: { app: "store" },
  ...(namespace !== undefined && { namespace }),
});

function node(n: number): [string, Stored<Node>] {
  const addresses = [
    { type: "InternalIP", address: `172.18.0.1${n}` },
    { type: "ExternalIP", address: `203.0.113.${n}` },
    { type: "Hostname", address: `node-${n}` },
  ];
  const spec = { podCIDR: `10.244.${n}.0/24`, podCIDRs: [`10.244.${n}.0/24`, `fd00:10:244:${n}::/64`] };
  return [`node-${n}`, { apiVersion: "v1", kind: "Node", metadata: meta(`node-${n}`), spec, status: { addresses } }];
}

function pod(n: number, host = 5): [string, Stored<Pod>] {
  const podIPs = [{ ip: `10.244.${n}.${host}` }, { ip: `fd00:10:244:${n}::${host}` }];
  const spec = { nodeName: `node-${n}`, containers: [] };
  return [
    `shop/store-${n}`,
    { apiVersion: "v1", kind: "Pod", metadata: meta(`store-${n}`, "shop"), spec, status: { phase: "Running", podIPs } },
  ];
}

const CLOSED: Stored<NetworkPolicy> = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: meta("store", "shop"),
  spec: { podSelector: {}, policyTypes: ["Ingress", "Egress"] },
};

const BEFORE: Objects = {
  ...NO_OBJECTS,
  namespaces: new Map([["shop", { apiVersion: "v1", kind: "Namespace", metadata: meta("shop") }]]),
  nodes: new Map([node(1), node(2)]),
  pods: new Map([pod(1), pod(2)]),
};

/** Those of the connections that closing the namespace cuts, as `from to`. */
function cut(pairs: readonly string[], { before = BEFORE, seen = {} }: { before?: Objects; seen?: Record<string, string> } = {}): string[] {
  const connections = pairs.map((pair): LiveConnection => {
    const [from = "", to = ""] = pair.split(" ");
    return { from: parseAddr(from), to: parseAddr(to), protocol: 6, port: 8080 };
  });
  const after = { ...before, policies: new Map([["shop/store", CLOSED]]) };
  const nodeAddrs = new Map(Object.entries(seen).map(([name, addr]) => [name, [parseAddr(addr)]]));
  const answer = whatIf({ before, after, connections, nodeAddrs });
  return answer.connections.map(({ connection: { from, to } }) => `${formatAddr(from)} ${formatAddr(to)}`);
}

suite("live connections", () => {
  test("what a pod's own node says by whichever of its addresses passes, and what is said to it", () => {
    const own = ["10.244.1.1 10.244.1.5", "fd00:10:244:1::1 fd00:10:244:1::5", "172.18.0.11 10.244.1.5", "203.0.113.1 10.244.1.5"];
    const back = ["10.244.1.5 10.244.1.1", "10.244.1.5 172.18.0.11"];
    assert.deepEqual(cut([...own, ...back]), []);
  });

  test("another node is judged by its address, whichever it is", () => {
    const others = [
      "10.244.2.1 10.244.1.5",
      "172.18.0.12 10.244.1.5",
      "203.0.113.2 10.244.1.5",
      "10.244.1.5 10.244.2.1",
      "10.244.1.5 172.18.0.12",
    ];
    assert.deepEqual(cut(others), others);
  });

  test("a pod reaches itself, though others of its class are kept apart from it", () => {
    assert.deepEqual(cut(["10.244.1.5 10.244.1.5", "10.244.1.5 10.244.2.5"]), ["10.244.1.5 10.244.2.5"]);
  });

  test("an address that was seen on a link of the node", () => {
    const pairs = ["192.168.7.1 10.244.1.5", "192.168.7.1 10.244.2.5"];
    assert.deepEqual(cut(pairs), pairs);
    assert.deepEqual(cut(pairs, { seen: { "node-1": "192.168.7.1" } }), ["192.168.7.1 10.244.2.5"]);
  });

  test("where a pod has the first address of a Pod CIDR, it is the pod's", () => {
    const [, store] = pod(1, 1);
    const first = { ...store, metadata: { ...store.metadata, name: "first" } };
    const pods = new Map([...BEFORE.pods, ["shop/first", first] as const]);
    assert.deepEqual(cut(["10.244.1.1 10.244.1.5"], { before: { ...BEFORE, pods } }), ["10.244.1.1 10.244.1.5"]);
  });
});
