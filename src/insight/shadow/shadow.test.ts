import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatAddr, parseAddr, parsePrefix } from "#ip";
import { prepareNetwork, type Question, type RoundTrip, roundTrips, TCP, UDP } from "#model";
import { createShadow, OUTSIDE, type ShadowObjects, type ShadowOptions, shadowNetwork } from "./index.ts";
import { endpointSlice, namespace, networkPolicy, node, pod, service } from "./testing/objects.ts";

const OPTIONS: ShadowOptions = {
  podCidrs: ["10.244.0.0/16", "fd00:10:244::/56"].map((text) => parsePrefix(text)),
  serviceCidrs: ["10.96.0.0/16", "fd00:10:96::/112"].map((text) => parsePrefix(text)),
};

const WEB = [{ name: "http", containerPort: 8080 }];
const CLIENT = pod("a/client", { node: 1, n: 2 });
const SERVER = pod("b/server", { node: 2, n: 2, ports: WEB });
const NEIGHBOUR = pod("b/neighbour", { node: 2, n: 3, ports: WEB });

const OBJECTS: ShadowObjects = {
  nodes: [node(1), node(2)],
  namespaces: [namespace("a"), namespace("b")],
  pods: [CLIENT, SERVER, NEIGHBOUR],
  services: [service("b/web", { clusterIPs: ["10.96.0.1", "fd00:10:96::1"], ports: [{ port: 80, targetPort: 8080, nodePort: 30_080 }] })],
  endpointSlices: [endpointSlice("b/web", 4, [SERVER], [{ port: 8080 }]), endpointSlice("b/web", 6, [SERVER], [{ port: 8080 }])],
  networkPolicies: [],
};

function say({ outcome }: RoundTrip): string {
  if (outcome.kind === "answered") return `${outcome.by} sees ${formatAddr(outcome.seenAs.addr)}`;
  return outcome.kind === "refused" ? `${outcome.by} refuses: ${outcome.why}` : `silence in ${outcome.at}: ${outcome.why}`;
}

type Asked = Partial<Question> & { readonly options?: ShadowOptions };

function ask(objects: ShadowObjects, from: string, to: string, { options = OPTIONS, ...more }: Asked = {}): string[] {
  const network = prepareNetwork(shadowNetwork(objects, options));
  const question: Question = { from, protocol: TCP, dst: parseAddr(to), dstPort: 8080, ...more };
  return [...new Set(roundTrips(network, question).map(({ result }) => say(result)))].sort();
}

describe("a cluster from its objects alone", () => {
  for (const overlay of ["vxlan", "host-gw"] as const) {
    const options = { ...OPTIONS, overlay };
    test(`${overlay}: pods reach pods, the outside sees the node`, () => {
      assert.deepEqual(ask(OBJECTS, "a/client", "10.244.2.2", { options }), ["b/server sees 10.244.1.2"]);
      assert.deepEqual(ask(OBJECTS, "a/client", "fd00:10:244:2::2", { options }), ["b/server sees fd00:10:244:1::2"]);
      assert.deepEqual(ask(OBJECTS, "b/server", "10.244.2.3", { options }), ["b/neighbour sees 10.244.2.2"]);
      const listeners = { [OUTSIDE]: [{ protocol: TCP, port: 8080 }] };
      assert.deepEqual(ask(OBJECTS, "a/client", "203.0.113.2", { options: { ...options, listeners } }), ["outside sees 172.18.0.11"]);
    });

    test(`${overlay}: Services, from pods, nodes and the outside`, () => {
      assert.deepEqual(ask(OBJECTS, "a/client", "10.96.0.1", { dstPort: 80, options }), ["b/server sees 10.244.1.2"]);
      assert.deepEqual(ask(OBJECTS, "b/server", "10.96.0.1", { dstPort: 80, options }), ["b/server sees 10.244.2.1"]);
      assert.deepEqual(ask(OBJECTS, OUTSIDE, "172.18.0.12", { dstPort: 30_080, options }), ["b/server sees 10.244.2.1"]);
      assert.deepEqual(ask(OBJECTS, "a/client", "10.96.0.1", { dstPort: 81, options }), ["node-1 refuses: rule"]);
      assert.deepEqual(ask(OBJECTS, "a/client", "10.96.0.9", { dstPort: 80, options }), ["silence in node-1: rule"]);
    });
  }

  test("what Pods declare is what listens; on a node's network it is the node that does", () => {
    assert.deepEqual(ask(OBJECTS, "a/client", "10.244.2.2", { protocol: UDP }), ["b/server refuses: port closed"]);
    const onHost = pod("b/host", { node: 2, n: 9, ports: [{ containerPort: 9100 }], hostNetwork: true });
    const objects = { ...OBJECTS, pods: [...OBJECTS.pods, onHost] };
    assert.deepEqual(ask(objects, "a/client", "172.18.0.12", { dstPort: 9100 }), ["node-2 sees 172.18.0.11"]);
    assert.deepEqual(ask(objects, "a/client", "172.18.0.12", { dstPort: 10_250 }), ["node-2 sees 172.18.0.11"]);
  });

  test("host ports lead to their pods", () => {
    const exposed = pod("b/exposed", { node: 2, n: 9, ports: [{ containerPort: 8080, hostPort: 8000 }] });
    const objects = { ...OBJECTS, pods: [...OBJECTS.pods, exposed] };
    assert.deepEqual(ask(objects, OUTSIDE, "172.18.0.12", { dstPort: 8000 }), ["b/exposed sees 203.0.113.2"]);
  });

  test("policies, at both ends", () => {
    const deny = networkPolicy("b/deny", { podSelector: {} });
    const from = [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "a" } } }];
    const allow = networkPolicy("b/allow", {
      podSelector: { matchLabels: { name: "server" } },
      ingress: [{ from, ports: [{ port: "http" }] }],
    });
    const closed = { ...OBJECTS, networkPolicies: [deny] };
    assert.deepEqual(ask(closed, "a/client", "10.96.0.1", { dstPort: 80 }), ["silence in node-2: rule"]);
    assert.deepEqual(ask(closed, "node-2", "10.244.2.2"), ["b/server sees 10.244.2.1"]);
    const open = { ...OBJECTS, networkPolicies: [deny, allow] };
    assert.deepEqual(ask(open, "a/client", "10.96.0.1", { dstPort: 80 }), ["b/server sees 10.244.1.2"]);
    assert.deepEqual(ask(open, "b/neighbour", "10.244.2.2"), ["silence in node-2: rule"]);
    const egress = networkPolicy("a/none", { podSelector: {}, policyTypes: ["Egress"] });
    assert.deepEqual(ask({ ...open, networkPolicies: [egress] }, "a/client", "10.244.2.2"), ["silence in node-1: rule"]);
  });

  test("pods that have ended, or have no address or node yet, are not there", () => {
    const gone = [
      pod("a/done", { node: 1, n: 8, phase: "Succeeded" }),
      { ...pod("a/waits", { node: 1, n: 9 }), status: {} },
      { ...pod("a/nowhere", { node: 1, n: 9 }), spec: { containers: [] } },
    ];
    const { namespaces } = shadowNetwork({ ...OBJECTS, pods: [...OBJECTS.pods, ...gone] }, OPTIONS);
    const names = namespaces.map(({ name }) => name).sort();
    assert.deepEqual(names, ["a/client", "b/neighbour", "b/server", "node-1", "node-2", "outside", "underlay"]);
  });

  test("nodes with other addresses than the sandbox's, and without a name for anything", () => {
    const nodes = [1, 2].map((n) => ({ ...node(n), status: { addresses: [{ type: "InternalIP", address: `192.168.${n}.7` }] } }));
    const options = { overlay: "host-gw" } as const;
    assert.deepEqual(ask({ ...OBJECTS, nodes }, "a/client", "10.244.2.2", { options }), ["b/server sees 10.244.1.2"]);
    assert.deepEqual(ask({ ...OBJECTS, nodes }, "a/client", "10.96.0.1", { dstPort: 80, options }), ["b/server sees 10.244.1.2"]);
  });
});

describe("what two states share", () => {
  const tableOf = (state: ReturnType<typeof shadowNetwork>, name: string, table: string): unknown =>
    state.namespaces.find((one) => one.name === name)?.tables?.find((one) => one.name === table);

  test("the same objects, in lists of their own: the same namespaces", () => {
    const shadow = createShadow(OPTIONS);
    const [first, second] = [OBJECTS, { ...OBJECTS, pods: [...OBJECTS.pods], nodes: [...OBJECTS.nodes] }].map((one) => shadow.network(one));
    assert.deepEqual(
      first?.namespaces.map((one, i) => one === second?.namespaces[i]).filter((same) => !same),
      [],
    );
  });

  test("a policy changes the table of the node of its pods", () => {
    const shadow = createShadow(OPTIONS);
    const before = shadow.network(OBJECTS);
    const after = shadow.network({ ...OBJECTS, networkPolicies: [networkPolicy("b/deny", { podSelector: {} })] });
    const changed = after.namespaces.filter((one) => !before.namespaces.includes(one)).map(({ name }) => name);
    assert.deepEqual(changed, ["node-2"]);
    assert.equal(tableOf(before, "node-2", "fairlead-proxy"), tableOf(after, "node-2", "fairlead-proxy"));
    assert.notEqual(tableOf(before, "node-2", "fairlead-policy"), tableOf(after, "node-2", "fairlead-policy"));
    const again = shadow.network(OBJECTS);
    assert.deepEqual(
      again.namespaces.find(({ name }) => name === "node-2")?.tables,
      before.namespaces.find(({ name }) => name === "node-2")?.tables,
    );
  });

  test("a Service without a change for a node changes nothing there; one with it, its table", () => {
    const shadow = createShadow(OPTIONS);
    const before = shadow.network(OBJECTS);
    const same = shadow.network({ ...OBJECTS, services: OBJECTS.services.map((one) => ({ ...one })) });
    assert.equal(tableOf(before, "node-1", "fairlead-proxy"), tableOf(same, "node-1", "fairlead-proxy"));
    const other = shadow.network({ ...OBJECTS, services: [] });
    assert.notEqual(tableOf(before, "node-1", "fairlead-proxy"), tableOf(other, "node-1", "fairlead-proxy"));
    const { pods } = OBJECTS;
    const client = (state: typeof before): unknown => state.namespaces.find(({ name }) => name === "a/client");
    assert.equal(client(before), client(other));
    const relabelled = shadow.network({ ...OBJECTS, services: [], pods: pods.map((one) => (one === SERVER ? { ...one } : one)) });
    assert.deepEqual(
      relabelled.namespaces.filter((one) => !other.namespaces.includes(one)).map(({ name }) => name),
      ["node-2", "b/server"],
    );
  });
});
