import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod, PodSpec } from "kubernetes-types/core/v1";
import { hostPorts, portsClash, type Stored } from "#kube";
import { Cluster } from "./cluster.ts";
import { pickNode } from "./compute.ts";
import { podRequests } from "./resources.ts";
import { tolerates } from "./taints.ts";

function meta(name: string, more: object = {}) {
  return { name, uid: `uid-${name}`, resourceVersion: "1", creationTimestamp: "2024-01-01T00:00:00Z", ...more };
}

interface NodeFields {
  readonly labels?: Record<string, string>;
  readonly spec?: Node["spec"];
  readonly ready?: string;
  readonly allocatable?: Record<string, string>;
}

function node(name: string, fields: NodeFields = {}): Stored<Node> {
  const { labels = {}, spec = {}, ready = "True", allocatable = { cpu: "2", memory: "4Gi", pods: "10" } } = fields;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: meta(name, { labels: { "kubernetes.io/hostname": name, ...labels } }),
    spec,
    status: { allocatable, conditions: [{ type: "Ready", status: ready }] },
  };
}

function pod(name: string, spec: Partial<PodSpec> = {}, metadata: object = {}): Stored<Pod> {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: meta(name, { namespace: "ns", ...metadata }),
    spec: { containers: [{ name: "c" }], ...spec },
  };
}

function asks(requests: Record<string, string>): Partial<PodSpec> {
  return { containers: [{ name: "c", resources: { requests } }] };
}

function owned(uid: string) {
  return { ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid, controller: true }] };
}

function pick(wanted: Stored<Pod>, nodes: Stored<Node>[], placed: [Stored<Pod>, string][] = []): string {
  const cluster = new Cluster();
  for (const n of nodes) cluster.setNode(n);
  for (const [p, where] of placed) cluster.place(p, where);
  const decision = pickNode(wanted, cluster.nodes());
  return decision.type === "node" ? decision.nodeName : decision.message;
}

const A = node("node-1");
const B = node("node-2");
const TAINT = { key: "dedicated", value: "db", effect: "NoSchedule" };
const PORT_80 = { containers: [{ name: "c", ports: [{ containerPort: 80, hostPort: 80 }] }] };
const near = (key: string) => ({ labelSelector: { matchLabels: { app: "db" } }, topologyKey: key });
const required = (term: object) => ({ requiredDuringSchedulingIgnoredDuringExecution: [near("zone")], ...term });
const ZONES = [node("node-1", { labels: { zone: "a" } }), node("node-2", { labels: { zone: "b" } })];
const DB = pod("db", {}, { labels: { app: "db" } });
const HATES_WEB = pod("db", {
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: { matchLabels: { app: "web" } }, topologyKey: "zone" }],
    },
  },
});

const CASES: readonly [string, string, Stored<Pod>, Stored<Node>[], [Stored<Pod>, string][]?][] = [
  ["no nodes", "no nodes available to schedule pods", pod("p"), []],
  ["the emptiest", "node-2", pod("p"), [A, B], [[pod("x"), "node-1"]]],
  ["the first of equals", "node-1", pod("p"), [node("node-10"), B, A]],
  [
    "fewest of the same owner before fewest pods",
    "node-2",
    pod("p", {}, owned("rs")),
    [A, B],
    [
      [pod("x", {}, owned("rs")), "node-1"],
      [pod("y"), "node-2"],
      [pod("z"), "node-2"],
    ],
  ],
  [
    "not ready",
    "0/2 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }.",
    pod("p"),
    [node("a", { ready: "False" }), node("b", { ready: "Unknown" })],
  ],
  ["not ready, tolerated", "a", pod("p", { tolerations: [{ operator: "Exists" }] }), [node("a", { ready: "False" })]],
  ["cordoned", "0/1 nodes are available: 1 node(s) were unschedulable.", pod("p"), [node("a", { spec: { unschedulable: true } })]],
  [
    "tainted",
    "0/2 nodes are available: 2 node(s) had untolerated taint {dedicated: db}.",
    pod("p"),
    [node("a", { spec: { taints: [TAINT] } }), node("b", { spec: { taints: [TAINT] } })],
  ],
  ["tainted, tolerated", "a", pod("p", { tolerations: [{ key: "dedicated", value: "db" }] }), [node("a", { spec: { taints: [TAINT] } })]],
  [
    "rather not",
    "node-2",
    pod("p"),
    [node("node-1", { spec: { taints: [{ ...TAINT, effect: "PreferNoSchedule" }] } }), B],
    [[pod("x"), "node-2"]],
  ],
  ["nodeSelector", "node-2", pod("p", { nodeSelector: { disk: "ssd" } }), [A, node("node-2", { labels: { disk: "ssd" } })]],
  [
    "nodeSelector of no node",
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    pod("p", { nodeSelector: { disk: "ssd" } }),
    [A],
  ],
  [
    "node affinity",
    "node-2",
    pod("p", {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: "gen", operator: "Gt", values: ["3"] }] }],
          },
        },
      },
    }),
    [node("node-1", { labels: { gen: "3" } }), node("node-2", { labels: { gen: "4" } })],
  ],
  [
    "node affinity by name",
    "node-2",
    pod("p", {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["node-2"] }] }],
          },
        },
      },
    }),
    [A, B],
  ],
  [
    "preferred node",
    "node-2",
    pod("p", {
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 5, preference: { matchExpressions: [{ key: "ssd", operator: "Exists" }] } },
          ],
        },
      },
    }),
    [A, node("node-2", { labels: { ssd: "" } })],
    [[pod("x"), "node-2"]],
  ],
  ["host port free elsewhere", "node-2", pod("p", PORT_80), [A, B], [[pod("x", PORT_80), "node-1"]]],
  [
    "host port taken",
    "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
    pod("p", PORT_80),
    [A],
    [[pod("x", PORT_80), "node-1"]],
  ],
  [
    "cpu and memory",
    "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
    pod("p", asks({ cpu: "1500m", memory: "3Gi" })),
    [A],
    [[pod("x", asks({ cpu: "1", memory: "2Gi" })), "node-1"]],
  ],
  ["cpu elsewhere", "node-2", pod("p", asks({ cpu: "1500m" })), [A, B], [[pod("x", asks({ cpu: "1" })), "node-1"]]],
  [
    "a resource that the node does not have",
    "0/1 nodes are available: 1 Insufficient example.com/gpu.",
    pod("p", asks({ "example.com/gpu": "1" })),
    [A],
  ],
  [
    "too many pods",
    "0/1 nodes are available: 1 Too many pods.",
    pod("p"),
    [node("a", { allocatable: { cpu: "2", pods: "1" } })],
    [[pod("x"), "a"]],
  ],
  ["near", "node-2", pod("p", { affinity: { podAffinity: required({}) } }), ZONES, [[DB, "node-2"]]],
  [
    "near nobody",
    "0/2 nodes are available: 2 node(s) didn't match pod affinity rules.",
    pod("p", { affinity: { podAffinity: required({}) } }),
    ZONES,
  ],
  [
    "near itself: the first may go anywhere",
    "node-1",
    pod("p", { affinity: { podAffinity: required({}) } }, { labels: { app: "db" } }),
    ZONES,
  ],
  [
    "far",
    "node-1",
    pod("p", { affinity: { podAntiAffinity: required({}) } }),
    ZONES,
    [
      [DB, "node-2"],
      [pod("x"), "node-1"],
    ],
  ],
  [
    "kept away by others",
    "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
    pod("p", {}, { labels: { app: "web" } }),
    [ZONES[0] ?? A],
    [[HATES_WEB, "node-1"]],
  ],
  [
    "spread over zones",
    "node-1",
    pod(
      "p",
      {
        topologySpreadConstraints: [
          { maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule", labelSelector: { matchLabels: { app: "db" } } },
        ],
      },
      { labels: { app: "db" } },
    ),
    ZONES,
    [
      [DB, "node-2"],
      [pod("x"), "node-1"],
      [pod("y"), "node-1"],
    ],
  ],
];

for (const [name, expected, wanted, nodes, placed] of CASES) {
  test(`scheduling: ${name}`, () => assert.equal(pick(wanted, nodes, placed), expected));
}

test("nine pods of one owner spread evenly over three nodes", () => {
  const cluster = new Cluster();
  for (const n of [A, B, node("node-3")]) cluster.setNode(n);
  const counts: Record<string, number> = {};
  for (let i = 0; i < 9; i++) {
    const p = pod(`p${i}`, {}, owned("rs"));
    const decision = pickNode(p, cluster.nodes());
    assert.equal(decision.type, "node");
    if (decision.type !== "node") return;
    counts[decision.nodeName] = (counts[decision.nodeName] ?? 0) + 1;
    cluster.place(p, decision.nodeName);
  }
  assert.deepEqual(counts, { "node-1": 3, "node-2": 3, "node-3": 3 });
});

test("what is removed is free again, also on a node that was not known yet", () => {
  const cluster = new Cluster();
  cluster.place(pod("x", asks({ cpu: "2" })), "node-1");
  cluster.setNode(A);
  assert.equal(pickNode(pod("p", asks({ cpu: "1" })), cluster.nodes()).type, "none");
  assert.ok(cluster.remove("ns/x"));
  assert.ok(!cluster.remove("ns/x"));
  assert.equal(pickNode(pod("p", asks({ cpu: "2" })), cluster.nodes()).type, "node");
});

test("requests: containers and sidecars together, or the largest init container with the sidecars before it", () => {
  const cpu = (n: number, more: object = {}) => ({ name: "c", resources: { requests: { cpu: `${n}m` } }, ...more });
  const sidecar = { restartPolicy: "Always" };
  const requests = (spec: Partial<PodSpec>) => podRequests(pod("p", spec))["cpu"];
  assert.equal(requests({ containers: [cpu(100), cpu(200)] }), 300);
  assert.equal(requests({ containers: [cpu(100)], initContainers: [cpu(500)] }), 500);
  assert.equal(requests({ containers: [cpu(100)], initContainers: [cpu(50, sidecar), cpu(500)] }), 550);
  assert.equal(requests({ containers: [cpu(100)], initContainers: [cpu(50, sidecar)], overhead: { cpu: "10m" } }), 160);
  assert.equal(requests({ containers: [{ name: "c", resources: { limits: { cpu: "1" } } }] }), 1000);
});

const PORTS: readonly [string, string, boolean][] = [
  ["TCP/0.0.0.0/80", "TCP/0.0.0.0/80", true],
  ["TCP/0.0.0.0/80", "UDP/0.0.0.0/80", false],
  ["TCP/10.0.0.1/80", "TCP/10.0.0.2/80", false],
  ["TCP/10.0.0.1/80", "TCP/0.0.0.0/80", true],
  ["TCP/0.0.0.0/80", "TCP/10.0.0.1/80", true],
  ["TCP/0.0.0.0/80", "TCP/10.0.0.1/180", false],
  ["SCTP/0.0.0.0/80", "TCP/0.0.0.0/80", false],
  ["UDP/0.0.0.0/80", "TCP/10.0.0.1/80", false],
  ["TCP/127.0.0.1/80", "TCP/127.0.0.1/80", true],
  ["TCP/fd00::1/80", "TCP/0.0.0.0/80", true],
];

for (const [want, have, expected] of PORTS) {
  test(`ports: ${want} beside ${have}`, () => assert.equal(portsClash([want], new Map([[have, 1]])), expected));
}

test("a pod in its node's network takes its container ports", () => {
  const spec = { hostNetwork: true, containers: [{ name: "c", ports: [{ containerPort: 53, protocol: "UDP" }] }] };
  assert.deepEqual(hostPorts(pod("p", spec)), ["UDP/0.0.0.0/53"]);
});

test("every address of the node, however it is written; sidecars, but no init containers that end", () => {
  const ports = (hostIP?: string) => [{ containerPort: 8080, hostPort: 80, ...(hostIP !== undefined && { hostIP }) }];
  for (const hostIP of [undefined, "", "0.0.0.0", "::"]) {
    assert.deepEqual(hostPorts(pod("p", { containers: [{ name: "c", ports: ports(hostIP) }] })), ["TCP/0.0.0.0/80"]);
  }
  const initContainers = [
    { name: "proxy", restartPolicy: "Always", ports: ports("10.0.0.1") },
    { name: "init", ports: ports() },
  ];
  assert.deepEqual(hostPorts(pod("p", { containers: [{ name: "c" }], initContainers })), ["TCP/10.0.0.1/80"]);
});

const TOLERATIONS: readonly [object, boolean][] = [
  [{ key: "dedicated", operator: "Equal", value: "db", effect: "NoSchedule" }, true],
  [{ key: "dedicated", value: "web" }, false],
  [{ key: "dedicated", operator: "Exists" }, true],
  [{ operator: "Exists" }, true],
  [{ operator: "Exists", effect: "NoExecute" }, false],
  [{ key: "other", operator: "Exists" }, false],
];

for (const [toleration, expected] of TOLERATIONS) {
  test(`toleration ${JSON.stringify(toleration)}`, () => assert.equal(tolerates([toleration], TAINT), expected));
}
