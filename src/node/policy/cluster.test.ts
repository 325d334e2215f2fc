// ClusterNetworkPolicies: their tiers around NetworkPolicies, as nft text and packet by packet against the API's prose.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { LabelSelector } from "kubernetes-types/meta/v1";
import type { NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { type Addr, parseAddr } from "#ip";
import type {
  ClusterNetworkPolicy,
  ClusterNetworkPolicyEgressRule,
  ClusterNetworkPolicyPeer,
  ClusterNetworkPolicyProtocol,
  ClusterNetworkPolicySpec,
  Stored,
} from "#kube";
import {
  type Cluster,
  compareClusterPolicies,
  type NetworkPolicy,
  type NodeFacts,
  type Policy,
  parseClusterPolicy,
  parsePolicy,
} from "#netpol";
import { formatTable, SCTP, type Table, TCP, UDP } from "#nft";
import { allowedInTiers } from "../../core/netpol/testing/cluster-reference.ts";
import { clusterPolicy, pod, policy } from "../../core/netpol/testing/objects.ts";
import type { Packet } from "../../core/netpol/testing/reference.ts";
import { compile } from "./compile.ts";
import { passes } from "./testing/evaluate.ts";

const GOLDEN = new URL("cluster-policies.nft", import.meta.url);

const PODS = ["x", "y", "z"].flatMap((namespace, i) => ["a", "b", "c"].map((name, j) => pod(`${namespace}/${name}`, 10 * (i + 1) + j)));
const NODES: readonly NodeFacts[] = [1, 2].map((n) => ({
  name: `node-${n}`,
  labels: { node: String(n) },
  addrs: [parseAddr(`172.18.0.1${n}`), parseAddr(`fd00:18::1${n}`)],
}));
const CLUSTER: Cluster = {
  pods: new Map(PODS.map((p) => [p.key, p])),
  namespaces: new Map(["x", "y", "z"].map((ns) => [ns, { ns }])),
  nodes: NODES,
};

interface Given {
  readonly clusterPolicies: readonly Stored<ClusterNetworkPolicy>[];
  readonly networkPolicies?: readonly Stored<NetworkPolicy>[];
}

function tableOf({ clusterPolicies, networkPolicies = [] }: Given, pods = PODS): Table {
  const policies = new Map<string, Map<string, Policy>>();
  for (const object of networkPolicies) {
    const parsed = parsePolicy(object);
    policies.set(parsed.namespace, (policies.get(parsed.namespace) ?? new Map<string, Policy>()).set(parsed.key, parsed));
  }
  const sorted = clusterPolicies.map(parseClusterPolicy).toSorted(compareClusterPolicies);
  const subjects = pods.map((facts) => ({ addrs: facts.addrs, facts }));
  return compile({ subjects, policies, clusterPolicies: sorted, cluster: CLUSTER, known: new Map() }).table;
}

const ns = (name: string): ClusterNetworkPolicyPeer => ({ namespaces: { matchLabels: { ns: name } } });
const named = (name: string): ClusterNetworkPolicyPeer => ({ pods: { podSelector: { matchLabels: { pod: name } } } });
const ALL: ClusterNetworkPolicyPeer = { namespaces: {} };
const tcp = (number: number): ClusterNetworkPolicyProtocol => ({ tcp: { destinationPort: { number } } });

test("two tiers around a NetworkPolicy as nft text", () => {
  const clusterPolicies = [
    clusterPolicy("guard", {
      priority: 10,
      subject: { namespaces: { matchLabels: { ns: "x" } } },
      ingress: [
        { action: "Accept", from: [named("b")], protocols: [tcp(80), { destinationNamedPort: "serve-81-udp" }] },
        { action: "Pass", from: [ns("y")] },
        { action: "Deny", from: [ALL], name: "nobody else" },
      ],
      egress: [{ action: "Deny", to: [{ nodes: { matchLabels: { node: "2" } } }, { networks: ["192.0.2.0/24"] }] }],
    }),
    clusterPolicy("default", { tier: "Baseline", ingress: [{ action: "Deny", from: [ns("y")] }] }),
  ];
  const networkPolicies = [policy("x/web", { podSelector: { matchLabels: { pod: "a" } }, ingress: [{ ports: [{ port: 80 }] }] })];
  const pods = PODS.filter(({ key }) => ["x/a", "x/b", "z/a"].includes(key));
  const text = formatTable(tableOf({ clusterPolicies, networkPolicies }, pods));
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(GOLDEN, text);
  assert.equal(text, readFileSync(GOLDEN, "utf8"));
});

const addrOf = (key: string, family = 0): Addr => PODS.find((p) => p.key === key)?.addrs[family] ?? assert.fail(key);

/** Which of the nine pods reach x/a at port 80, TCP, over both families. */
function reach(given: Given): string {
  const table = tableOf(given);
  const all = { networkPolicies: [], ...given };
  const out = PODS.filter(({ key }) => {
    const [four, six] = [0, 1].map((family) => {
      const packet = { src: addrOf(key, family), dst: addrOf("x/a", family), protocol: TCP, port: 80 };
      assert.equal(passes(table, packet), allowedInTiers(all, CLUSTER, packet), `${key}: both ways`);
      return passes(table, packet);
    });
    assert.equal(four, six, `${key}: both families`);
    return four;
  });
  return out.map(({ key }) => key).join(" ");
}

const EVERYBODY = PODS.map(({ key }) => key).join(" ");
const SELF = "x/a";

suite("who reaches x/a", () => {
  const forX = { subject: { namespaces: { matchLabels: { ns: "x" } } } };
  const admin = (...ingress: NonNullable<ClusterNetworkPolicySpec["ingress"]>): Stored<ClusterNetworkPolicy> =>
    clusterPolicy("admin", { ...forX, ingress });
  const baseline = (...ingress: NonNullable<ClusterNetworkPolicySpec["ingress"]>): Stored<ClusterNetworkPolicy> =>
    clusterPolicy("baseline", { ...forX, tier: "Baseline", ingress });
  const closed = [policy("x/closed", {})];
  const open = [policy("x/open", { ingress: [{}] })];
  const cases: readonly (readonly [string, string, Given])[] = [
    ["one without rules is about nothing", EVERYBODY, { clusterPolicies: [admin()] }],
    ["Deny", SELF, { clusterPolicies: [admin({ action: "Deny", from: [ALL] })] }],
    ["Deny of some", "x/a x/b x/c z/a z/b z/c", { clusterPolicies: [admin({ action: "Deny", from: [ns("y")] })], networkPolicies: open }],
    [
      "Accept over a default deny",
      "x/a y/a y/b y/c",
      { clusterPolicies: [admin({ action: "Accept", from: [ns("y")] })], networkPolicies: closed },
    ],
    ["Pass leaves it to NetworkPolicies", SELF, { clusterPolicies: [admin({ action: "Pass", from: [ALL] })], networkPolicies: closed }],
    [
      "Pass leaves the tier, not the policy",
      EVERYBODY,
      {
        clusterPolicies: [
          admin({ action: "Pass", from: [ALL] }),
          clusterPolicy("later", { ...forX, priority: 9, ingress: [{ action: "Deny", from: [ALL] }] }),
        ],
      },
    ],
    ["Pass, then Baseline", SELF, { clusterPolicies: [admin({ action: "Pass", from: [ALL] }), baseline({ action: "Deny", from: [ALL] })] }],
    ["Baseline where there is no NetworkPolicy", SELF, { clusterPolicies: [baseline({ action: "Deny", from: [ALL] })] }],
    [
      "a NetworkPolicy overrides Baseline",
      EVERYBODY,
      { clusterPolicies: [baseline({ action: "Deny", from: [ALL] })], networkPolicies: open },
    ],
    [
      "a NetworkPolicy of the other direction does not",
      SELF,
      {
        clusterPolicies: [baseline({ action: "Deny", from: [ALL] })],
        networkPolicies: [policy("x/out", { policyTypes: ["Egress"], egress: [{}] })],
      },
    ],
    [
      "Baseline: the first that matches",
      "x/a z/a z/b z/c",
      { clusterPolicies: [baseline({ action: "Accept", from: [ns("z")] }, { action: "Deny", from: [ALL] })] },
    ],
    [
      "Baseline: Pass allows",
      "x/a y/a y/b y/c",
      { clusterPolicies: [baseline({ action: "Pass", from: [ns("y")] }, { action: "Deny", from: [ALL] })] },
    ],
    [
      "of two priorities the lower one",
      "x/a y/b",
      {
        clusterPolicies: [
          clusterPolicy("a", { ...forX, priority: 2, ingress: [{ action: "Deny", from: [ALL] }] }),
          clusterPolicy("b", {
            ...forX,
            priority: 1,
            ingress: [
              {
                action: "Accept",
                from: [{ pods: { namespaceSelector: { matchLabels: { ns: "y" } }, podSelector: { matchLabels: { pod: "b" } } } }],
              },
            ],
          }),
        ],
      },
    ],
    [
      "of one priority the name that sorts first",
      SELF,
      {
        clusterPolicies: [
          clusterPolicy("b", { ...forX, ingress: [{ action: "Accept", from: [ALL] }] }),
          clusterPolicy("a", { ...forX, ingress: [{ action: "Deny", from: [ALL] }] }),
        ],
      },
    ],
    [
      "what the source may send still needs the destination's consent",
      "x/a z/a z/b z/c",
      {
        clusterPolicies: [
          clusterPolicy("out", { egress: [{ action: "Accept", to: [ALL] }] }),
          admin({ action: "Accept", from: [ns("z")] }, { action: "Deny", from: [ALL] }),
        ],
      },
    ],
    [
      "what the destination lets in must still be sent",
      "x/a x/b x/c z/a z/b z/c",
      {
        clusterPolicies: [
          clusterPolicy("out", { subject: { namespaces: { matchLabels: { ns: "y" } } }, egress: [{ action: "Deny", to: [ns("x")] }] }),
          admin({ action: "Accept", from: [ALL] }),
        ],
      },
    ],
    [
      "an egress Accept skips NetworkPolicies of egress alone",
      EVERYBODY,
      {
        clusterPolicies: [clusterPolicy("out", { egress: [{ action: "Accept", to: [ns("x")] }] })],
        networkPolicies: [policy("y/closed", { policyTypes: ["Egress"] })],
      },
    ],
    [
      "networks have pods too",
      "x/a",
      { clusterPolicies: [clusterPolicy("out", { egress: [{ action: "Deny", to: [{ networks: ["0.0.0.0/0", "::/0"] }] }] })] },
    ],
    [
      "the port of a Deny",
      EVERYBODY,
      { clusterPolicies: [admin({ action: "Deny", from: [ALL], protocols: [tcp(81), { udp: { destinationPort: { number: 80 } } }] })] },
    ],
    [
      "a range",
      SELF,
      {
        clusterPolicies: [
          admin({ action: "Deny", from: [ALL], protocols: [{ tcp: { destinationPort: { range: { start: 79, end: 80 } } } }] }),
        ],
      },
    ],
    [
      "a named port",
      "x/a",
      { clusterPolicies: [admin({ action: "Deny", from: [ALL], protocols: [{ destinationNamedPort: "serve-80-tcp" }] })] },
    ],
    [
      "names of domains match nothing",
      "x/a x/b x/c",
      {
        clusterPolicies: [
          clusterPolicy("out", {
            subject: {
              pods: { namespaceSelector: { matchExpressions: [{ key: "ns", operator: "NotIn", values: ["x"] }] }, podSelector: {} },
            },
            egress: [
              { action: "Accept", to: [{ domainNames: ["*.example.com"] }] },
              { action: "Deny", to: [ALL] },
            ],
          }),
        ],
      },
    ],
    [
      "a peer that is not known: Accept accepts nothing",
      SELF,
      { clusterPolicies: [admin({ action: "Accept", from: [{}] })], networkPolicies: closed },
    ],
    ["a peer that is not known: Deny denies all", SELF, { clusterPolicies: [admin({ action: "Deny", from: [ns("none"), {}] })] }],
    [
      "a peer that is not known: Pass denies all",
      SELF,
      { clusterPolicies: [admin({ action: "Pass", from: [{}] })], networkPolicies: open },
    ],
  ];
  for (const [name, expected, given] of cases) test(name, () => assert.equal(reach(given), expected));
});

test("nodes are their addresses, and nobody else", () => {
  const egress = [{ action: "Deny", to: [{ nodes: { matchLabels: { node: "2" } } }] }];
  const table = tableOf({ clusterPolicies: [clusterPolicy("p", { egress })] });
  const to = (text: string): boolean => {
    const dst = parseAddr(text);
    return passes(table, { src: addrOf("x/a", dst.family === 4 ? 0 : 1), dst, protocol: TCP, port: 6443 });
  };
  assert.deepEqual(["172.18.0.11", "172.18.0.12", "fd00:18::11", "fd00:18::12", "192.0.2.1"].map(to), [true, false, true, false, true]);
});

test("a Deny holds where there is no connection to look at, an Accept alone does not close", () => {
  const bare = (action: string): string => {
    const text = formatTable(tableOf({ clusterPolicies: [clusterPolicy("p", { ingress: [{ action, from: [ns("y")] }] })] }));
    return text.match(/chain ingress-admin-\w+ \{\n\t\t(.*)/)?.[1] ?? "";
  };
  assert.match(bare("Deny"), /^ct state invalid,untracked goto deny-ingress-/);
  assert.doesNotMatch(bare("Accept"), /^ct state/);
});

const podSelector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.constant({}),
  fc.constantFrom("a", "b", "c").map((name) => ({ matchLabels: { pod: name } })),
  fc.constantFrom("a", "b").map((name) => ({ matchExpressions: [{ key: "pod", operator: "NotIn", values: [name] }] })),
);
const namespaceSelector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.constant({}),
  fc.constantFrom("x", "y", "z").map((name) => ({ matchLabels: { ns: name } })),
);
const selected: fc.Arbitrary<ClusterNetworkPolicyPeer> = fc.oneof(
  namespaceSelector.map((namespaces) => ({ namespaces })),
  fc.record({ podSelector, namespaceSelector }).map((pods) => ({ pods })),
  podSelector.map((own) => ({ pods: { podSelector: own } })),
);
const inPeer = fc.oneof({ weight: 30, arbitrary: selected }, { weight: 1, arbitrary: fc.constant({}) });
const cidr = fc.tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 26, max: 32 })).map(([n, bits]) => `10.244.1.${n}/${bits}`);
const outPeer: fc.Arbitrary<ClusterNetworkPolicyPeer> = fc.oneof(
  inPeer,
  fc
    .array(fc.oneof(cidr, fc.constantFrom("::/0", "fd00:10:244:1::10/124", "172.18.0.0/16")), { minLength: 1, maxLength: 3 })
    .map((networks) => ({ networks })),
  fc.constantFrom<LabelSelector>({}, { matchLabels: { node: "1" } }).map((nodes) => ({ nodes })),
  fc.constant<ClusterNetworkPolicyPeer>({ domainNames: ["example.com"] }),
);
const somePort = fc.oneof(
  fc.constantFrom(70, 80, 81).map((number) => ({ number })),
  fc.constantFrom(70, 79, 80).map((start) => ({ range: { start, end: start + 5 } })),
);
const protocol: fc.Arbitrary<ClusterNetworkPolicyProtocol> = fc.oneof(
  fc.tuple(fc.constantFrom("tcp", "udp", "sctp"), somePort).map(([key, destinationPort]) => ({ [key]: { destinationPort } })),
  fc.constantFrom("serve-80-tcp", "serve-81-udp", "nobody").map((destinationNamedPort) => ({ destinationNamedPort })),
);
const rule = <T extends string>(
  field: T,
  peer: fc.Arbitrary<ClusterNetworkPolicyPeer>,
): fc.Arbitrary<Record<T, ClusterNetworkPolicyPeer[]> & Omit<ClusterNetworkPolicyEgressRule, "to">> =>
  fc
    .record({
      action: fc.constantFrom("Accept", "Deny", "Pass"),
      peers: fc.array(peer, { minLength: 1, maxLength: 3 }),
      protocols: fc.option(fc.array(protocol, { minLength: 1, maxLength: 3 }), { nil: undefined }),
    })
    .map(({ action, peers, protocols }) => {
      // Names of domains are for Accept only: what the API server refuses is another test.
      const own = action === "Accept" ? peers : peers.map((one) => (one.domainNames === undefined ? one : ALL));
      return { action, [field]: own, ...(protocols !== undefined && { protocols }) } as never;
    });
const clusterSpec: fc.Arbitrary<ClusterNetworkPolicySpec> = fc.record({
  tier: fc.constantFrom("Admin", "Baseline"),
  priority: fc.constantFrom(0, 1, 1000),
  subject: selected.map((peer) => peer as ClusterNetworkPolicySpec["subject"]),
  ingress: fc.array(rule("from", inPeer), { maxLength: 3 }),
  egress: fc.array(rule("to", outPeer), { maxLength: 3 }),
});
const networkSpec: fc.Arbitrary<NetworkPolicySpec> = fc.record({
  podSelector,
  policyTypes: fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
  ingress: fc.array(
    podSelector.map((own) => ({ from: [{ podSelector: own, namespaceSelector: {} }] })),
    { maxLength: 1 },
  ),
  egress: fc.array(
    podSelector.map((own) => ({ to: [{ podSelector: own, namespaceSelector: {} }] })),
    { maxLength: 1 },
  ),
});
const place = fc.oneof(
  fc.integer({ min: 8, max: 40 }).map((n) => ["10.244.1.", "fd00:10:244:1::", n] as const),
  fc.constantFrom(11, 12, 13).map((n) => ["172.18.0.", "fd00:18::", n] as const),
);
const packet: fc.Arbitrary<Packet> = fc
  .record({
    src: place,
    dst: place,
    six: fc.boolean(),
    protocol: fc.constantFrom(TCP, UDP, SCTP, 1),
    port: fc.constantFrom(70, 75, 80, 81, 82, 443),
  })
  .map(({ src, dst, six, protocol: number, port }) => {
    const addr = ([four, longer, n]: readonly [string, string, number]): Addr =>
      parseAddr(six ? `${longer}${longer === "fd00:18::" ? n : n.toString(16)}` : `${four}${n}`);
    return { src: addr(src), dst: addr(dst), protocol: number, port };
  });

test("any tiers, policies and packets: as the API's prose says", () => {
  const specs = fc.array(clusterSpec, { minLength: 1, maxLength: 4 });
  const network = fc.array(fc.tuple(fc.constantFrom("x", "y"), networkSpec), { maxLength: 2 });
  fc.assert(
    fc.property(specs, network, fc.array(packet, { minLength: 20, maxLength: 40 }), (tiers, own, packets) => {
      const given = {
        clusterPolicies: tiers.map((spec, i) => clusterPolicy(`p${(i * 7) % 5}`, spec)),
        networkPolicies: own.map(([namespace, spec], i) => policy(`${namespace}/p${i}`, spec)),
      };
      const table = tableOf(given);
      for (const one of packets) assert.equal(passes(table, one), allowedInTiers(given, CLUSTER, one), JSON.stringify(one));
    }),
    { numRuns: 300 },
  );
});
