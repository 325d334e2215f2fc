import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ClusterNetworkPolicySpec } from "#kube";
import { SCTP, TCP, UDP } from "#nft";
import { compareClusterPolicies, parseClusterPolicy } from "./cluster-parse.ts";
import { selectsPod } from "./cluster-select.ts";
import type { ClusterPolicy } from "./cluster-types.ts";
import { clusterPolicy, pod } from "./testing/objects.ts";

function parse(spec: Record<string, unknown>): ClusterPolicy {
  return parseClusterPolicy(clusterPolicy("p", spec as Partial<ClusterNetworkPolicySpec>));
}

const ALL = { namespaces: {} };

test("ports: numbers and ranges are merged, a name is of every protocol, nothing is everything", () => {
  const port = (destinationPort: object): object => ({ tcp: { destinationPort } });
  const protocols = [
    port({ number: 80 }),
    port({ range: { start: 81, end: 90 } }),
    { udp: { destinationPort: { number: 53 } } },
    { destinationNamedPort: "web" },
  ];
  const { rules, problems } = parse({
    ingress: [
      { action: "Deny", from: [ALL], protocols },
      { action: "Pass", from: [ALL] },
    ],
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(rules[0]?.ports, {
    numbers: [
      { protocol: TCP, first: 80, last: 90 },
      { protocol: UDP, first: 53, last: 53 },
    ],
    names: [TCP, UDP, SCTP].map((protocol) => ({ name: "web", protocol })),
  });
  assert.deepEqual([rules[1]?.action, rules[1]?.ports], ["pass", undefined]);
});

test("what cannot be understood fails closed: Accept matches nobody, Deny and Pass deny all", () => {
  const broken: readonly (readonly [string, Record<string, unknown>])[] = [
    ["an empty peer", { to: [ALL, {}] }],
    ["no peer", { to: [] }],
    ["no peers at all", {}],
    ["a selector", { to: [{ namespaces: { matchExpressions: [{ key: "a", operator: "Near", values: [] }] } }] }],
    ["a network", { to: [{ networks: ["10.0.0.0/33"] }] }],
    ["an empty protocol", { to: [ALL], protocols: [{}] }],
    ["a protocol without a port", { to: [ALL], protocols: [{ tcp: {} }] }],
    ["a range upside down", { to: [ALL], protocols: [{ tcp: { destinationPort: { range: { start: 9, end: 1 } } } }] }],
    ["null", { to: [null] }],
  ];
  for (const [name, rule] of broken) {
    const { rules, problems } = parse({ egress: ["Accept", "Deny", "Pass"].map((action) => ({ action, ...rule })) });
    assert.equal(problems.length, 3, name);
    const nobody = { selectors: [], blocks: undefined, nodes: [], domains: [] };
    assert.deepEqual(
      rules.map(({ action, peers, ports }) => [action, peers, ports]),
      [
        ["accept", nobody, undefined],
        ["deny", undefined, undefined],
        ["deny", undefined, undefined],
      ],
      name,
    );
  }
  const [unknown] = parse({ egress: [{ action: "Log", to: [ALL] }] }).rules;
  assert.deepEqual([unknown?.action, unknown?.peers], ["deny", undefined]);
  const [ingress] = parse({ ingress: [{ action: "Deny", from: [{ networks: ["10.0.0.0/8"] }] }] }).rules;
  assert.equal(ingress?.peers, undefined, "ingress knows no networks");
});

test("names of domains are read, and told of as not enforced; elsewhere than in Accept they deny", () => {
  const rule = (action: string): object => ({ action, to: [{ domainNames: ["*.Example.com", "example.org."] }] });
  const { rules, problems } = parse({ egress: [rule("Accept"), rule("Deny")] });
  assert.deepEqual([rules[0]?.peers?.domains, rules[1]?.peers], [["*.example.com", "example.org"], undefined]);
  assert.equal(problems.length, 2);
});

test("subjects: nobody where they cannot be understood", () => {
  const namespaces = new Map([["x", { team: "a" }]]);
  const selects = (subject: object): boolean => selectsPod(parse({ subject }), pod("x/a", 1), namespaces);
  assert.deepEqual(
    [
      selects({ namespaces: {} }),
      selects({ namespaces: { matchLabels: { team: "b" } } }),
      selects({ pods: { podSelector: { matchLabels: { pod: "a" } } } }),
      selects({ pods: { podSelector: {}, namespaceSelector: { matchLabels: { team: "b" } } } }),
      selects({}),
    ],
    [true, false, true, false, false],
  );
});

test("the order: tier, priority, name", () => {
  const sorted = [
    clusterPolicy("d", { tier: "Baseline", priority: 0 }),
    clusterPolicy("c", { priority: 5 }),
    clusterPolicy("b", { priority: 10 }),
    clusterPolicy("a", { priority: 10 }),
    clusterPolicy("e", { priority: -1 }),
  ]
    .map(parseClusterPolicy)
    .sort(compareClusterPolicies);
  assert.deepEqual(
    sorted.map(({ name }) => name),
    ["e", "c", "a", "b", "d"],
  );
});

test("nothing throws", () => {
  const odd = { toString: 0 };
  assert.equal(parse({ tier: odd, priority: odd, ingress: [{ action: odd, from: [odd] }] }).problems.length, 3);
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), fc.jsonValue(), (spec, rules, peer) => {
      const list = [{ action: "Accept", to: [peer], from: [peer], protocols: [peer] }, rules];
      for (const one of [spec, { ingress: rules }, { tier: spec, priority: rules, subject: peer, ingress: list, egress: list }]) {
        assert.equal(parseClusterPolicy({ ...clusterPolicy("p", {}), spec: one as never }).name, "p");
      }
    }),
    { numRuns: 300 },
  );
});
