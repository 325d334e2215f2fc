// Judges a packet by a compiled table, and by the prose of the API: two ways that share nothing.
import type { NetworkPolicyPeer, NetworkPolicyPort } from "kubernetes-types/networking/v1";
import { type Addr, addrToBigInt, formatAddr, parsePrefix, prefixContains } from "#ip";
import { matchLabelSelector, type Stored } from "#kube";
import { type Expr, isInterval, type NftSet, SCTP, type Statement, type Table, TCP, UDP, type Value } from "#nft";
import type { Cluster, NetworkPolicy, PodFacts } from "../types.ts";

export interface Packet {
  readonly src: Addr;
  readonly dst: Addr;
  readonly protocol: number;
  readonly port: number;
}

/** Whether the table lets a packet of a connection through, on its way from a link. */
export function passes(table: Table, packet: Packet): boolean {
  return new Walk(table, packet).chain("routed") !== "drop";
}

class Walk {
  readonly #table: Table;
  readonly #packet: Packet;

  constructor(table: Table, packet: Packet) {
    this.#table = table;
    this.#packet = packet;
  }

  chain(name: string): "accept" | "drop" | "return" {
    const chain = this.#table.chains.find((c) => c.name === name);
    if (chain === undefined) throw new Error(`no chain ${name}`);
    for (const { statements } of chain.rules) {
      const verdict = this.#rule(statements);
      if (verdict === "return") return "return";
      if (verdict !== undefined) return verdict;
    }
    return "return";
  }

  #rule(statements: readonly Statement[]): "accept" | "drop" | "return" | undefined {
    for (const statement of statements) {
      if (statement.kind === "match") {
        // Of the flow's state there is nothing here but "established" and "new".
        if (statement.left.kind === "bitwise") return undefined;
        if (!same(this.#read(statement.left), [statement.right])) return undefined;
      } else if (statement.kind === "in") {
        if (this.#find(statement.set, statement.left) === undefined) return undefined;
      } else if (statement.kind === "vmap") {
        const data = this.#find(statement.map, statement.key)?.data;
        if (data === undefined || !("kind" in data) || data.kind !== "jump") return undefined;
        const verdict = this.chain(data.chain);
        return verdict === "return" ? undefined : verdict;
      } else if (statement.kind === "verdict") {
        const { kind } = statement.verdict;
        if (kind === "accept" || kind === "drop" || kind === "return") return kind;
        throw new Error(`verdict ${kind}`);
      } else throw new Error(`statement ${statement.kind}`);
    }
    return undefined;
  }

  #find(name: string, key: Expr): NftSet["elements"][number] | undefined {
    const set = this.#table.sets.find((s) => s.name === name);
    if (set === undefined) throw new Error(`no set ${name}`);
    const values = this.#read(key);
    return values === undefined ? undefined : set.elements.find((element) => same(values, element.key));
  }

  /** Undefined where the packet has no such thing, and the rule ends. */
  #read(expr: Expr): Value[] | undefined {
    const { src, dst, protocol, port } = this.#packet;
    if (expr.kind === "concat") {
      const parts = expr.parts.map((part) => this.#read(part));
      return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
    }
    if (expr.kind === "meta" && expr.key === "nfproto") return [src.family === 4 ? 2 : 10];
    if (expr.kind === "meta" && expr.key === "l4proto") return [protocol];
    if (expr.kind === "ct" && expr.key === "proto-src" && expr.direction === "reply") return [port];
    if (expr.kind === "ct" && expr.key === (src.family === 4 ? "ip saddr" : "ip6 saddr"))
      return [expr.direction === "original" ? src : dst];
    if (expr.kind === "ct") return undefined;
    throw new Error(`expression ${JSON.stringify(expr)}`);
  }
}

function same(values: readonly Value[] | undefined, parts: NftSet["elements"][number]["key"]): boolean {
  return (
    values?.every((value, i) => {
      const part = parts[i];
      if (part === undefined) return false;
      const number = numberOf(value);
      return isInterval(part) ? numberOf(part.first) <= number && number <= numberOf(part.last) : numberOf(part) === number;
    }) === true
  );
}

function numberOf(value: Value): bigint {
  if (typeof value === "number") return BigInt(value);
  if (typeof value === "object" && "family" in value) return addrToBigInt(value);
  throw new Error(`value ${String(value)}`);
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
        (spec?.policyTypes ?? (spec?.egress?.length ? ["Ingress", "Egress"] : ["Ingress"])).includes(type),
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
