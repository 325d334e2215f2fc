import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container, ContainerState, ContainerStatus, Pod } from "kubernetes-types/core/v1";
import { humanDuration } from "./duration.ts";
import * as resources from "./resources.ts";
import { tableOf } from "./table.ts";
import type { KubeObject, Resource } from "./types.ts";

const { PODS, RESOURCES } = resources;
const NOW = Date.parse("2025-06-01T12:00:00Z");
const meta = (name: string): { name: string; namespace: string; creationTimestamp: string } => ({
  name,
  namespace: "shop",
  creationTimestamp: "2025-06-01T11:55:00Z",
});

const S = 1000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;
for (const [ms, text] of [
  [-2 * S, "<invalid>"],
  [-S, "0s"],
  [0, "0s"],
  [119 * S, "119s"],
  [2 * M, "2m"],
  [5 * M + 30 * S, "5m30s"],
  [10 * M + 5 * S, "10m"],
  [179 * M, "179m"],
  [3 * H, "3h"],
  [3 * H + 5 * M, "3h5m"],
  [8 * H + 5 * M, "8h"],
  [47 * H, "47h"],
  [2 * D + 3 * H, "2d3h"],
  [8 * D + H, "8d"],
  [729 * D, "729d"],
  [2 * 365 * D + D, "2y1d"],
  [8 * 365 * D + D, "8y"],
] as const) {
  test(`${ms} ms is ${text}`, () => assert.equal(humanDuration(ms), text));
}

type PodCase = [string, Partial<NonNullable<Pod["spec"]>>, NonNullable<Pod["status"]>, readonly unknown[]];

const main: Container[] = [{ name: "a" }, { name: "b" }];
function status(name: string, state: ContainerState, rest: Partial<ContainerStatus> = {}): ContainerStatus {
  return { name, state, ready: false, restartCount: 0, image: "", imageID: "", ...rest };
}
const running = (name: string, rest: Partial<ContainerStatus> = {}): ContainerStatus =>
  status(name, { running: {} }, { ready: true, ...rest });
const lastState = { terminated: { exitCode: 1, finishedAt: "2025-06-01T11:59:30Z" } };

// [what, spec, status, READY STATUS RESTARTS]
const POD_CASES: PodCase[] = [
  ["nothing reported yet", {}, { phase: "Pending" }, ["0/2", "Pending", "0"]],
  ["reason of the pod", {}, { phase: "Failed", reason: "Evicted" }, ["0/2", "Evicted", "0"]],
  [
    "gated",
    {},
    { phase: "Pending", conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }] },
    ["0/2", "SchedulingGated", "0"],
  ],
  ["running", {}, { phase: "Running", containerStatuses: [running("a"), running("b")] }, ["2/2", "Running", "0"]],
  [
    "restarted",
    {},
    { phase: "Running", containerStatuses: [running("a", { restartCount: 3, lastState }), running("b")] },
    ["2/2", "Running", "3 (30s ago)"],
  ],
  [
    "crash loop",
    {},
    { phase: "Running", containerStatuses: [status("a", { waiting: { reason: "CrashLoopBackOff" } }), running("b")] },
    ["1/2", "CrashLoopBackOff", "0"],
  ],
  [
    "completed",
    {},
    { phase: "Succeeded", containerStatuses: [status("a", { terminated: { exitCode: 0, reason: "Completed" } })] },
    ["0/2", "Completed", "0"],
  ],
  [
    "one completed, one runs, pod not ready",
    {},
    { phase: "Running", containerStatuses: [status("a", { terminated: { exitCode: 0, reason: "Completed" } }), running("b")] },
    ["1/2", "NotReady", "0"],
  ],
  [
    "one completed, one runs, pod ready",
    {},
    {
      phase: "Running",
      conditions: [{ type: "Ready", status: "True" }],
      containerStatuses: [status("a", { terminated: { exitCode: 0, reason: "Completed" } }), running("b")],
    },
    ["1/2", "Running", "0"],
  ],
  ["exit code", {}, { phase: "Failed", containerStatuses: [status("a", { terminated: { exitCode: 3 } })] }, ["0/2", "ExitCode:3", "0"]],
  [
    "signal",
    {},
    { phase: "Failed", containerStatuses: [status("a", { terminated: { exitCode: 137, signal: 9 } })] },
    ["0/2", "Signal:9", "0"],
  ],
  [
    "init containers under way",
    { initContainers: [{ name: "i" }, { name: "j" }] },
    {
      phase: "Pending",
      initContainerStatuses: [status("i", { terminated: { exitCode: 0 } }), status("j", { running: {} })],
      containerStatuses: [status("a", { waiting: { reason: "PodInitializing" } })],
    },
    ["0/2", "Init:1/2", "0"],
  ],
  [
    "init container fails",
    { initContainers: [{ name: "i" }] },
    { phase: "Pending", initContainerStatuses: [status("i", { waiting: { reason: "CrashLoopBackOff" } }, { restartCount: 2 })] },
    ["0/2", "Init:CrashLoopBackOff", "2"],
  ],
  [
    "init container ended",
    { initContainers: [{ name: "i" }] },
    { phase: "Failed", initContainerStatuses: [status("i", { terminated: { exitCode: 1, reason: "Error" } })] },
    ["0/2", "Init:Error", "0"],
  ],
  [
    "init container ended with a code",
    { initContainers: [{ name: "i" }] },
    { phase: "Failed", initContainerStatuses: [status("i", { terminated: { exitCode: 4 } })] },
    ["0/2", "Init:ExitCode:4", "0"],
  ],
  [
    "sidecar",
    { initContainers: [{ name: "i", restartPolicy: "Always" } as Container] },
    {
      phase: "Running",
      initContainerStatuses: [{ ...running("i", { restartCount: 1 }), started: true }],
      containerStatuses: [running("a"), running("b")],
    },
    ["3/3", "Running", "1"],
  ],
];
for (const [name, spec, podStatus, expected] of POD_CASES) {
  test(`pod: ${name}`, () => {
    const pod: Pod = { metadata: meta("web"), spec: { containers: main, ...spec }, status: podStatus };
    const cells = tableOf(PODS, [pod], { now: NOW }).rows[0]?.cells;
    assert.deepEqual(cells?.slice(0, 5), ["web", ...expected, "5m"]);
  });
}

test("pod: deleted, wide columns, conditions", () => {
  const pod: Pod = {
    metadata: { ...meta("web"), deletionTimestamp: "2025-06-01T12:00:00Z" },
    spec: { containers: main, nodeName: "node-1", readinessGates: [{ conditionType: "x" }, { conditionType: "y" }] },
    status: { phase: "Running", podIPs: [{ ip: "10.244.1.2" }], conditions: [{ type: "x", status: "True" }] },
  };
  assert.deepEqual(tableOf(PODS, [pod], { now: NOW }).rows[0]?.cells.slice(2), [
    "Terminating",
    "0",
    "5m",
    "10.244.1.2",
    "node-1",
    "<none>",
    "1/2",
  ]);
  const done = { ...pod, status: { phase: "Succeeded" } };
  const row = tableOf(PODS, [done], { now: NOW }).rows[0];
  assert.equal(row?.cells[2], "Succeeded");
  assert.equal(row?.conditions?.[0]?.type, "Completed");
});

const template = { spec: { containers: [{ name: "web", image: "agnhost" }] } };
const selector = { matchLabels: { app: "web" } };

const CASES: [Resource<KubeObject>, object, readonly unknown[]][] = [
  [
    resources.NODES,
    {
      metadata: { labels: { "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "" } },
      spec: { unschedulable: true },
      status: {
        conditions: [{ type: "Ready", status: "True" }],
        addresses: [{ type: "InternalIP", address: "172.18.0.11" }],
        nodeInfo: { kubeletVersion: "v1.33.0", osImage: "Debian", kernelVersion: "6.1" },
      },
    },
    ["x", "Ready,SchedulingDisabled", "control-plane,worker", "5m", "v1.33.0", "172.18.0.11", "<none>", "Debian", "6.1", "<unknown>"],
  ],
  [
    resources.NODES,
    { status: { conditions: [{ type: "Ready", status: "Unknown" }] } },
    ["x", "NotReady", "<none>", "5m", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"],
  ],
  [
    resources.SERVICES,
    {
      spec: {
        type: "NodePort",
        clusterIPs: ["10.96.0.5", "fd00::5"],
        ports: [
          { port: 80, nodePort: 30080 },
          { port: 53, protocol: "UDP" },
        ],
        selector: { b: "2", a: "1" },
      },
    },
    ["x", "NodePort", "10.96.0.5", "<none>", "80:30080/TCP,53/UDP", "5m", "a=1,b=2"],
  ],
  [
    resources.SERVICES,
    { spec: { type: "ExternalName", externalName: "example.com" } },
    ["x", "ExternalName", "<none>", "example.com", "<none>", "5m", "<none>"],
  ],
  [
    resources.SERVICES,
    { spec: { type: "LoadBalancer", clusterIPs: ["10.96.0.6"], ports: [{ port: 1, protocol: "TCP" }] }, status: {} },
    ["x", "LoadBalancer", "10.96.0.6", "<pending>", "1/TCP", "5m", "<none>"],
  ],
  [
    resources.SERVICES,
    {
      spec: { type: "LoadBalancer", clusterIPs: ["10.96.0.6"], externalIPs: ["9.9.9.9"] },
      status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }, { hostname: "lb.example" }] } },
    },
    ["x", "LoadBalancer", "10.96.0.6", "192.0.2.1,lb.example,9.9.9.9", "<none>", "5m", "<none>"],
  ],
  [
    resources.SERVICES,
    { spec: { type: "ClusterIP", clusterIPs: ["None"] } },
    ["x", "ClusterIP", "None", "<none>", "<none>", "5m", "<none>"],
  ],
  [
    resources.DEPLOYMENTS,
    { spec: { replicas: 3, selector, template }, status: { readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1 } },
    ["x", "2/3", 3, 1, "5m", "web", "agnhost", "app=web"],
  ],
  [
    resources.REPLICA_SETS,
    { spec: { replicas: 3, selector, template }, status: { replicas: 2 } },
    ["x", 3, 2, 0, "5m", "web", "agnhost", "app=web"],
  ],
  [
    resources.REPLICATION_CONTROLLERS,
    { spec: { replicas: 1, selector: { a: "b" }, template } },
    ["x", 1, 0, 0, "5m", "web", "agnhost", "a=b"],
  ],
  [resources.STATEFUL_SETS, { spec: { replicas: 2, template }, status: { readyReplicas: 1 } }, ["x", "1/2", "5m", "web", "agnhost"]],
  [
    resources.DAEMON_SETS,
    {
      spec: { selector, template: { spec: { ...template.spec, nodeSelector: { os: "linux" } } } },
      status: { desiredNumberScheduled: 3, currentNumberScheduled: 3, numberReady: 2, updatedNumberScheduled: 3, numberAvailable: 2 },
    },
    ["x", 3, 3, 2, 3, 2, "os=linux", "5m", "web", "agnhost", "app=web"],
  ],
  [
    resources.CONTROLLER_REVISIONS,
    { revision: 4, metadata: { ownerReferences: [{ apiVersion: "apps/v1", kind: "DaemonSet", name: "d", uid: "u", controller: true }] } },
    ["x", "daemonset.apps/d", 4, "5m"],
  ],
  [
    resources.JOBS,
    { spec: { completions: 3, template, selector }, status: { succeeded: 1, startTime: "2025-06-01T11:58:30Z" } },
    ["x", "Running", "1/3", "90s", "5m", "web", "agnhost", "app=web"],
  ],
  [
    resources.JOBS,
    {
      spec: { parallelism: 2, template },
      status: {
        conditions: [{ type: "Complete", status: "True" }],
        startTime: "2025-06-01T11:58:30Z",
        completionTime: "2025-06-01T11:58:40Z",
      },
    },
    ["x", "Complete", "0/1 of 2", "10s", "5m", "web", "agnhost", "<none>"],
  ],
  [
    resources.CRON_JOBS,
    {
      spec: { schedule: "* * * * *", suspend: false, jobTemplate: { spec: { template } } },
      status: { lastScheduleTime: "2025-06-01T11:59:00Z" },
    },
    ["x", "* * * * *", "<none>", "False", 0, "60s", "5m", "web", "agnhost", "<none>"],
  ],
  [
    resources.ENDPOINTS,
    { subsets: [{ addresses: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }], ports: [{ port: 80 }, { port: 443 }] }] },
    ["x", "10.0.0.1:80,[fd00::1]:80,10.0.0.1:443 + 1 more...", "5m"],
  ],
  [resources.ENDPOINTS, {}, ["x", "<none>", "5m"]],
  [
    resources.ENDPOINT_SLICES,
    { addressType: "IPv4", ports: [{ port: 80 }, {}], endpoints: ["1", "2", "3", "4", "5"].map((n) => ({ addresses: [`10.0.0.${n}`] })) },
    ["x", "IPv4", "80,*", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...", "5m"],
  ],
  [resources.ENDPOINT_SLICES, { addressType: "IPv6", endpoints: [] }, ["x", "IPv6", "<unset>", "<unset>", "5m"]],
  [resources.NETWORK_POLICIES, { spec: { podSelector: {} } }, ["x", "<none>", "5m"]],
  [
    resources.INGRESSES,
    { spec: { rules: [{ host: "a.example" }, {}], tls: [{}] }, status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } } },
    ["x", "<none>", "a.example", "192.0.2.1", "80, 443", "5m"],
  ],
  [
    resources.INGRESS_CLASSES,
    { spec: { controller: "c.example/x", parameters: { apiGroup: "g.example", kind: "P", name: "n" } } },
    ["x", "c.example/x", "P.g.example/n", "5m"],
  ],
  [resources.SERVICE_CIDRS, { spec: { cidrs: ["10.96.0.0/16", "fd00::/108"] } }, ["x", "10.96.0.0/16,fd00::/108", "5m"]],
  [
    resources.IP_ADDRESSES,
    { spec: { parentRef: { group: "g.example", resource: "things", namespace: "ns", name: "n" } } },
    ["x", "things.g.example/ns/n", "5m"],
  ],
  [resources.NAMESPACES, { status: { phase: "Active" } }, ["x", "Active", "5m"]],
  [resources.SECRETS, { type: "Opaque", data: { a: "", b: "" } }, ["x", "Opaque", 2, "5m"]],
  [resources.CONFIG_MAPS, { data: { a: "" }, binaryData: { b: "" } }, ["x", 2, "5m"]],
  [resources.SERVICE_ACCOUNTS, {}, ["x", 0, "5m"]],
  [resources.LEASES, { spec: { holderIdentity: "node-1" } }, ["x", "node-1", "5m"]],
  [resources.LIMIT_RANGES, {}, ["x", "2025-06-01T11:55:00Z"]],
  [
    resources.RESOURCE_QUOTAS,
    { status: { hard: { pods: "10", "limits.cpu": "4", cpu: "2" }, used: { pods: "3", "limits.cpu": "1" } } },
    ["x", "cpu: 0/2, pods: 3/10", "limits.cpu: 1/4", "5m"],
  ],
  [
    resources.PERSISTENT_VOLUMES,
    {
      spec: {
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteMany", "ReadWriteOnce"],
        persistentVolumeReclaimPolicy: "Retain",
        claimRef: { namespace: "shop", name: "data" },
        volumeMode: "Filesystem",
      },
      status: { phase: "Bound" },
    },
    ["x", "1Gi", "RWO,RWX", "Retain", "Bound", "shop/data", "", "<unset>", "", "5m", "Filesystem"],
  ],
  [
    resources.PERSISTENT_VOLUME_CLAIMS,
    { spec: { volumeName: "v" }, status: { phase: "Bound", capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"] } },
    ["x", "Bound", "v", "1Gi", "RWO", "", "<unset>", "5m", "<unset>"],
  ],
  [
    resources.CORE_EVENTS,
    {
      involvedObject: { kind: "Pod", name: "web", fieldPath: "spec.containers{a}" },
      reason: "Started",
      message: " Started it\n",
      type: "Normal",
      firstTimestamp: "2025-06-01T11:50:00Z",
      lastTimestamp: "2025-06-01T11:59:00Z",
      count: 4,
      source: { component: "kubelet", host: "node-1" },
    },
    ["60s", "Normal", "Started", "pod/web", "spec.containers{a}", "kubelet, node-1", "Started it", "10m", 4, "x"],
  ],
  [
    resources.EVENTS,
    {
      regarding: { kind: "Pod", name: "web" },
      reason: "Scheduled",
      note: "ok",
      type: "Normal",
      eventTime: "2025-06-01T11:59:00.000000Z",
      reportingController: "scheduler",
      series: { count: 3, lastObservedTime: "2025-06-01T11:59:50.000000Z" },
    },
    ["10s", "Normal", "Scheduled", "pod/web", "", "scheduler", "ok", "60s", 3, "x"],
  ],
];
for (const [resource, object, expected] of CASES) {
  test(`${resource.kind}: ${JSON.stringify(expected)}`, () => {
    const extra = (object as KubeObject).metadata;
    const table = tableOf(resource, [{ ...object, metadata: { ...meta("x"), ...extra } }], { now: NOW });
    assert.deepEqual(table.rows[0]?.cells, expected);
  });
}

test("every kind has as many cells as columns, also for an empty object", () => {
  for (const resource of RESOURCES) {
    const table = tableOf(resource, [{ metadata: meta("x") }], { now: NOW });
    assert.equal(table.rows[0]?.cells.length, table.columnDefinitions.length, resource.kind);
    assert.ok(table.columnDefinitions.every((c) => c.description !== ""));
    assert.ok(table.columnDefinitions.some((c) => c.name === "Name" && c.format === "name"));
  }
});

test("what rows carry, and tables of watches and of unknown kinds", () => {
  const object = { apiVersion: "x/v1", kind: "Widget", metadata: meta("w"), spec: 1 };
  const widget = { group: "x", kind: "Widget" };
  const table = tableOf(widget, [object], { now: NOW, resourceVersion: "7" });
  assert.deepEqual(
    table.columnDefinitions.map((c) => c.name),
    ["Name", "Age"],
  );
  assert.deepEqual(table.metadata, { resourceVersion: "7" });
  assert.deepEqual(table.rows, [
    { cells: ["w", "5m"], object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: meta("w") } },
  ]);
  assert.deepEqual(tableOf(widget, [object], { now: NOW, includeObject: "Object" }).rows[0]?.object, object);
  const bare = tableOf(widget, [object], { now: NOW, includeObject: "None", withColumns: false });
  assert.deepEqual([bare.columnDefinitions, bare.rows], [[], [{ cells: ["w", "5m"] }]]);
});
