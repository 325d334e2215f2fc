import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ClusterNetworkPolicy, ClusterNetworkPolicyPeer, ClusterNetworkPolicyProtocol, Stored } from "#kube";
import { TCP, UDP } from "#nft";
import { allowedPorts } from "./allowed-ports.ts";
import { parseClusterPolicy } from "./cluster-parse.ts";
import { applyEdits, renewed } from "./edits.ts";
import { judge } from "./judge.ts";
import type { Flow, FlowEnd, World } from "./judge-types.ts";
import { openedBy } from "./opens.ts";
import { parsePolicy } from "./parse.ts";
import { allowedInTiers } from "./testing/cluster-reference.ts";
import { pod, policy } from "./testing/objects.ts";
import { flowOf, randomPacket, randomWorld } from "./testing/random.ts";
import type { PodFacts } from "./types.ts";

type Spec = NonNullable<ClusterNetworkPolicy["spec"]>;

const WEB = pod("x/web", 1, { labels: { app: "web" } });
const DB = pod("x/db", 2, { labels: { app: "db" } });
const OTHER = pod("y/other", 3, { labels: { app: "web" } });

function cluster(name: string, spec: Partial<Spec>): ReturnType<typeof parseClusterPolicy> {
  return parseClusterPolicy(clusterObject(name, spec));
}

function clusterObject(name: string, spec: Partial<Spec>): Stored<ClusterNetworkPolicy> {
  const metadata = { name, uid: name, resourceVersion: "1", creationTimestamp: "" };
  return {
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    metadata,
    spec: { tier: "Admin", priority: 10, subject: { namespaces: {} }, ...spec },
  };
}

function worldOf(clusterPolicies: World["clusterPolicies"] = [], policies: readonly ReturnType<typeof parsePolicy>[] = []): World {
  const pods = new Map([WEB, DB, OTHER].map((own) => [own.key, own]));
  const namespaces = new Map(["x", "y"].map((name) => [name, { "kubernetes.io/metadata.name": name }]));
  const own = new Map(policies.map((one) => [one.key, one]));
  return { cluster: { pods, namespaces }, policies: new Map([["x", own]]), clusterPolicies };
}

function flow(from: PodFacts, to: PodFacts, port: number): Flow {
  const end = (own: PodFacts): FlowEnd => ({ pod: own, addr: own.addrs[0] ?? assert.fail("no address") });
  return { from: end(from), to: end(to), protocol: TCP, port };
}

const Y = { namespaces: { matchLabels: { "kubernetes.io/metadata.name": "y" } } };
const X = { namespaces: { matchLabels: { "kubernetes.io/metadata.name": "x" } } };
const port80 = { tcp: { destinationPort: { number: 80 } } };
const allowAll = parsePolicy(policy("all", { ingress: [{}] }));
const denyAll = parsePolicy(policy("deny", {}));

test("Admin before NetworkPolicies before Baseline, with the entries that decide", () => {
  const admin = cluster("guard", {
    subject: X,
    ingress: [{ action: "Deny", from: [X, Y], protocols: [{ udp: { destinationPort: { number: 80 } } }, port80] }],
  });
  const { decidedBy } = judge(worldOf([admin], [allowAll]), flow(OTHER, DB, 80)).ingress;
  assert.deepEqual(decidedBy, {
    by: "rule",
    policy: { kind: "ClusterNetworkPolicy", key: "guard" },
    tier: "Admin",
    action: "Deny",
    rule: 0,
    peer: 1,
    port: 1,
    portPath: "spec.ingress[0].protocols[1]",
    path: "spec.ingress[0].from[1]",
  });
});

test("Pass leaves the tier; Baseline counts where no NetworkPolicy isolates", () => {
  const pass = cluster("pass", { priority: 1, ingress: [{ action: "Pass", from: [Y] }] });
  const deny = cluster("late", { priority: 2, ingress: [{ action: "Deny", from: [Y] }] });
  const base = cluster("base", { tier: "Baseline", ingress: [{ action: "Deny", from: [Y] }] });
  const look = (world: World): unknown[] => {
    const { allowed, decidedBy, passedBy } = judge(world, flow(OTHER, DB, 80)).ingress;
    return [allowed, decidedBy.by, passedBy.map(({ policy: { key } }) => key)];
  };
  assert.deepEqual(look(worldOf([deny, pass])), [true, "nothing isolates", ["pass"]]);
  assert.deepEqual(look(worldOf([base, deny, pass])), [false, "rule", ["pass"]]);
  assert.deepEqual(look(worldOf([base, deny, pass], [allowAll])), [true, "rule", ["pass"]]);
  assert.deepEqual(look(worldOf([base, deny], [allowAll])), [false, "rule", []]);
  assert.deepEqual(look(worldOf([pass], [denyAll])), [false, "default deny", ["pass"]]);
});

test("what a Deny lacks: an Accept before it, and what that opens besides", () => {
  const guard = cluster("guard", { subject: X, ingress: [{ action: "Deny", from: [Y] }] });
  const world = worldOf([guard], [denyAll]);
  const [miss] = judge(world, flow(OTHER, DB, 80), { opens: true }).ingress.nearMisses;
  assert.match(miss?.fix?.text ?? "", /"action":"Accept".* to spec\.ingress of guard, before spec\.ingress\[0\]\.from\[0\]$/);
  const after = applyEdits(world, miss?.fix?.edits ?? []);
  assert.ok(judge(after, flow(OTHER, DB, 80)).allowed);
  assert.deepEqual(miss?.opens, [{ from: "y/other", to: "x/web", families: [4, 6], protocol: TCP, first: 80, last: 80 }]);
  assert.deepEqual(openedBy(world, []), []);
});

test("ports over all tiers are what is judged port by port", () => {
  const range = { tcp: { destinationPort: { range: { start: 79, end: 81 } } } };
  const policies = [
    cluster("a", { priority: 1, ingress: [{ action: "Pass", from: [Y], protocols: [port80] }] }),
    cluster("b", { priority: 2, ingress: [{ action: "Deny", from: [Y], protocols: [range] }] }),
    cluster("c", {
      priority: 3,
      ingress: [
        {
          action: "Accept",
          from: [Y],
          protocols: [{ destinationNamedPort: "serve-81-udp" }, { udp: { destinationPort: { number: 83 } } }],
        },
      ],
    }),
    cluster("d", {
      tier: "Baseline",
      egress: [{ action: "Deny", to: [{ networks: ["10.244.1.2/32"] }], protocols: [{ tcp: { destinationPort: { number: 82 } } }] }],
    }),
  ];
  for (const world of [worldOf(policies), worldOf(policies, [denyAll]), worldOf(policies, [allowAll])]) {
    for (const protocol of [TCP, UDP]) {
      for (const port of [78, 79, 80, 81, 82, 83]) {
        const one = { ...flow(OTHER, DB, port), protocol };
        const ranges = allowedPorts(world, one).ranges.get(protocol) ?? [];
        const isIn = ranges.some(({ first, last }) => first <= port && port <= last);
        assert.equal(judge(world, one).allowed, isIn, `${port}/${protocol}`);
      }
    }
  }
});

const peers: fc.Arbitrary<ClusterNetworkPolicyPeer> = fc.oneof(
  fc.constantFrom<ClusterNetworkPolicyPeer>({ namespaces: {} }, X, Y),
  fc.constantFrom("a", "b").map((app): ClusterNetworkPolicyPeer => ({ pods: { podSelector: { matchLabels: { app } } } })),
);
const networks = fc
  .constantFrom("10.244.1.0/30", "10.244.1.2/32", "192.0.2.0/24", "::/0")
  .map((network): ClusterNetworkPolicyPeer => ({ networks: [network] }));
const protocols = fc.array(
  fc.constantFrom<ClusterNetworkPolicyProtocol>(
    port80,
    { udp: { destinationPort: { range: { start: 80, end: 82 } } } },
    { destinationNamedPort: "web" },
  ),
  { maxLength: 2 },
);
const action = fc.constantFrom("Accept", "Deny", "Pass");
const clusterSpec = fc.record({
  tier: fc.constantFrom("Admin", "Baseline"),
  priority: fc.nat(3),
  subject: fc.constantFrom({ namespaces: {} }, X, Y),
  ingress: fc.array(fc.record({ action, from: fc.array(peers, { minLength: 1, maxLength: 2 }), protocols }), { maxLength: 3 }),
  egress: fc.array(fc.record({ action, to: fc.array(fc.oneof(peers, networks), { minLength: 1, maxLength: 2 }), protocols }), {
    maxLength: 3,
  }),
});

test("over all tiers as the prose of both APIs, and fixes do what they say", () => {
  fc.assert(
    fc.property(
      randomWorld,
      fc.array(clusterSpec, { minLength: 1, maxLength: 3 }),
      fc.array(randomPacket, { minLength: 3, maxLength: 6 }),
      (random, specs, packets) => {
        const clusterPolicies = specs.map((spec, i) => clusterObject(`c${i}`, spec));
        const parsed = random.objects.map(parsePolicy);
        const policies = new Map(
          [...Map.groupBy(parsed, ({ namespace }) => namespace)].map(([name, own]) => [name, new Map(own.map((one) => [one.key, one]))]),
        );
        const world: World = { cluster: random.cluster, policies, clusterPolicies: clusterPolicies.map(parseClusterPolicy) };
        for (const packet of packets) {
          const one = flowOf(random.cluster, packet);
          const { egress, ingress } = judge(world, one);
          const asked = { src: one.from.addr, dst: one.to.addr, protocol: packet.protocol, port: packet.port };
          const expected = allowedInTiers({ networkPolicies: random.objects, clusterPolicies }, random.cluster, asked);
          assert.equal(egress.allowed && ingress.allowed, expected);
          for (const { direction, nearMisses } of [egress, ingress]) {
            for (const { fix } of nearMisses) {
              if (fix === undefined) continue;
              const after = applyEdits(world, fix.edits);
              assert.ok(judge(after, renewed(after, one))[direction].allowed, fix.text);
            }
          }
        }
      },
    ),
    { numRuns: 150 },
  );
});
