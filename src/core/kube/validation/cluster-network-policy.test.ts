import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { ClusterNetworkPolicySpec } from "../cluster-network-policy.ts";
import { CLUSTER_NETWORK_POLICIES } from "../resources.ts";
import { decodeObject } from "../schema/index.ts";
import { validate } from "./index.ts";

const ALL = { namespaces: {} };

function problemsOf(given: Record<string, unknown>): string[] {
  const spec = { tier: "Admin", priority: 0, subject: ALL, ...given };
  for (const key of Object.keys(spec)) if (given[key] === undefined && key in given) Reflect.deleteProperty(spec, key);
  const object = { apiVersion: "policy.networking.k8s.io/v1alpha2", kind: "ClusterNetworkPolicy", metadata: { name: "p" }, spec };
  const decoded = decodeObject(CLUSTER_NETWORK_POLICIES, object, "Strict");
  assert.deepEqual([decoded.problems, decoded.unknown], [[], []]);
  return validate(CLUSTER_NETWORK_POLICIES, decoded.object).map(({ field, message }) => `${field}: ${message}`);
}

const egress = (rule: Record<string, unknown>): Record<string, unknown> => ({ egress: [{ action: "Accept", to: [ALL], ...rule }] });
const protocol = (one: object): Record<string, unknown> => egress({ protocols: [one] });
const many = <T>(count: number, one: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => one(i));

test("one of each is right, and kept as it was sent", () => {
  const spec: ClusterNetworkPolicySpec = {
    tier: "Baseline",
    priority: 1000,
    subject: { pods: { podSelector: {} } },
    ingress: [
      {
        name: "n".repeat(100),
        action: "Pass",
        from: [{ pods: { namespaceSelector: { matchLabels: { a: "b" } }, podSelector: {} } }],
        protocols: [{ destinationNamedPort: "web" }, { tcp: { destinationPort: { number: 80 } } }],
      },
    ],
    egress: [
      {
        action: "Accept",
        to: [{ networks: ["10.0.0.0/8", "fd00::/8"] }, { nodes: {} }, { domainNames: ["*.example.com", "example.org."] }],
        protocols: [{ sctp: { destinationPort: { range: { start: 1, end: 65_535 } } } }, { udp: { destinationPort: { number: 53 } } }],
      },
      { action: "Deny", to: [ALL] },
    ],
  };
  assert.deepEqual(problemsOf({ ...spec }), []);
});

suite("what is refused", () => {
  const at = "spec.egress[0]";
  const cases: readonly (readonly [string, Record<string, unknown>, string])[] = [
    ["a tier", { tier: "Other" }, 'spec.tier: Unsupported value: "Other": supported values: "Admin", "Baseline"'],
    [
      "a priority below 0",
      { priority: -1 },
      "spec.priority: Invalid value: -1: spec.priority in body should be greater than or equal to 0",
    ],
    [
      "a priority above 1000",
      { priority: 1001 },
      "spec.priority: Invalid value: 1001: spec.priority in body should be less than or equal to 1000",
    ],
    ["no subject", { subject: undefined }, "spec.subject: Required value"],
    ["an empty subject", { subject: {} }, "spec.subject: Invalid value: 0: spec.subject in body should have at least 1 properties"],
    ["two subjects", { subject: { ...ALL, pods: { podSelector: {} } } }, "spec.subject: Too many: 2: must have at most 1 items"],
    ["no podSelector", { subject: { pods: { namespaceSelector: {} } } }, "spec.subject.pods.podSelector: Required value"],
    ["26 rules", { egress: many(26, () => ({ action: "Deny", to: [ALL] })) }, "spec.egress: Too many: 26: must have at most 25 items"],
    ["26 peers", egress({ to: many(26, () => ALL) }), `${at}.to: Too many: 26: must have at most 25 items`],
    [
      "26 networks",
      egress({ to: [{ networks: many(26, (i) => `10.${i}.0.0/16`) }] }),
      `${at}.to[0].networks: Too many: 26: must have at most 25 items`,
    ],
    [
      "26 protocols",
      egress({ protocols: many(26, (i) => ({ tcp: { destinationPort: { number: i + 1 } } })) }),
      `${at}.protocols: Too many: 26: must have at most 25 items`,
    ],
    ["an action", egress({ action: "Allow" }), `${at}.action: Unsupported value: "Allow": supported values: "Accept", "Deny", "Pass"`],
    ["a long name", egress({ name: "n".repeat(101) }), `${at}.name: Too long: may not be more than 100 bytes`],
    ["no peers", egress({ to: [] }), `${at}.to: Invalid value: 0: ${at}.to in body should have at least 1 items`],
    ["no protocols", egress({ protocols: [] }), `${at}.protocols: Invalid value: 0: ${at}.protocols in body should have at least 1 items`],
    ["an empty peer", egress({ to: [{}] }), `${at}.to[0]: Invalid value: 0: ${at}.to[0] in body should have at least 1 properties`],
    ["a peer of two kinds", egress({ to: [{ ...ALL, nodes: {} }] }), `${at}.to[0]: Too many: 2: must have at most 1 items`],
    [
      "a network",
      egress({ to: [{ networks: ["10.0.0.300/8"] }] }),
      `${at}.to[0].networks[0]: Invalid value: "10.0.0.300/8": Invalid CIDR format provided`,
    ],
    ["a network twice", egress({ to: [{ networks: ["::/0", "::/0"] }] }), `${at}.to[0].networks[1]: Duplicate value: "::/0"`],
    [
      "names in a Deny",
      egress({ action: "Deny", to: [{ domainNames: ["example.com"] }] }),
      `${at}.to[0].domainNames: Forbidden: domainNames peers are only supported for Accept rules`,
    ],
    [
      "an empty protocol",
      protocol({}),
      `${at}.protocols[0]: Invalid value: 0: ${at}.protocols[0] in body should have at least 1 properties`,
    ],
    [
      "a protocol without a port",
      protocol({ tcp: {} }),
      `${at}.protocols[0].tcp: Invalid value: 0: ${at}.protocols[0].tcp in body should have at least 1 properties`,
    ],
    [
      "port 0",
      protocol({ tcp: { destinationPort: { number: 0 } } }),
      `${at}.protocols[0].tcp.destinationPort.number: Invalid value: 0: ${at}.protocols[0].tcp.destinationPort.number in body should be greater than or equal to 1`,
    ],
    [
      "a range of one port",
      protocol({ udp: { destinationPort: { range: { start: 5, end: 5 } } } }),
      `${at}.protocols[0].udp.destinationPort.range: Invalid value: "object": Start port must be less than End port`,
    ],
    [
      "a name of a network's port",
      egress({ to: [{ networks: ["::/0"] }], protocols: [{ destinationNamedPort: "web" }] }),
      `${at}: Invalid value: "object": networks/nodes/domainNames peer cannot be set with namedPorts since there are no namedPorts for networks/nodes/domainNames`,
    ],
  ];
  for (const [name, spec, expected] of cases) test(name, () => assert.deepEqual(problemsOf(spec), [expected]));

  test("a name that is none", () => {
    assert.match(problemsOf(egress({ to: [{ domainNames: ["*.*.com"] }] })).join(), /domainNames\[0\] in body should match/);
  });
});
