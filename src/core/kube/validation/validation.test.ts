import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { applyDefaults } from "../defaults/index.ts";
import {
  CONFIG_MAPS,
  CRON_JOBS,
  DAEMON_SETS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  ENDPOINTS,
  INGRESS_CLASSES,
  INGRESSES,
  IP_ADDRESSES,
  JOBS,
  LEASES,
  NAMESPACES,
  NETWORK_POLICIES,
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  REPLICA_SETS,
  RESOURCES,
  SECRETS,
  SERVICE_CIDRS,
  STATEFUL_SETS,
} from "../resources.ts";
import { decodeObject } from "../schema/decode.ts";
import type { KubeObject, Resource } from "../types.ts";
import { validate } from "./index.ts";

function prepared(resource: Resource, value: { metadata?: object }): KubeObject {
  const metadata = { name: "x", ...(resource.namespaced ? { namespace: "default" } : {}), ...value.metadata };
  const { object, unknown, problems } = decodeObject(resource, { ...value, metadata }, "Strict");
  assert.deepEqual([...unknown, ...problems], []);
  applyDefaults(resource, object);
  return object;
}

function problemsOf(resource: Resource, value: object, old?: object): string[] {
  const errors = validate(resource, prepared(resource, value), old && prepared(resource, old));
  return errors.map((error) => `${error.field}: ${error.message}`);
}

const SUBDOMAIN =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

test("metadata", () => {
  const meta = (metadata: object): string[] => problemsOf(CONFIG_MAPS, { metadata });
  assert.deepEqual(
    meta({ labels: { "example.com/a": "b" }, annotations: { "A.B/C": "anything at all" }, finalizers: ["a.b/c", "orphan"] }),
    [],
  );
  assert.deepEqual(meta({ name: "A" }), [`metadata.name: Invalid value: "A": ${SUBDOMAIN}`]);
  assert.deepEqual(meta({ name: "" }), ["metadata.name: Required value: name or generateName is required"]);
  assert.deepEqual(meta({ namespace: "" }), ["metadata.namespace: Required value"]);
  assert.deepEqual(meta({ generateName: "ab-" }), []);
  assert.match(
    meta({ labels: { "a b": "x" } }).join(),
    /^metadata\.labels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '\.', and must start and end with an alphanumeric character \(e\.g\. 'MyName', {2}or 'my\.name', {2}or '123-abc', regex used/,
  );
  assert.match(
    meta({ labels: { a: "b c" } }).join(),
    /^metadata\.labels: Invalid value: "b c": a valid label must be an empty string or consist of/,
  );
  assert.deepEqual(meta({ annotations: { a: "x".repeat(300_000) } }), [
    "metadata.annotations: Too long: may not be more than 262144 bytes",
  ]);
  assert.deepEqual(meta({ finalizers: ["mine"] }), [
    'metadata.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
  ]);
  const owner = { apiVersion: "v1", kind: "Pod", name: "p", uid: "u", controller: true };
  assert.deepEqual(meta({ ownerReferences: [owner] }), []);
  assert.match(
    meta({ ownerReferences: [owner, owner] }).join(),
    /Only one reference can have Controller set to true\. Found "true" in references for p and p$/,
  );
  assert.match(
    meta({ ownerReferences: [{ ...owner, uid: "" }] }).join(),
    /metadata\.ownerReferences\.uid: Invalid value: "": uid must not be empty/,
  );
  assert.match(problemsOf(NAMESPACES, { metadata: { name: "a.b" } }).join(), /a lowercase RFC 1123 label/);
  assert.deepEqual(problemsOf(NODES, { metadata: { namespace: "a" } }), ["metadata.namespace: Forbidden: not allowed on this type"]);
  const deleting = { metadata: { deletionTimestamp: "2024-01-01T00:00:00Z", finalizers: ["a.b/c"] } };
  assert.deepEqual(problemsOf(CONFIG_MAPS, { metadata: { ...deleting.metadata, finalizers: ["a.b/c", "a.b/d"] } }, deleting), [
    'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a.b/d"}',
  ]);
});

const CONTAINER = { name: "c", image: "agnhost:1" };

const SELECTOR = { matchLabels: { app: "web" } };
const TEMPLATE = { metadata: { labels: { app: "web" } }, spec: { containers: [CONTAINER] } };

test("workloads: selector and template", () => {
  for (const resource of [DEPLOYMENTS, REPLICA_SETS, DAEMON_SETS, STATEFUL_SETS]) {
    const spec = { selector: SELECTOR, template: TEMPLATE };
    assert.deepEqual(problemsOf(resource, { spec }), [], resource.kind);
    assert.deepEqual(problemsOf(resource, { spec: { template: TEMPLATE } }), ["spec.selector: Required value"], resource.kind);
    assert.match(
      problemsOf(resource, { spec: { ...spec, selector: {} } }).join(),
      /^spec\.selector: Invalid value: {}: empty selector is invalid for /,
    );
    assert.deepEqual(problemsOf(resource, { spec: { ...spec, template: { ...TEMPLATE, metadata: { labels: { app: "api" } } } } }), [
      'spec.template.metadata.labels: Invalid value: {"app":"api"}: `selector` does not match template `labels`',
    ]);
    assert.deepEqual(
      problemsOf(resource, { spec: { ...spec, template: { ...TEMPLATE, spec: { ...TEMPLATE.spec, restartPolicy: "Never" } } } }),
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    );
    const other = {
      selector: { matchLabels: { app: "web", tier: "a" } },
      template: { ...TEMPLATE, metadata: { labels: { app: "web", tier: "a" } } },
    };
    const update = problemsOf(resource, { spec: other }, { spec });
    assert.match(
      update.join(),
      resource === STATEFUL_SETS
        ? /^spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals'/
        : /^spec\.selector: Invalid value: .*: field is immutable$/,
    );
  }
  const bad = { selector: { matchExpressions: [{ key: "a", operator: "In" }] }, template: TEMPLATE };
  assert.match(
    problemsOf(DEPLOYMENTS, { spec: bad }).join(),
    /spec\.selector\.matchExpressions\[0\]\.values: Required value: must be specified when `operator` is 'In' or 'NotIn'/,
  );
});

test("workloads: numbers and strategies", () => {
  const spec = { selector: SELECTOR, template: TEMPLATE };
  const deployment = (more: object): string[] => problemsOf(DEPLOYMENTS, { spec: { ...spec, ...more } });
  assert.deepEqual(deployment({ replicas: -1 }), ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]);
  assert.deepEqual(deployment({ strategy: { type: "Recreate", rollingUpdate: {} } }), [
    "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
  ]);
  assert.deepEqual(deployment({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: "0%" } } }), [
    'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
  ]);
  assert.match(
    deployment({ strategy: { rollingUpdate: { maxSurge: "many" } } }).join(),
    /a valid percent string must be a numeric string followed by an ending '%'/,
  );
  assert.deepEqual(deployment({ progressDeadlineSeconds: 5, minReadySeconds: 5 }), [
    "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds",
  ]);
  const job = (more: object): object => ({
    spec: { template: { ...TEMPLATE, spec: { ...TEMPLATE.spec, restartPolicy: "Never" } }, ...more },
  });
  assert.deepEqual(problemsOf(JOBS, job({})), []);
  assert.deepEqual(problemsOf(JOBS, { spec: { template: TEMPLATE } }), [
    'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
  ]);
  assert.deepEqual(problemsOf(JOBS, job({ completions: 2 }), job({ completions: 3 })), [
    "spec.completions: Invalid value: 2: field is immutable",
  ]);
  const cron = (schedule: string): string[] => problemsOf(CRON_JOBS, { spec: { schedule, jobTemplate: job({}) } });
  assert.deepEqual([...cron("*/5 * * * MON-FRI"), ...cron("@daily"), ...cron("@every 5m")], []);
  assert.deepEqual(cron("* * *"), ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]']);
});

test("endpoint slices", () => {
  const slice = (more: object, old?: object): string[] =>
    problemsOf(ENDPOINT_SLICES, { addressType: "IPv4", endpoints: [], ...more }, old && { addressType: "IPv4", endpoints: [], ...old });
  assert.deepEqual(
    slice({ endpoints: [{ addresses: ["10.0.0.1"], nodeName: "n", conditions: { ready: true } }], ports: [{ port: 80 }] }),
    [],
  );
  assert.deepEqual(slice({ addressType: "IPX" }), ['addressType: Unsupported value: "IPX": supported values: "FQDN", "IPv4", "IPv6"']);
  assert.deepEqual(slice({ endpoints: [{ addresses: [] }] }), ["endpoints[0].addresses: Required value: must contain at least 1 address"]);
  assert.deepEqual(slice({ endpoints: [{ addresses: ["fd00::1", "127.0.0.1"] }] }), [
    'endpoints[0].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address',
    'endpoints[0].addresses[1]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
  ]);
  assert.deepEqual(slice({ endpoints: Array.from({ length: 1001 }, () => ({ addresses: ["10.0.0.1"] })) }), [
    "endpoints: Too many: 1001: must have at most 1000 items",
  ]);
  assert.deepEqual(slice({ ports: [{ port: 1 }, { port: 2 }] }), ['ports[1].name: Duplicate value: ""']);
  assert.deepEqual(slice({ ports: [{ port: 0, protocol: "X" }] }), [
    'ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
    "ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
  ]);
  assert.deepEqual(slice({ addressType: "IPv6" }, {}), ['addressType: Invalid value: "IPv6": field is immutable']);
  assert.deepEqual(problemsOf(ENDPOINTS, { subsets: [{ ports: [{ port: 80 }, { port: 81, name: "b" }] }] }), [
    "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
    "subsets[0].ports[0].name: Required value",
  ]);
});

test("network policies", () => {
  const ingress = (rule: object): string[] => problemsOf(NETWORK_POLICIES, { spec: { ingress: [rule] } });
  assert.deepEqual(
    ingress({
      from: [{ podSelector: {} }, { ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } }],
      ports: [{ port: 1, endPort: 2 }],
    }),
    [],
  );
  assert.deepEqual(ingress({ from: [{}] }), ["spec.ingress[0].from[0]: Required value: must specify a peer"]);
  assert.deepEqual(ingress({ from: [{ podSelector: {}, ipBlock: { cidr: "10.0.0.0/8" } }] }), [
    "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
  ]);
  assert.deepEqual(ingress({ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/16", "10.0.0.0/8", "x"] } }] }), [
    'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
    'spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
    'spec.ingress[0].from[0].ipBlock.except[2]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
  ]);
  assert.deepEqual(
    ingress({ ports: [{ endPort: 2 }, { port: "http", endPort: 2 }, { port: 3, endPort: 2 }, { port: 70_000, protocol: "ICMP" }] }),
    [
      "spec.ingress[0].ports[0].endPort: Invalid value: 2: may not be specified when `port` is not specified",
      "spec.ingress[0].ports[1].endPort: Invalid value: 2: may not be specified when `port` is non-numeric",
      "spec.ingress[0].ports[2].endPort: Invalid value: 2: must be greater than or equal to `port`",
      'spec.ingress[0].ports[3].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
      "spec.ingress[0].ports[3].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
    ],
  );
  assert.deepEqual(problemsOf(NETWORK_POLICIES, { spec: { policyTypes: ["In"] } }), [
    'spec.policyTypes[0]: Unsupported value: "In": supported values: "Ingress", "Egress"',
  ]);
});

test("ingresses", () => {
  const backend = { service: { name: "web", port: { number: 80 } } };
  const path = (more: object): string[] =>
    problemsOf(INGRESSES, { spec: { rules: [{ http: { paths: [{ path: "/", pathType: "Prefix", backend, ...more }] } }] } });
  assert.deepEqual(path({}), []);
  assert.deepEqual(problemsOf(INGRESSES, { spec: {} }), ["spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"]);
  assert.deepEqual(path({ path: "a" }), ['spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path']);
  assert.deepEqual(path({ path: "/a//b" }), ["spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'"]);
  assert.deepEqual(path({ pathType: "Regex" }), [
    'spec.rules[0].http.paths[0].pathType: Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", "Prefix"',
  ]);
  assert.deepEqual(path({ backend: { service: { name: "web" } } }), [
    "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
  ]);
  const host = (name: string): string[] => problemsOf(INGRESSES, { spec: { rules: [{ host: name }] } });
  assert.deepEqual([...host("a.b"), ...host("*.a.b")], []);
  assert.deepEqual(host("10.0.0.1"), ['spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address']);
  assert.match(host("*").join(), /a wildcard DNS-1123 subdomain must start with '\*\.'/);
  assert.match(problemsOf(INGRESS_CLASSES, { spec: { controller: "x" } }).join(), /must be a domain-prefixed key/);
});

test("service CIDRs and addresses", () => {
  const cidrs = (...all: string[]): string[] => problemsOf(SERVICE_CIDRS, { spec: { cidrs: all } });
  assert.deepEqual([...cidrs("10.0.0.0/16"), ...cidrs("fd00::/108", "10.0.0.0/16")], []);
  assert.deepEqual(cidrs(), ["spec.cidrs: Required value: at least one CIDR required"]);
  assert.match(cidrs("10.0.0.0/16", "10.1.0.0/16").join(), /no more than one IP for each IP family/);
  assert.match(cidrs("10.0.0.0").join(), /must be a valid CIDR value/);
  assert.deepEqual(cidrs("fd00:0::/108"), ['spec.cidrs[0]: Invalid value: "fd00:0::/108": must be in canonical form ("fd00::/108")']);
  const change = (before: readonly string[], after: readonly string[]): string[] =>
    problemsOf(SERVICE_CIDRS, { spec: { cidrs: after } }, { spec: { cidrs: before } });
  assert.deepEqual(change(["10.0.0.0/16"], ["10.0.0.0/16", "fd00::/108"]), []);
  assert.match(change(["10.0.0.0/16"], ["10.1.0.0/16"]).join(), /^spec.cidrs: .*field is immutable/);

  const parentRef = { resource: "services", namespace: "ns", name: "n" };
  const address = (name: string, spec: object): string[] => problemsOf(IP_ADDRESSES, { metadata: { name }, spec });
  assert.deepEqual([...address("10.0.0.1", { parentRef }), ...address("fd00::1", { parentRef })], []);
  assert.match(address("fd00:0::1", { parentRef }).join(), /^metadata.name: .*must be in canonical form \("fd00::1"\)/);
  assert.match(address("a", { parentRef }).join(), /must be a valid IP address/);
  assert.deepEqual(address("10.0.0.1", {}), ["spec.parentRef: Required value"]);
  assert.deepEqual(address("10.0.0.1", { parentRef: {} }), [
    "spec.parentRef.resource: Required value",
    "spec.parentRef.name: Required value",
  ]);
});

test("configuration, nodes, leases, claims", () => {
  assert.deepEqual(problemsOf(CONFIG_MAPS, { data: { "a/b": "" }, binaryData: {} }), [
    "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
  ]);
  assert.deepEqual(problemsOf(CONFIG_MAPS, { data: { a: "b" }, immutable: true }, { data: { a: "c" }, immutable: true }), [
    "data: Forbidden: field is immutable when `immutable` is set",
  ]);
  assert.deepEqual(problemsOf(SECRETS, { type: "kubernetes.io/tls", data: { "tls.crt": "" } }), ["data[tls.key]: Required value"]);
  assert.deepEqual(problemsOf(SECRETS, { type: "a" }, { type: "b" }), ['type: Invalid value: "a": field is immutable']);
  assert.deepEqual(problemsOf(SECRETS, { data: { a: "A".repeat(1_500_000) } }), ["data: Too long: may not be more than 1048576 bytes"]);
  assert.deepEqual(
    problemsOf(NODES, { spec: { podCIDR: "10.0.0.0/24", podCIDRs: ["10.0.1.0/24"], taints: [{ key: "a", effect: "Never" }] } }),
    [
      'spec.podCIDRs[0]: Invalid value: "10.0.1.0/24": must match `podCIDR`',
      'spec.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ],
  );
  assert.deepEqual(problemsOf(NODES, { spec: {} }, { spec: { podCIDR: "10.0.0.0/24", podCIDRs: ["10.0.0.0/24"] } }), [
    'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
  ]);
  assert.deepEqual(problemsOf(LEASES, { spec: { leaseDurationSeconds: 0 } }), [
    "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
  ]);
  assert.deepEqual(problemsOf(PERSISTENT_VOLUME_CLAIMS, { spec: {} }), [
    "spec.accessModes: Required value: at least 1 access mode is required",
    "spec.resources[storage]: Required value",
  ]);
});

test("whatever decodes is either valid or told of: nothing throws", () => {
  const part = fc.constantFrom<unknown>({}, [], [{}], [{ ports: [{}], name: "x" }], [null], { containers: [{}] }, "x", 1, {
    spec: { containers: [{}] },
  });
  const names = [
    "template",
    "containers",
    "ports",
    "ingress",
    "egress",
    "rules",
    "type",
    "selector",
    "volumes",
    "tolerations",
    "jobTemplate",
    "taints",
    "tls",
  ];
  const spec = fc.dictionary(fc.constantFrom(...names), part);
  fc.assert(
    fc.property(fc.constantFrom(...RESOURCES), spec, spec, (resource, a, b) => {
      const { object } = decodeObject(resource, { metadata: {}, spec: a, subsets: [{}], endpoints: [{}], ports: [{}] });
      const { object: old } = decodeObject(resource, { spec: b });
      applyDefaults(resource, object);
      applyDefaults(resource, old);
      for (const error of validate(resource, object, old)) assert.ok(error.message.length > 0);
    }),
  );
});
