// API objects and facts for tests, with as little as each test says.
import type { NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { parseAddr } from "#ip";
import type { ClusterNetworkPolicy, ClusterNetworkPolicySpec, Stored } from "#kube";
import { TCP, UDP } from "#nft";
import type { NamedPort, NetworkPolicy, PodFacts } from "../types.ts";

export function policy(name: string, spec: Partial<NetworkPolicySpec>): Stored<NetworkPolicy> {
  const [namespace = "x", own = name] = name.includes("/") ? name.split("/") : ["x", name];
  const metadata = { name: own, namespace, uid: name, resourceVersion: "1", creationTimestamp: "" };
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec: { podSelector: {}, ...spec } };
}

/** As the servers of the upstream suite have them: 80 and 81, named. */
const PORTS: readonly NamedPort[] = [
  { name: "serve-80-tcp", protocol: TCP, port: 80 },
  { name: "serve-81-tcp", protocol: TCP, port: 81 },
  { name: "serve-81-udp", protocol: UDP, port: 81 },
];

/** `key` is `namespace/name`, and its labels `pod: name`; `n` makes its addresses. */
export function pod(key: string, n: number, given: Partial<PodFacts> = {}): PodFacts {
  const [namespace = "", name = ""] = key.split("/");
  const addrs = [parseAddr(`10.244.1.${n}`), parseAddr(`fd00:10:244:1::${n.toString(16)}`)];
  return { key, uid: `uid-${n}`, namespace, nodeName: "node-1", labels: { pod: name }, addrs, ports: PORTS, isPeer: true, ...given };
}

export function clusterPolicy(name: string, spec: Partial<ClusterNetworkPolicySpec>): Stored<ClusterNetworkPolicy> {
  const metadata = { name, uid: name, resourceVersion: "1", creationTimestamp: "" };
  const all = { tier: "Admin", priority: 0, subject: { namespaces: {} }, ...spec };
  return { apiVersion: "policy.networking.k8s.io/v1alpha2", kind: "ClusterNetworkPolicy", metadata, spec: all };
}
