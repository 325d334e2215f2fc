// Random clusters for property tests: few namespaces, labels and ports, so that policies meet.
import fc from "fast-check";
import type { NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { parseAddr } from "#ip";
import type { Labels, Stored } from "#kube";
import type { NetworkPolicy, PodFacts } from "#netpol";
import { parsePolicy } from "#netpol";
import { SCTP, TCP, UDP } from "#nft";
import { policy } from "../../../core/netpol/testing/objects.ts";
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
const spec: fc.Arbitrary<NetworkPolicySpec> = fc.record(
  {
    podSelector: selector,
    policyTypes: fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
    ingress: fc.array(ingress, { maxLength: 3 }),
    egress: fc.array(egress, { maxLength: 3 }),
  },
  { requiredKeys: ["podSelector"] },
) as fc.Arbitrary<NetworkPolicySpec>;

export interface RandomCluster {
  readonly objects: readonly Stored<NetworkPolicy>[];
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
    red: fc.subarray([...NAMESPACES]),
  })
  .map((given) => {
    const objects = given.policies.map((each, i) => policy(`${each.namespace}/p${i}`, each.spec));
    return { objects, world: worldOf(given, objects) };
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
    nodes: [1, 2].map((n) => ({ name: `node-${n}`, labels: {}, addrs: [parseAddr(`172.18.0.1${n}`), parseAddr(`fd00:18::1${n}`)] })),
    policies: objects.map(parsePolicy),
  };
}
