import assert from "node:assert/strict";
import { test } from "node:test";
import { applyDefaults } from "../defaults/index.ts";
import { SERVICES } from "../resources.ts";
import { decodeObject } from "../schema/decode.ts";
import type { KubeObject } from "../types.ts";
import { invalidStatus, validate } from "./index.ts";

function service(spec: object, metadata: object = {}): KubeObject {
  const { object, unknown, problems } = decodeObject(
    SERVICES,
    { metadata: { name: "web", namespace: "default", ...metadata }, spec },
    "Strict",
  );
  assert.deepEqual([...unknown, ...problems], []);
  applyDefaults(SERVICES, object);
  return object;
}

function problemsOf(spec: object, old?: object): string[] {
  return validate(SERVICES, service(spec), old && service(old)).map((error) => `${error.field}: ${error.message}`);
}

const PORT = { port: 80 };

test("what is right has no problems", () => {
  assert.deepEqual(problemsOf({ ports: [PORT], selector: { app: "web" } }), []);
  assert.deepEqual(problemsOf({ clusterIP: "None", clusterIPs: ["None"] }), []);
  assert.deepEqual(
    problemsOf({
      ports: [PORT],
      clusterIP: "10.96.0.1",
      clusterIPs: ["10.96.0.1", "fd00::1"],
      ipFamilies: ["IPv4", "IPv6"],
      ipFamilyPolicy: "RequireDualStack",
    }),
    [],
  );
  assert.deepEqual(problemsOf({ type: "NodePort", ports: [{ ...PORT, nodePort: 30_080 }], externalTrafficPolicy: "Local" }), []);
  assert.deepEqual(problemsOf({ type: "LoadBalancer", ports: [PORT], loadBalancerSourceRanges: ["10.0.0.0/8"] }), []);
  assert.deepEqual(problemsOf({ type: "ExternalName", externalName: "example.com." }), []);
  assert.deepEqual(problemsOf({ ports: [PORT], sessionAffinity: "ClientIP" }), []);
});

test("ports", () => {
  assert.deepEqual(problemsOf({ ports: [{ port: 70_000 }] }), [
    "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
    "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
  ]);
  assert.deepEqual(problemsOf({}), ["spec.ports: Required value"]);
  assert.deepEqual(problemsOf({ ports: [{ port: 1, protocol: "ICMP" }] }), [
    'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
  ]);
  assert.deepEqual(problemsOf({ ports: [{ port: 1 }, { port: 1, name: "b" }] }), [
    "spec.ports[0].name: Required value",
    'spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}',
  ]);
  assert.deepEqual(
    problemsOf({
      ports: [
        { port: 1, name: "A" },
        { port: 2, name: "x" },
        { port: 3, name: "x" },
      ],
    }),
    [
      "spec.ports[0].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
      'spec.ports[2].name: Duplicate value: "x"',
    ],
  );
  assert.deepEqual(problemsOf({ ports: [{ port: 1, targetPort: "a_b" }] }), [
    'spec.ports[0].targetPort: Invalid value: "a_b": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
  ]);
  assert.deepEqual(problemsOf({ ports: [{ port: 1, nodePort: 30_000 }] }), [
    "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
  ]);
  const twice = [
    { port: 1, name: "a", nodePort: 30_000 },
    { port: 2, name: "b", nodePort: 30_000 },
  ];
  assert.deepEqual(problemsOf({ type: "NodePort", ports: twice }), ["spec.ports[1].nodePort: Duplicate value: 30000"]);
});

test("type and name", () => {
  assert.deepEqual(problemsOf({ type: "Foo", ports: [PORT] }), [
    'spec.type: Unsupported value: "Foo": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
  ]);
  assert.deepEqual(problemsOf({ type: "ExternalName", clusterIP: "10.0.0.1" }), [
    "spec.clusterIPs: Forbidden: may not be set when `type` is 'ExternalName'",
    "spec.externalName: Required value",
  ]);
  assert.deepEqual(
    problemsOf({ type: "NodePort", clusterIP: "None", ports: [PORT] })[0],
    "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
  );
  const named = validate(SERVICES, service({ ports: [PORT] }, { name: "1web" }));
  assert.equal(named.length, 1);
  assert.match(
    named[0]?.message ?? "",
    /^Invalid value: "1web": a DNS-1035 label must consist of .* \(e\.g\. 'my-name', {2}or 'abc-123', regex used for validation is '\[a-z\]\(\[-a-z0-9\]\*\[a-z0-9\]\)\?'\)$/,
  );
});

test("addresses and families", () => {
  const ips = (clusterIPs: string[], more: object = {}): string[] =>
    problemsOf({ ports: [PORT], clusterIP: clusterIPs[0] ?? "", clusterIPs, ...more });
  assert.deepEqual(ips(["10.0.0.256"]), [
    'spec.clusterIPs[0]: Invalid value: "10.0.0.256": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
  ]);
  assert.deepEqual(ips(["fd00::1"], { ipFamilies: ["IPv4"] }), [
    'spec.clusterIPs[0]: Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`',
  ]);
  assert.deepEqual(ips(["10.0.0.1", "10.0.0.2"]), [
    'spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family',
  ]);
  assert.deepEqual(ips(["10.0.0.1", "None"]), ["spec.clusterIPs[1]: Invalid value: \"None\": 'None' must be the first and only value"]);
  assert.deepEqual(ips(["10.0.0.1"], { clusterIP: "10.0.0.2" }), [
    'spec.clusterIPs: Invalid value: ["10.0.0.1"]: first value must match `clusterIP`',
  ]);
  assert.deepEqual(ips([], { ipFamilies: ["IPv4", "IPv4"], ipFamilyPolicy: "Dual" }), [
    'spec.ipFamilyPolicy: Unsupported value: "Dual": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"',
    'spec.ipFamilies[1]: Duplicate value: "IPv4"',
  ]);
  assert.deepEqual(ips([], { externalIPs: ["127.0.0.1", "x"] }), [
    'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    'spec.externalIPs[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
  ]);
});

test("affinity, load balancer fields and traffic policies", () => {
  const one = (more: object): string | undefined => {
    const found = problemsOf({ ports: [PORT], ...more });
    assert.ok(found.length <= 1, found.join("; "));
    return found[0];
  };
  assert.equal(
    one({ sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 90_000 } } }),
    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: must be greater than 0 and less than 86400",
  );
  assert.equal(
    one({ loadBalancerSourceRanges: ["10.0.0.0/8"] }),
    "spec.loadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
  );
  assert.equal(
    one({ type: "LoadBalancer", loadBalancerSourceRanges: ["10.0.0.0/33"] }),
    'spec.loadBalancerSourceRanges[0]: Invalid value: "10.0.0.0/33": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
  );
  assert.equal(
    one({ externalTrafficPolicy: "Local" }),
    'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
  );
  assert.equal(
    one({ type: "NodePort", externalTrafficPolicy: "Some" }),
    'spec.externalTrafficPolicy: Unsupported value: "Some": supported values: "Cluster", "Local"',
  );
  assert.equal(
    one({ internalTrafficPolicy: "Some" }),
    'spec.internalTrafficPolicy: Unsupported value: "Some": supported values: "Cluster", "Local"',
  );
  assert.equal(
    one({ healthCheckNodePort: 30_000 }),
    "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
  );
});

test("updates keep addresses", () => {
  const at = (ip: string, more: object = {}): object => ({ ports: [PORT], clusterIP: ip, clusterIPs: [ip], ipFamilies: ["IPv4"], ...more });
  assert.deepEqual(problemsOf(at("10.0.0.1"), at("10.0.0.1")), []);
  assert.deepEqual(problemsOf(at("10.0.0.2"), at("10.0.0.1")), [
    'spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set',
  ]);
  assert.deepEqual(problemsOf({ type: "ExternalName", externalName: "a.b" }, at("10.0.0.1")), []);
  const both = { clusterIPs: ["10.0.0.1", "fd00::1"], ipFamilies: ["IPv4", "IPv6"], ipFamilyPolicy: "PreferDualStack" };
  assert.deepEqual(problemsOf(at("10.0.0.1", both), at("10.0.0.1")), []);
  assert.deepEqual(problemsOf(at("10.0.0.1", { ipFamilyPolicy: "SingleStack" }), at("10.0.0.1", both)), []);
  assert.equal(problemsOf(at("10.0.0.1", { ipFamilyPolicy: "PreferDualStack" }), at("10.0.0.1", both)).length, 1);
});

test("the answer says it as kubectl expects", () => {
  const single = invalidStatus(SERVICES, "web", validate(SERVICES, service({ ports: [{ port: 80, targetPort: 70_000 }] })));
  assert.equal(
    single.message,
    'Service "web" is invalid: spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
  );
  assert.deepEqual(single.details, {
    name: "web",
    group: "",
    kind: "Service",
    causes: [
      {
        reason: "FieldValueInvalid",
        message: "Invalid value: 70000: must be between 1 and 65535, inclusive",
        field: "spec.ports[0].targetPort",
      },
    ],
  });
  const several = invalidStatus({ group: "apps", version: "v1", kind: "Deployment" }, "web", [
    { type: "FieldValueRequired", field: "a", message: "Required value" },
    { type: "FieldValueForbidden", field: "b", message: "Forbidden: no" },
  ]);
  assert.equal(several.message, 'Deployment.apps "web" is invalid: [a: Required value, b: Forbidden: no]');
  assert.deepEqual([several.code, several.reason, several.status], [422, "Invalid", "Failure"]);
});

test("what a load balancer writes into the status", () => {
  const of = (type: string, ingress: object[]): string[] => {
    const old = service({ type, ports: [PORT] });
    const status = { loadBalancer: { ingress } };
    return validate(SERVICES, { ...old, status } as KubeObject, old).map((error) => `${error.field}: ${error.message}`);
  };
  const at = "status.loadBalancer.ingress[0]";
  assert.deepEqual(of("LoadBalancer", [{ ip: "192.0.2.1", ipMode: "VIP" }, { hostname: "lb.example.com" }]), []);
  assert.deepEqual(of("LoadBalancer", [{ ip: "192.0.2.256" }]), [
    `${at}.ip: Invalid value: "192.0.2.256": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
  ]);
  assert.deepEqual(of("LoadBalancer", [{ hostname: "192.0.2.1", ipMode: "VIP" }]), [
    `${at}.ipMode: Forbidden: may not be specified when \`ip\` is not set`,
    `${at}.hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address`,
  ]);
  assert.deepEqual(of("LoadBalancer", [{ ip: "192.0.2.1", ipMode: "Nat" }]), [
    `${at}.ipMode: Unsupported value: "Nat": supported values: "Proxy", "VIP"`,
  ]);
  assert.deepEqual(of("ClusterIP", [{ ip: "192.0.2.1" }]), [
    "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'",
  ]);
});
