// Judges a packet by the prose of the API. Shares nothing with how policies are compiled, so that both can be compared.
import type { NetworkPolicyPeer, NetworkPolicyPort } from "kubernetes-types/networking/v1";
import { type Addr, formatAddr, parsePrefix, prefixContains } from "#ip";
import { matchLabelSelector, type Stored } from "#kube";
import { SCTP, TCP, UDP } from "#nft";
import type { Cluster, NetworkPolicy, PodFacts } from "../types.ts";

export interface Packet {
  readonly src: Addr;
  readonly dst: Addr;
  readonly protocol: number;
  readonly port: number;
}

/** What the API's documentation says, word by word and without any haste. */
export function allowed(policies: readonly Stored<NetworkPolicy>[], cluster: Cluster, packet: Packet): boolean {
  const podAt = (addr: Addr): PodFacts | undefined =>
    [...cluster.pods.values()].find((pod) => pod.addrs.some((own) => formatAddr(own) === formatAddr(addr)));
  const [src, dst] = [podAt(packet.src), podAt(packet.dst)];
  if (formatAddr(packet.src) === formatAddr(packet.dst)) return true;
  const peerMatches = (peer: NetworkPolicyPeer, own: string, addr: Addr, pod: PodFacts | undefined): boolean => {
    if (peer.ipBlock !== undefined) {
      const inside = (cidr: string): boolean => prefixContains(parsePrefix(cidr), addr);
      return inside(peer.ipBlock.cidr) && !(peer.ipBlock.except ?? []).some(inside);
    }
    if (pod === undefined || !pod.isPeer) return false;
    if (peer.namespaceSelector === undefined) return pod.namespace === own && matchLabelSelector(peer.podSelector, pod.labels);
    const inNamespace = matchLabelSelector(peer.namespaceSelector, cluster.namespaces.get(pod.namespace));
    return inNamespace && (peer.podSelector === undefined || matchLabelSelector(peer.podSelector, pod.labels));
  };
  const portMatches = ({ protocol = "TCP", port, endPort }: NetworkPolicyPort): boolean => {
    if ({ TCP, UDP, SCTP }[protocol] !== packet.protocol) return false;
    if (port === undefined) return true;
    if (typeof port === "number") return endPort === undefined ? packet.port === port : port <= packet.port && packet.port <= endPort;
    return dst?.ports.some((own) => own.name === port && own.protocol === packet.protocol && own.port === packet.port) === true;
  };
  const direction = (type: "Ingress" | "Egress", subject: PodFacts | undefined, addr: Addr, peer: PodFacts | undefined): boolean => {
    if (subject === undefined) return true;
    const own = policies.filter(
      ({ metadata, spec }) =>
        metadata.namespace === subject.namespace &&
        matchLabelSelector(spec?.podSelector, subject.labels) &&
        (spec?.policyTypes?.length ? spec.policyTypes : spec?.egress?.length ? ["Ingress", "Egress"] : ["Ingress"]).includes(type),
    );
    if (own.length === 0) return true;
    return own.some(({ metadata, spec }) => {
      const rules =
        type === "Ingress"
          ? (spec?.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
          : (spec?.egress ?? []).map(({ to, ports }) => ({ peers: to, ports }));
      return rules.some(
        ({ peers = [], ports = [] }) =>
          (peers.length === 0 || peers.some((p) => peerMatches(p, metadata.namespace ?? "", addr, peer))) &&
          (ports.length === 0 || ports.some(portMatches)),
      );
    });
  };
  return direction("Egress", src, packet.dst, dst) && direction("Ingress", dst, packet.src, src);
}
