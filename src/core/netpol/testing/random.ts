// Small random clusters and policies in which much matches, for properties.

import fc from "fast-check";
import type { LabelSelector } from "kubernetes-types/meta/v1";
import type { NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { parseAddr } from "#ip";
import type { Stored } from "#kube";
import { SCTP, TCP, UDP } from "#nft";
import type { Flow, FlowEnd } from "../judge-types.ts";
import type { Cluster, NetworkPolicy } from "../types.ts";
import { pod, policy } from "./objects.ts";

const NAMESPACES = ["x", "y", "z"] as const;
const VALUES = ["a", "b"] as const;

const selector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.constant({}),
  fc.record({ matchLabels: fc.dictionary(fc.constantFrom("pod", "app"), fc.constantFrom(...VALUES), { minKeys: 1, maxKeys: 2 }) }),
  fc.record({
    matchExpressions: fc.array(
      fc.oneof(
        fc.record({
          key: fc.constantFrom("pod", "app", "tier"),
          operator: fc.constantFrom("In", "NotIn"),
          values: fc.uniqueArray(fc.constantFrom(...VALUES), { minLength: 1, maxLength: 2 }),
        }),
        fc.record({ key: fc.constantFrom("app", "tier"), operator: fc.constantFrom("Exists", "DoesNotExist") }),
      ),
      { minLength: 1, maxLength: 2 },
    ),
  }),
);

const NOT_A: LabelSelector = { matchExpressions: [{ key: "team", operator: "NotIn", values: ["a"] }] };
const namespaceSelector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.constantFrom({}, NOT_A),
  fc.record({ matchLabels: fc.record({ "kubernetes.io/metadata.name": fc.constantFrom(...NAMESPACES) }) }),
  fc.record({ matchLabels: fc.record({ team: fc.constantFrom(...VALUES) }) }),
);

const cidr = fc.constantFrom("10.244.1.0/24", "10.244.1.0/30", "10.244.1.2/32", "0.0.0.0/0", "192.0.2.0/24", "fd00:10:244:1::/64", "::/0");

const peer: fc.Arbitrary<NetworkPolicyPeer> = fc.oneof(
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector }),
  fc.record({ podSelector: selector, namespaceSelector }),
  fc.record({ ipBlock: fc.record({ cidr, except: fc.uniqueArray(cidr, { maxLength: 1 }) }) }),
);

const protocol = fc.constantFrom("TCP", "UDP", "SCTP");
const port: fc.Arbitrary<NetworkPolicyPort> = fc.oneof(
  fc.record({ protocol }),
  fc.record({ protocol, port: fc.constantFrom(80, 81, 82) }),
  fc.constant({ port: 80, endPort: 81 }),
  fc.record({ protocol, port: fc.constantFrom<number | string>("serve-80-tcp", "serve-81-udp", "web") }),
);

const lists = { peers: fc.array(peer, { maxLength: 3 }), ports: fc.array(port, { maxLength: 2 }) };
const ingress = fc.array(
  fc.record(lists).map(({ peers, ports }) => ({ from: peers, ports })),
  { maxLength: 3 },
);
const egress = fc.array(
  fc.record(lists).map(({ peers, ports }) => ({ to: peers, ports })),
  { maxLength: 3 },
);

const spec: fc.Arbitrary<Partial<NetworkPolicySpec>> = fc.record(
  {
    podSelector: selector,
    ingress,
    egress,
    policyTypes: fc.uniqueArray(fc.constantFrom("Ingress", "Egress"), { minLength: 1 }),
  },
  { requiredKeys: ["podSelector"] },
);

export interface RandomWorld {
  readonly cluster: Cluster;
  readonly objects: readonly Stored<NetworkPolicy>[];
}

const podLabels = fc.dictionary(fc.constantFrom("pod", "app", "tier"), fc.constantFrom(...VALUES), { maxKeys: 3 });
const ports = fc.constantFrom(undefined, [{ name: "web", protocol: TCP, port: 82 }]);

export const randomWorld: fc.Arbitrary<RandomWorld> = fc
  .record({
    pods: fc.array(fc.record({ namespace: fc.constantFrom(...NAMESPACES), labels: podLabels, ports }), { minLength: 2, maxLength: 5 }),
    teams: fc.array(fc.constantFrom(undefined, ...VALUES), { minLength: 3, maxLength: 3 }),
    specs: fc.array(fc.record({ namespace: fc.constantFrom(...NAMESPACES), spec }), { minLength: 1, maxLength: 4 }),
  })
  .map(({ pods, teams, specs }) => {
    const facts = pods.map(({ namespace, labels, ports: own }, i) =>
      pod(`${namespace}/p${i}`, i + 1, { labels, ...(own !== undefined && { ports: own }) }),
    );
    const namespaces = NAMESPACES.map((name, i) => {
      const team = teams[i];
      return [name, { "kubernetes.io/metadata.name": name, ...(team !== undefined && { team }) }] as const;
    });
    const cluster: Cluster = { pods: new Map(facts.map((own) => [own.key, own])), namespaces: new Map(namespaces) };
    return { cluster, objects: specs.map(({ namespace, spec: one }, i) => policy(`${namespace}/n${i}`, one)) };
  });

export interface RandomPacket {
  readonly from: number;
  readonly to: number;
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly port: number;
}

/** Ends are places among the pods; one beyond them is outside. */
export const randomPacket: fc.Arbitrary<RandomPacket> = fc.record({
  from: fc.nat(5),
  to: fc.nat(5),
  family: fc.constantFrom(4, 6),
  protocol: fc.constantFrom(TCP, UDP, SCTP),
  port: fc.constantFrom(79, 80, 81, 82),
});

/** Outside is 192.0.2.7 and 2001:db8::7. */
export function flowOf(cluster: Cluster, packet: RandomPacket): Flow {
  const pods = [...cluster.pods.values()];
  const end = (place: number): FlowEnd => {
    const found = pods[place];
    const own = found?.addrs.find(({ family }) => family === packet.family);
    if (found === undefined || own === undefined) return { addr: parseAddr(packet.family === 4 ? "192.0.2.7" : "2001:db8::7") };
    return { addr: own, pod: found };
  };
  return { from: end(packet.from), to: end(packet.to), protocol: packet.protocol, port: packet.port };
}
