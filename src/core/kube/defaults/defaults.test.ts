import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  CRON_JOBS,
  DAEMON_SETS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  JOBS,
  LIMIT_RANGES,
  NAMESPACES,
  NETWORK_POLICIES,
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PODS,
  REPLICATION_CONTROLLERS,
  RESOURCES,
  SECRETS,
  SERVICES,
  STATEFUL_SETS,
} from "../resources.ts";
import { decodeObject } from "../schema/decode.ts";
import type { KubeObject, Resource } from "../types.ts";
import { applyDefaults } from "./index.ts";
import { pullPolicyOf } from "./pod.ts";

function withDefaults(resource: Resource, object: object): KubeObject {
  const decoded = decodeObject(resource, object, "Strict");
  assert.deepEqual([...decoded.unknown, ...decoded.problems], []);
  applyDefaults(resource, decoded.object);
  return decoded.object;
}

test("pod", () => {
  const pod = withDefaults(PODS, {
    spec: {
      hostNetwork: true,
      serviceAccountName: "bot",
      containers: [
        {
          name: "c",
          image: "nginx",
          ports: [{ containerPort: 80 }, { containerPort: 53, protocol: "UDP", hostPort: 53 }],
          env: [{ name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }],
          readinessProbe: { httpGet: { port: 80 } },
          livenessProbe: { grpc: { port: 1 }, timeoutSeconds: 5 },
          lifecycle: { preStop: { httpGet: { port: 80 } } },
          resources: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "100m" } },
        },
      ],
      volumes: [
        { name: "a" },
        { name: "b", configMap: { name: "m" } },
        { name: "c", projected: { sources: [{ serviceAccountToken: { path: "t" } }] } },
        { name: "d", hostPath: { path: "/" } },
      ],
    },
  });
  assert.deepEqual(pod, {
    spec: {
      hostNetwork: true,
      serviceAccountName: "bot",
      serviceAccount: "bot",
      containers: [
        {
          name: "c",
          image: "nginx",
          imagePullPolicy: "Always",
          terminationMessagePath: "/dev/termination-log",
          terminationMessagePolicy: "File",
          ports: [
            { containerPort: 80, hostPort: 80, protocol: "TCP" },
            { containerPort: 53, hostPort: 53, protocol: "UDP" },
          ],
          env: [{ name: "IP", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "status.podIP" } } }],
          readinessProbe: {
            httpGet: { port: 80, path: "/", scheme: "HTTP" },
            timeoutSeconds: 1,
            periodSeconds: 10,
            successThreshold: 1,
            failureThreshold: 3,
          },
          livenessProbe: { grpc: { port: 1, service: "" }, timeoutSeconds: 5, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 },
          lifecycle: { preStop: { httpGet: { port: 80, path: "/", scheme: "HTTP" } } },
          resources: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "100m", memory: "1Gi" } },
        },
      ],
      volumes: [
        { name: "a", emptyDir: {} },
        { name: "b", configMap: { name: "m", defaultMode: 420 } },
        { name: "c", projected: { sources: [{ serviceAccountToken: { path: "t", expirationSeconds: 3600 } }], defaultMode: 420 } },
        { name: "d", hostPath: { path: "/", type: "" } },
      ],
      dnsPolicy: "ClusterFirst",
      restartPolicy: "Always",
      securityContext: {},
      terminationGracePeriodSeconds: 30,
      schedulerName: "default-scheduler",
      enableServiceLinks: true,
    },
  });
});

test("what an image's tag says of pulling", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  for (const image of ["nginx", "nginx:latest", "registry:5000/nginx", `nginx:latest@${digest}`])
    assert.equal(pullPolicyOf(image), "Always", image);
  for (const image of ["nginx:1", "registry:5000/a/nginx:1", `nginx@${digest}`, ""])
    assert.equal(pullPolicyOf(image), "IfNotPresent", image);
});

test("service", () => {
  assert.deepEqual(
    withDefaults(SERVICES, {
      spec: { ports: [{ port: 80 }, { port: 53, targetPort: "dns", protocol: "UDP" }], sessionAffinity: "ClientIP" },
    }),
    {
      spec: {
        type: "ClusterIP",
        ports: [
          { port: 80, protocol: "TCP", targetPort: 80 },
          { port: 53, protocol: "UDP", targetPort: "dns" },
        ],
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
        internalTrafficPolicy: "Cluster",
      },
      status: { loadBalancer: {} },
    },
  );
  const policies = (spec: object): unknown => {
    const { externalTrafficPolicy, internalTrafficPolicy, allocateLoadBalancerNodePorts } = (
      withDefaults(SERVICES, { spec }) as { spec: Record<string, unknown> }
    ).spec;
    return [externalTrafficPolicy, internalTrafficPolicy, allocateLoadBalancerNodePorts];
  };
  assert.deepEqual(policies({ type: "NodePort" }), ["Cluster", "Cluster", undefined]);
  assert.deepEqual(policies({ type: "LoadBalancer", externalTrafficPolicy: "Local", allocateLoadBalancerNodePorts: false }), [
    "Local",
    "Cluster",
    false,
  ]);
  assert.deepEqual(policies({ externalIPs: ["1.2.3.4"] }), ["Cluster", "Cluster", undefined]);
  assert.deepEqual(policies({ type: "ExternalName", externalName: "a.b" }), [undefined, undefined, undefined]);
});

test("namespace: the label always, the finalizer only at birth", () => {
  assert.deepEqual(withDefaults(NAMESPACES, { metadata: { name: "a", labels: { "kubernetes.io/metadata.name": "b" } } }), {
    metadata: { name: "a", labels: { "kubernetes.io/metadata.name": "a" } },
    spec: { finalizers: ["kubernetes"] },
    status: { phase: "Active" },
  });
  const finalized = withDefaults(NAMESPACES, {
    metadata: { name: "a", uid: "u" },
    spec: { finalizers: [] },
    status: { phase: "Terminating" },
  });
  assert.deepEqual({ ...finalized, metadata: {} }, { metadata: {}, spec: {}, status: { phase: "Terminating" } });
});

test("secret, node, claim, limit range, replication controller", () => {
  assert.deepEqual(withDefaults(SECRETS, { data: { a: "eA==", b: "eA==" }, stringData: { a: "hé" } }), {
    type: "Opaque",
    data: { a: "aMOp", b: "eA==" },
  });
  assert.deepEqual(withDefaults(NODES, { status: { capacity: { cpu: "2" } } }), {
    status: { capacity: { cpu: "2" }, allocatable: { cpu: "2" } },
  });
  assert.deepEqual(withDefaults(PERSISTENT_VOLUME_CLAIMS, { spec: { storageClassName: "" } }), {
    spec: { storageClassName: "", volumeMode: "Filesystem" },
    status: { phase: "Pending" },
  });
  assert.deepEqual(
    withDefaults(LIMIT_RANGES, {
      spec: {
        limits: [
          { type: "Container", max: { cpu: "1" }, min: { memory: "1" } },
          { type: "Pod", max: { cpu: "1" } },
        ],
      },
    }),
    {
      spec: {
        limits: [
          { type: "Container", max: { cpu: "1" }, min: { memory: "1" }, default: { cpu: "1" }, defaultRequest: { cpu: "1", memory: "1" } },
          { type: "Pod", max: { cpu: "1" } },
        ],
      },
    },
  );
  const rc = withDefaults(REPLICATION_CONTROLLERS, { spec: { template: { metadata: { labels: { a: "b" } } } } });
  assert.deepEqual(rc, {
    metadata: { labels: { a: "b" } },
    spec: { template: { metadata: { labels: { a: "b" } } }, selector: { a: "b" }, replicas: 1 },
  });
});

test("workloads", () => {
  const selector = { matchLabels: { a: "b" } };
  const template = { metadata: { labels: { a: "b" } } };
  assert.deepEqual(withDefaults(DEPLOYMENTS, { spec: { selector, template } }), {
    spec: {
      selector,
      template,
      replicas: 1,
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
    },
  });
  assert.deepEqual(withDefaults(DEPLOYMENTS, { spec: { selector, template, replicas: 0, strategy: { type: "Recreate" } } }), {
    spec: { selector, template, replicas: 0, strategy: { type: "Recreate" }, revisionHistoryLimit: 10, progressDeadlineSeconds: 600 },
  });
  assert.deepEqual(
    withDefaults(STATEFUL_SETS, { spec: { selector, template, volumeClaimTemplates: [{ metadata: { name: "v" }, spec: {} }] } }),
    {
      spec: {
        selector,
        template,
        replicas: 1,
        podManagementPolicy: "OrderedReady",
        updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
        persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
        revisionHistoryLimit: 10,
        volumeClaimTemplates: [
          {
            apiVersion: "v1",
            kind: "PersistentVolumeClaim",
            metadata: { name: "v" },
            spec: { volumeMode: "Filesystem" },
            status: { phase: "Pending" },
          },
        ],
      },
    },
  );
  assert.deepEqual(withDefaults(DAEMON_SETS, { spec: { selector, template } }), {
    spec: {
      selector,
      template,
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
      revisionHistoryLimit: 10,
    },
  });
});

test("jobs", () => {
  assert.deepEqual(withDefaults(JOBS, { spec: { template: { metadata: { labels: { a: "b" } } } } }), {
    metadata: { labels: { a: "b" } },
    spec: {
      template: { metadata: { labels: { a: "b" } } },
      completions: 1,
      parallelism: 1,
      backoffLimit: 6,
      completionMode: "NonIndexed",
      suspend: false,
      manualSelector: false,
      podReplacementPolicy: "TerminatingOrFailed",
    },
  });
  const queue = withDefaults(JOBS, {
    spec: {
      parallelism: 3,
      backoffLimitPerIndex: 1,
      podFailurePolicy: { rules: [{ action: "Ignore", onPodConditions: [{ type: "X" }] }] },
    },
  });
  assert.deepEqual(queue, {
    spec: {
      parallelism: 3,
      backoffLimit: 2_147_483_647,
      backoffLimitPerIndex: 1,
      completionMode: "NonIndexed",
      suspend: false,
      manualSelector: false,
      podReplacementPolicy: "Failed",
      podFailurePolicy: { rules: [{ action: "Ignore", onPodConditions: [{ type: "X", status: "True" }] }] },
    },
  });
  assert.deepEqual(withDefaults(CRON_JOBS, { spec: { schedule: "* * * * *", jobTemplate: {} } }), {
    spec: {
      schedule: "* * * * *",
      jobTemplate: {},
      concurrencyPolicy: "Allow",
      suspend: false,
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 1,
    },
  });
});

test("slices and policies", () => {
  assert.deepEqual(
    withDefaults(ENDPOINT_SLICES, { addressType: "IPv4", endpoints: [], ports: [{ port: 80 }, { name: "x", protocol: "UDP" }] }),
    {
      addressType: "IPv4",
      endpoints: [],
      ports: [
        { name: "", port: 80, protocol: "TCP" },
        { name: "x", protocol: "UDP" },
      ],
    },
  );
  const types = (spec: object): unknown =>
    (withDefaults(NETWORK_POLICIES, { spec }) as { spec: Record<string, unknown> }).spec["policyTypes"];
  assert.deepEqual(types({}), ["Ingress"]);
  assert.deepEqual(types({ egress: [{}] }), ["Ingress", "Egress"]);
  assert.deepEqual(types({ egress: [{}], policyTypes: ["Egress"] }), ["Egress"]);
  assert.deepEqual(withDefaults(NETWORK_POLICIES, { spec: { podSelector: {}, ingress: [{ ports: [{ port: 1 }] }] } }), {
    spec: { podSelector: {}, ingress: [{ ports: [{ port: 1, protocol: "TCP" }] }], policyTypes: ["Ingress"] },
  });
});

test("a second time changes nothing, and half-made objects do not trip it", () => {
  const part = fc.constantFrom<unknown>({}, [], [{}], null, { spec: {} }, { template: {} }, { containers: [{}] });
  const spec = fc.dictionary(
    fc.constantFrom("template", "containers", "ports", "strategy", "volumes", "type", "rules", "limits", "jobTemplate"),
    part,
  );
  fc.assert(
    fc.property(fc.constantFrom(...RESOURCES), spec, (resource, value) => {
      const { object } = decodeObject(resource, { spec: value, status: {} });
      applyDefaults(resource, object);
      const once = structuredClone(object);
      applyDefaults(resource, object);
      assert.deepEqual(object, once);
    }),
  );
});
