import assert from "node:assert/strict";
import { test } from "node:test";
import { applyDefaults } from "../defaults/index.ts";
import { PODS } from "../resources.ts";
import { decodeObject } from "../schema/decode.ts";
import type { KubeObject } from "../types.ts";
import { validate } from "./index.ts";

const CONTAINER = { name: "c", image: "agnhost:1" };

function pod(spec: object): KubeObject {
  const { object, unknown, problems } = decodeObject(
    PODS,
    { metadata: { name: "x", namespace: "default" }, spec: { containers: [CONTAINER], ...spec } },
    "Strict",
  );
  assert.deepEqual([...unknown, ...problems], []);
  applyDefaults(PODS, object);
  return object;
}

function podProblems(spec: object, old?: object): string[] {
  return validate(PODS, pod(spec), old && pod(old)).map((error) => `${error.field}: ${error.message}`);
}

test("pod: containers", () => {
  const container = (more: object): string[] => podProblems({ containers: [{ ...CONTAINER, ...more }] });
  assert.deepEqual(podProblems({}), []);
  assert.deepEqual(podProblems({ containers: [] }), ["spec.containers: Required value"]);
  assert.deepEqual(container({ image: "" }), ["spec.containers[0].image: Required value"]);
  assert.deepEqual(container({ image: " a" }), [
    'spec.containers[0].image: Invalid value: " a": must not have leading or trailing whitespace',
  ]);
  assert.deepEqual(podProblems({ containers: [CONTAINER, CONTAINER] }), ['spec.containers[1].name: Duplicate value: "c"']);
  assert.deepEqual(podProblems({ initContainers: [CONTAINER] }), ['spec.initContainers[0].name: Duplicate value: "c"']);
  assert.deepEqual(container({ ports: [{ containerPort: 0 }, { containerPort: 65_536 }] }), [
    "spec.containers[0].ports[0].containerPort: Required value",
    "spec.containers[0].ports[1].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
  ]);
  assert.deepEqual(container({ ports: [{ containerPort: 1, name: "longer-than-fifteen" }] }), [
    'spec.containers[0].ports[0].name: Invalid value: "longer-than-fifteen": must be no more than 15 characters',
  ]);
  assert.deepEqual(
    container({
      ports: [
        { containerPort: 1, hostPort: 80 },
        { containerPort: 2, hostPort: 80 },
      ],
    }),
    ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80"'],
  );
  const hostPorts = (...ports: object[]): string[] => container({ ports: ports.map((port) => ({ containerPort: 1, ...port })) });
  assert.deepEqual(hostPorts({ hostPort: 80, hostIP: "10.0.0.1" }, { hostPort: 80, hostIP: "::1" }, { hostPort: 80, protocol: "UDP" }), []);
  assert.deepEqual(hostPorts({ hostPort: 65_536 }, { hostPort: -1 }, { hostPort: 80, hostIP: "node-1" }), [
    "spec.containers[0].ports[0].hostPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
    "spec.containers[0].ports[1].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive",
    'spec.containers[0].ports[2].hostIP: Invalid value: "node-1": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
  ]);
  assert.deepEqual(podProblems({ hostNetwork: true, containers: [{ ...CONTAINER, ports: [{ containerPort: 80, hostPort: 81 }] }] }), [
    "spec.containers[0].ports[0].containerPort: Invalid value: 80: must match `hostPort` when `hostNetwork` is true",
  ]);
  assert.deepEqual(container({ imagePullPolicy: "Sometimes" }), [
    'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
  ]);
  assert.deepEqual(container({ resources: { limits: { cpu: "1" }, requests: { cpu: "2" } } }), [
    'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
  ]);
  assert.deepEqual(container({ resources: { limits: { gpu: "1" } } }), [
    'spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": must be a standard resource for containers',
    'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers',
  ]);
  assert.deepEqual(container({ securityContext: { runAsUser: -1 } }), [
    "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
  ]);
  assert.deepEqual(podProblems({ initContainers: [{ name: "i", image: "a:1", livenessProbe: { tcpSocket: { port: 1 } } }] }), [
    "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
  ]);
  assert.deepEqual(podProblems({ ephemeralContainers: [{ name: "d", image: "a:1" }] }), [
    "spec.ephemeralContainers: Forbidden: cannot be set on create",
  ]);
});

test("pod: probes, environment, mounts", () => {
  const container = (more: object): string[] => podProblems({ containers: [{ ...CONTAINER, ...more }], volumes: [{ name: "v" }] });
  assert.deepEqual(container({ livenessProbe: {} }), ["spec.containers[0].livenessProbe: Required value: must specify a handler type"]);
  assert.deepEqual(container({ livenessProbe: { tcpSocket: { port: 1 }, exec: { command: ["a"] }, successThreshold: 2 } }), [
    "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
    "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
  ]);
  assert.deepEqual(container({ readinessProbe: { httpGet: { port: "no port", scheme: "FTP" } } }), [
    'spec.containers[0].readinessProbe.httpGet.port: Invalid value: "no port": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
    'spec.containers[0].readinessProbe.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"',
  ]);
  assert.deepEqual(container({ env: [{ name: "" }, { name: "a=b" }] }), [
    "spec.containers[0].env[0].name: Required value",
    "spec.containers[0].env[1].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '=' (regex used for validation is '[ -<>-~]+')",
  ]);
  assert.deepEqual(container({ env: [{ name: "A", value: "b", valueFrom: { fieldRef: { fieldPath: "spec.foo" } } }] }), [
    'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.foo": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
  ]);
  assert.deepEqual(container({ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } }] }), []);
  assert.deepEqual(container({ envFrom: [{ configMapRef: { name: "" } }] }), [
    "spec.containers[0].envFrom[0].configMapRef.name: Required value",
  ]);
  assert.deepEqual(
    container({
      volumeMounts: [
        { name: "w", mountPath: "/a" },
        { name: "v", mountPath: "/a", subPath: "../b" },
      ],
    }),
    [
      'spec.containers[0].volumeMounts[0].name: Not found: "w"',
      'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique',
      "spec.containers[0].volumeMounts[1].subPath: Invalid value: \"../b\": must not contain '..'",
    ],
  );
});

test("pod: the rest of the spec", () => {
  assert.deepEqual(podProblems({ restartPolicy: "Maybe" }), [
    'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"',
  ]);
  assert.deepEqual(podProblems({ dnsPolicy: "None" }), [
    "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
  ]);
  assert.deepEqual(podProblems({ dnsConfig: { nameservers: ["x"] } }), [
    'spec.dnsConfig.nameservers[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
  ]);
  assert.deepEqual(podProblems({ terminationGracePeriodSeconds: -1 }), [
    "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
  ]);
  assert.deepEqual(podProblems({ tolerations: [{ operator: "Equal" }] }), [
    'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
  ]);
  assert.deepEqual(podProblems({ volumes: [{ name: "a", configMap: {}, emptyDir: {} }, { name: "a" }] }), [
    "spec.volumes[0].emptyDir: Forbidden: may not specify more than 1 volume type",
    "spec.volumes[0].configMap.name: Required value",
    'spec.volumes[1].name: Duplicate value: "a"',
  ]);
  assert.deepEqual(podProblems({ topologySpreadConstraints: [{ maxSkew: 0, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule" }] }), [
    "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
  ]);
});

test("pod: what may change", () => {
  assert.deepEqual(podProblems({ containers: [{ name: "c", image: "other:2", imagePullPolicy: "IfNotPresent" }] }, {}), []);
  assert.deepEqual(podProblems({ nodeName: "node-1" }, {}), []);
  assert.deepEqual(podProblems({ tolerations: [{ key: "a", operator: "Exists" }] }, {}), []);
  assert.deepEqual(podProblems({ containers: [CONTAINER, { name: "d", image: "a:1" }] }, {}), [
    "spec.containers: Forbidden: pod updates may not add or remove containers",
  ]);
  assert.deepEqual(podProblems({}, { tolerations: [{ key: "a", operator: "Exists" }] }), [
    "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
  ]);
  const [changed = ""] = podProblems({ hostname: "a", containers: [{ ...CONTAINER, args: ["x"] }] }, { nodeName: "" });
  assert.match(
    changed,
    /^spec: Forbidden: pod updates may not change fields other than `spec\.containers\[\*\]\.image`,`spec\.initContainers\[\*\]\.image`,/,
  );
  assert.match(changed, /changed: spec\.containers\[0\]\.args, spec\.hostname$/);
  assert.equal(podProblems({ nodeName: "b" }, { nodeName: "a" }).length, 1);
  assert.deepEqual(podProblems({ activeDeadlineSeconds: 20 }, { activeDeadlineSeconds: 10 }), [
    "spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value",
  ]);
});
