// Random clusters for property tests: few namespaces, labels and ports, so that policies meet.
import fc from "fast-check";
import type { NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { parseAddr } from "#ip";
import type { ClusterNetworkPolicy, ClusterNetworkPolicySpec, Labels, Stored } from "#kube";
import type { NetworkPolicy, PodFacts } from "#netpol";
import { parsePolicy } from "#netpol";
import { SCTP, TCP, UDP } from "#nft";
import { policy } from "../../../core/netpol/testing/objects.ts";
import { clusterLayerOf } from "../layers.ts";
import type { World } from "../types.ts";

const NAMESPACES = ["x", "y", "z"] as const;
const labels: fc.Arbitrary<Labels> = fc.record(
  { app: fc.constantFrom("web", "db", "cache"), tier: fc.constantFrom("a", "b") },
  { requiredKeys: [] },
);
const selector = fc.oneof(
  fc.constant({}),
  fc.record({ matchLabels: labels.map((given) => ({ ...given })) }),
  fc.record({
    matchExpressions: fc.array(
      fc.oneof(
        fc.record({
          key: fc.constantFrom("app", "tier"),
          operator: fc.constantFrom("In", "NotIn"),
          values: fc.constantFrom(["web"], ["db", "a"]),
        }),
        fc.record({ key: fc.constantFrom("app", "tier"), operator: fc.constantFrom("Exists", "DoesNotExist") }),
      ),
      { maxLength: 2 },
    ),
  }),
);
const namespaceSelector = fc.constantFrom({}, { matchLabels: { team: "red" } }, { matchLabels: { "kubernetes.io/metadata.name": "y" } });
const blocks = fc.constantFrom(
  { cidr: "0.0.0.0/0" },
  { cidr: "0.0.0.0/0", except: ["10.244.0.0/16"] },
  { cidr: "10.244.1.0/29", except: ["10.244.1.3/32"] },
  { cidr: "10.244.1.2/32" },
  { cidr: "172.18.0.0/24", except: ["172.18.0.12/32"] },
  { cidr: "203.0.113.0/24" },
  { cidr: "::/0", except: ["fd00:10:244:1::/126"] },
  { cidr: "2001:db8::/32" },
);
const peer: fc.Arbitrary<NetworkPolicyPeer> = fc.oneof(
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector }),
  fc.record({ podSelector: selector, namespaceSelector }),
  fc.record({ ipBlock: blocks }),
) as fc.Arbitrary<NetworkPolicyPeer>;
const port: fc.Arbitrary<NetworkPolicyPort> = fc.oneof(
  fc.record({ protocol: fc.constantFrom("TCP", "UDP", "SCTP") }),
  fc.record({ protocol: fc.constantFrom("TCP", "UDP"), port: fc.constantFrom(80, 81, 443) }),
  fc.record({ port: fc.constantFrom(80, 8000), endPort: fc.constantFrom(8000, 9000, 65_535) }),
  fc.record({ protocol: fc.constantFrom("TCP", "UDP"), port: fc.constantFrom<string>("http", "dns", "nobody") }),
);
const lists = { peers: fc.array(peer, { maxLength: 3 }), ports: fc.array(port, { maxLength: 3 }) };
const ingress: fc.Arbitrary<NetworkPolicyIngressRule> = fc.record(lists).map(({ peers, ports }) => ({ from: peers, ports }));
const egress = fc.record(lists).map(({ peers, ports }) => ({ to: peers, ports }));
export const spec: fc.Arbitrary<NetworkPolicySpec> = fc.record(
  {
    podSelector: selector,
    policyTypes: fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
    ingress: fc.array(ingress, { maxLength: 3 }),
    egress: fc.array(egress, { maxLength: 3 }),
  },
  { requiredKeys: ["podSelector"] },
) as fc.Arbitrary<NetworkPolicySpec>;

const namespacedPods = fc.record({ namespaceSelector, podSelector: selector });
const clusterPeer = fc.oneof(fc.record({ namespaces: namespaceSelector }), fc.record({ pods: namespacedPods }));
const destination = fc.oneof(
  fc.record({ number: fc.constantFrom(80, 81, 443) }),
  fc.record({ range: fc.constantFrom({ start: 80, end: 443 }, { start: 8000, end: 9000 }) }),
);
const protocol = fc.oneof(
  fc.record({ tcp: fc.record({ destinationPort: destination }) }),
  fc.record({ udp: fc.record({ destinationPort: destination }) }),
  fc.record({ destinationNamedPort: fc.constantFrom("http", "dns") }),
);
const common = {
  action: fc.constantFrom("Accept", "Deny", "Pass"),
  protocols: fc.array(protocol, { maxLength: 2 }).map((all) => (all.length === 0 ? undefined : all)),
};
const farPeer = fc.oneof(
  fc.record({ networks: fc.constantFrom(["0.0.0.0/0"], ["10.244.1.0/29", "2001:db8::/32"], ["172.18.0.12/32"]) }),
  fc.record({ nodes: fc.constantFrom({}, { matchLabels: { zone: "a" } }) }),
);
/** Names of ports do not go with networks and nodes (the CRD's own validation). */
const clusterRules = {
  ingress: fc.array(fc.record({ ...common, from: fc.array(clusterPeer, { minLength: 1, maxLength: 2 }) }), { maxLength: 3 }),
  egress: fc.array(
    fc.oneof(
      fc.record({ ...common, to: fc.array(clusterPeer, { minLength: 1, maxLength: 2 }) }),
      fc.record({ action: common.action, to: fc.array(farPeer, { minLength: 1, maxLength: 2 }) }),
    ),
    { maxLength: 3 },
  ),
};
export const clusterSpec: fc.Arbitrary<ClusterNetworkPolicySpec> = fc.record({
  tier: fc.constantFrom("Admin", "Baseline"),
  priority: fc.integer({ min: 0, max: 4 }),
  subject: clusterPeer,
  ...clusterRules,
}) as unknown as fc.Arbitrary<ClusterNetworkPolicySpec>;

export interface RandomCluster {
  readonly objects: readonly Stored<NetworkPolicy>[];
  readonly clusterObjects: readonly Stored<ClusterNetworkPolicy>[];
  readonly world: World;
}

const named = fc.subarray([
  { name: "http", protocol: TCP, port: 80 },
  { name: "http", protocol: UDP, port: 81 },
  { name: "dns", protocol: UDP, port: 443 },
  { name: "dns", protocol: SCTP, port: 80 },
]);
const pods = fc.array(
  fc.record({
    namespace: fc.constantFrom(...NAMESPACES),
    labels,
    ports: named,
    dual: fc.boolean(),
    node: fc.constantFrom("node-1", "node-2"),
  }),
  {
    minLength: 3,
    maxLength: 9,
  },
);

export const cluster: fc.Arbitrary<RandomCluster> = fc
  .record({
    pods,
    policies: fc.array(fc.record({ namespace: fc.constantFrom(...NAMESPACES), spec }), { maxLength: 7 }),
    tiers: fc.array(clusterSpec, { maxLength: 3 }),
    red: fc.subarray([...NAMESPACES]),
  })
  .map((given) => {
    const objects = given.policies.map((each, i) => policy(`${each.namespace}/p${i}`, each.spec));
    const clusterObjects = given.tiers.map((each, i) => clusterPolicy(`c${i}`, each));
    return { objects, clusterObjects, world: { ...worldOf(given, objects), clusterPolicies: clusterObjects.map(clusterLayerOf) } };
  });

interface Given {
  readonly pods: readonly { namespace: string; labels: Labels; ports: PodFacts["ports"]; dual: boolean; node: string }[];
  readonly red: readonly string[];
}

function worldOf({ pods: given, red }: Given, objects: readonly Stored<NetworkPolicy>[]): World {
  const facts = given.map(({ namespace, labels: own, ports, dual, node }, i): PodFacts => {
    const addrs = [parseAddr(`10.244.1.${i + 2}`), parseAddr(`fd00:10:244:1::${i + 2}`)];
    const key = `${namespace}/pod-${i}`;
    return { key, uid: key, namespace, nodeName: node, labels: own, addrs: dual ? addrs : addrs.slice(0, 1), ports, isPeer: true };
  });
  return {
    pods: new Map(facts.map((pod) => [pod.key, pod])),
    namespaces: new Map(
      NAMESPACES.map((name) => [name, { "kubernetes.io/metadata.name": name, ...(red.includes(name) && { team: "red" }) }]),
    ),
    nodes: [1, 2].map((n) => ({
      name: `node-${n}`,
      labels: n === 1 ? { zone: "a" } : {},
      addrs: [parseAddr(`172.18.0.1${n}`), parseAddr(`fd00:18::1${n}`)],
      own: [],
    })),
    policies: objects.map(parsePolicy),
  };
}

function clusterPolicy(name: string, spec: ClusterNetworkPolicySpec): Stored<ClusterNetworkPolicy> {
  const metadata = { name, uid: name, resourceVersion: "1", creationTimestamp: "" };
  return { apiVersion: "policy.networking.k8s.io/v1alpha2", kind: "ClusterNetworkPolicy", metadata, spec };
}
