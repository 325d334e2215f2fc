// The objects of a cluster that matter to who reaches whom, and the world that they make. Pure.
import type { Namespace, Node, Pod, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Addr, type Family, formatAddr, nthAddr, type Prefix, prefixSize, tryParseAddr, tryParsePrefix } from "#ip";
import { type ClusterNetworkPolicy, internalAddrsOf, type Stored } from "#kube";
import { type NetworkPolicy, type PodFacts, parsePolicy, podFacts } from "#netpol";
import { clusterLayerOf } from "./layers.ts";
import type { NodeFacts, World } from "./types.ts";

/** All by `namespace/name`, or by name. */
export interface Objects {
  readonly namespaces: ReadonlyMap<string, Stored<Namespace>>;
  readonly nodes: ReadonlyMap<string, Stored<Node>>;
  readonly pods: ReadonlyMap<string, Stored<Pod>>;
  readonly services: ReadonlyMap<string, Stored<Service>>;
  readonly slices: ReadonlyMap<string, Stored<EndpointSlice>>;
  readonly policies: ReadonlyMap<string, Stored<NetworkPolicy>>;
  readonly clusterPolicies: ReadonlyMap<string, Stored<ClusterNetworkPolicy>>;
}

export const NO_OBJECTS: Objects = {
  namespaces: new Map(),
  nodes: new Map(),
  pods: new Map(),
  services: new Map(),
  slices: new Map(),
  policies: new Map(),
  clusterPolicies: new Map(),
};

const parsed = new WeakMap<Stored<NetworkPolicy>, ReturnType<typeof parsePolicy>>();

function parseOnce(object: Stored<NetworkPolicy>): ReturnType<typeof parsePolicy> {
  const known = parsed.get(object) ?? parsePolicy(object);
  parsed.set(object, known);
  return known;
}

/** Pods that have no address yet get one that nobody has, of the cluster's Pod CIDRs. */
export function worldOf(objects: Objects): World {
  const nodes = [...objects.nodes.values()].map(nodeFacts);
  const pods = new Map([...objects.pods].map(([key, pod]) => [key, podFacts(pod)] as const));
  const free = freeAddrs(objects, pods.values());
  for (const [key, facts] of pods) {
    if (facts.isPeer && facts.addrs.length === 0) pods.set(key, { ...facts, addrs: free() });
  }
  return {
    pods,
    namespaces: new Map([...objects.namespaces].map(([name, { metadata }]) => [name, metadata.labels ?? {}])),
    nodes,
    policies: [...objects.policies.values()].map(parseOnce),
    clusterPolicies: [...objects.clusterPolicies.values()].map(clusterLayerOf),
  };
}

/** Its first address of each family: the one that its packets have. */
function nodeFacts(node: Stored<Node>): NodeFacts {
  const { addrs } = internalAddrsOf(node);
  const first = ([4, 6] as const).flatMap((family) => addrs.find((addr) => addr.family === family) ?? []);
  const declared = (node.status?.addresses ?? []).flatMap(({ address }) => tryParseAddr(address) ?? []);
  const gateways = podCidrsOf(node).map((cidr) => nthAddr(cidr, 1n));
  return { name: node.metadata.name, labels: node.metadata.labels ?? {}, addrs: first, own: [...declared, ...gateways] };
}

function podCidrsOf({ spec }: Stored<Node>): Prefix[] {
  return (spec?.podCIDRs ?? [spec?.podCIDR ?? ""]).flatMap((text) => tryParsePrefix(text) ?? []);
}

function freeAddrs({ nodes }: Objects, pods: Iterable<PodFacts>): () => Addr[] {
  const taken = new Set([...pods].flatMap(({ addrs }) => addrs.map(formatAddr)));
  const cidrs = [...nodes.values()].flatMap(podCidrsOf);
  return () => ([4, 6] as const).flatMap((family) => freeAddr(cidrs, family, taken) ?? []);
}

/** From the end: those that come next are given from the beginning. */
function freeAddr(cidrs: readonly Prefix[], family: Family, taken: Set<string>): Addr | undefined {
  for (const cidr of cidrs.filter(({ addr }) => addr.family === family)) {
    const size = prefixSize(cidr);
    for (let n = size - 2n; n > 1n && n > size - 10_000n; n--) {
      const addr = nthAddr(cidr, n);
      if (taken.has(formatAddr(addr))) continue;
      taken.add(formatAddr(addr));
      return addr;
    }
  }
  return undefined;
}
