// Judges a packet by the prose of ClusterNetworkPolicy (network-policy-api, clusternetworkpolicy_types.go), tier after tier. Shares nothing
// with how policies are parsed and compiled, so that both can be compared.
import type { LabelSelector } from "kubernetes-types/meta/v1";
import { type Addr, formatAddr, parsePrefix, prefixContains } from "#ip";
import {
  type ClusterNetworkPolicy,
  type ClusterNetworkPolicyPeer,
  type ClusterNetworkPolicyPort,
  type ClusterNetworkPolicyProtocol,
  matchLabelSelector,
  type Stored,
} from "#kube";
import { SCTP, TCP, UDP } from "#nft";
import type { Cluster, NetworkPolicy, PodFacts } from "../types.ts";
import { allowed, type Packet } from "./reference.ts";

export interface AllPolicies {
  readonly networkPolicies: readonly Stored<NetworkPolicy>[];
  readonly clusterPolicies: readonly Stored<ClusterNetworkPolicy>[];
}

type Type = "Ingress" | "Egress";

/** Both directions by themselves: what the source may send must still be let in by the destination. A pod reaches itself. */
export function allowedInTiers(policies: AllPolicies, cluster: Cluster, packet: Packet): boolean {
  if (formatAddr(packet.src) === formatAddr(packet.dst)) return true;
  const [src, dst] = [podAt(cluster, packet.src), podAt(cluster, packet.dst)];
  const isAllowed = (type: Type, subject: PodFacts | undefined): boolean =>
    subject === undefined || new Judge(policies, cluster, packet).isAllowed(type, subject);
  return isAllowed("Egress", src) && isAllowed("Ingress", dst);
}

function podAt(cluster: Cluster, addr: Addr): PodFacts | undefined {
  return [...cluster.pods.values()].find((pod) => pod.addrs.some((own) => formatAddr(own) === formatAddr(addr)));
}

class Judge {
  readonly #policies: AllPolicies;
  readonly #cluster: Cluster;
  readonly #packet: Packet;

  constructor(policies: AllPolicies, cluster: Cluster, packet: Packet) {
    this.#policies = policies;
    this.#cluster = cluster;
    this.#packet = packet;
  }

  /** Admin; then, where that has not decided, NetworkPolicies, which always decide about those that they select; then Baseline; then all is allowed. */
  isAllowed(type: Type, subject: PodFacts): boolean {
    return this.#tier("Admin", type, subject) ?? this.#networkPolicies(type, subject) ?? this.#tier("Baseline", type, subject) ?? true;
  }

  #tier(tier: string, type: Type, subject: PodFacts): boolean | undefined {
    const own = this.#policies.clusterPolicies.filter(({ spec }) => spec?.tier === tier);
    own.sort((a, b) => (a.spec?.priority ?? 0) - (b.spec?.priority ?? 0) || (a.metadata.name < b.metadata.name ? -1 : 1));
    for (const { spec } of own) {
      if (spec === undefined || !this.#isIn(spec.subject, subject)) continue;
      const rules =
        type === "Ingress"
          ? (spec.ingress ?? []).map(({ from, ...rule }) => ({ ...rule, peers: from }))
          : (spec.egress ?? []).map(({ to, ...rule }) => ({ ...rule, peers: to }));
      for (const { action, peers, protocols = [] } of rules) {
        const isUnknown = peers.some((peer) => Object.keys(peer).length === 0);
        if (isUnknown && action === "Accept") continue;
        if (isUnknown) return false;
        if (!peers.some((peer) => this.#isPeer(peer, type))) continue;
        if (protocols.length > 0 && !protocols.some((protocol) => this.#isProtocol(protocol, peers, type))) continue;
        if (action === "Accept") return true;
        if (action === "Deny") return false;
        return undefined;
      }
    }
    return undefined;
  }

  #networkPolicies(type: Type, subject: PodFacts): boolean | undefined {
    const isolating = this.#policies.networkPolicies.filter(
      ({ metadata, spec }) =>
        metadata.namespace === subject.namespace &&
        matchLabelSelector(spec?.podSelector, subject.labels) &&
        (spec?.policyTypes?.length ? spec.policyTypes : spec?.egress?.length ? ["Ingress", "Egress"] : ["Ingress"]).includes(type),
    );
    if (isolating.length === 0) return undefined;
    const only = isolating.map((policy) => ({ ...policy, spec: { podSelector: {}, ...policy.spec, policyTypes: [type] } }));
    return allowed(only, this.#cluster, this.#packet);
  }

  #isIn(selector: { namespaces?: LabelSelector; pods?: ClusterNetworkPolicyPeer["pods"] }, pod: PodFacts): boolean {
    const namespace = this.#cluster.namespaces.get(pod.namespace);
    if (selector.namespaces !== undefined) return matchLabelSelector(selector.namespaces, namespace);
    const { namespaceSelector = {}, podSelector } = selector.pods ?? {};
    return matchLabelSelector(namespaceSelector, namespace) && matchLabelSelector(podSelector, pod.labels);
  }

  #isPeer(peer: ClusterNetworkPolicyPeer, type: Type): boolean {
    const addr = type === "Ingress" ? this.#packet.src : this.#packet.dst;
    if (peer.networks !== undefined) return peer.networks.some((cidr) => prefixContains(parsePrefix(cidr), addr));
    if (peer.nodes !== undefined) {
      const nodes = (this.#cluster.nodes ?? []).filter(({ addrs }) => addrs.some((own) => formatAddr(own) === formatAddr(addr)));
      return nodes.some(({ labels }) => matchLabelSelector(peer.nodes, labels));
    }
    if (peer.domainNames !== undefined) return false;
    const pod = podAt(this.#cluster, addr);
    return pod?.isPeer === true && this.#isIn(peer, pod);
  }

  #isProtocol(protocol: ClusterNetworkPolicyProtocol, peers: readonly ClusterNetworkPolicyPeer[], type: Type): boolean {
    const { tcp, udp, sctp, destinationNamedPort: name } = protocol;
    const packet = this.#packet;
    if (name !== undefined) {
      const pod = podAt(this.#cluster, packet.dst);
      const hasNames =
        type === "Ingress" || peers.some((peer) => (peer.pods ?? peer.namespaces) && pod && pod.isPeer && this.#isIn(peer, pod));
      return (
        hasNames && pod?.ports.some((own) => own.name === name && own.protocol === packet.protocol && own.port === packet.port) === true
      );
    }
    const of = { [TCP]: tcp, [UDP]: udp, [SCTP]: sctp }[packet.protocol];
    return of !== undefined && isAt(of.destinationPort, packet.port);
  }
}

function isAt({ number, range }: ClusterNetworkPolicyPort = {}, port: number): boolean {
  return range === undefined ? number === port : range.start <= port && port <= range.end;
}
