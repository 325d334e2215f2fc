// Whom a ClusterNetworkPolicy and its rules are about. Pure.
import type { Node } from "kubernetes-types/core/v1";
import { tryParseAddr } from "#ip";
import { type Labels, matchLabels, type Stored } from "#kube";
import type { ClusterPolicy, ClusterRule, NamespacedPodSelector, NodeFacts } from "./cluster-types.ts";
import { thinMetadata } from "./facts.ts";
import type { Cluster, PodFacts } from "./types.ts";

/** Whether the policy selects the pod, which has addresses of its own: pods with hostNetwork are not asked about. */
export function selectsPod(
  { subjects }: Pick<ClusterPolicy, "subjects">,
  pod: Pick<PodFacts, "namespace" | "labels">,
  namespaces: Cluster["namespaces"],
): boolean {
  // Of a namespace that is not known yet the name is: a policy for all must not wait for its labels.
  return subjects !== undefined && isSelected(subjects, pod, namespaces.get(pod.namespace) ?? {});
}

/** Whether one of the rule's selectors selects the pod. A namespace that is not known (yet) is nobody's. */
export function isClusterPeer(rule: ClusterRule, pod: PodFacts, namespaces: Cluster["namespaces"]): boolean {
  const labels = namespaces.get(pod.namespace);
  if (!pod.isPeer || labels === undefined) return false;
  return rule.peers?.selectors.some((selector) => isSelected(selector, pod, labels)) === true;
}

function isSelected(selector: NamespacedPodSelector, pod: Pick<PodFacts, "labels">, labels: Labels): boolean {
  return matchLabels(selector.namespaces, labels) && matchLabels(selector.pods, pod.labels);
}

/**
 * Whether the pod's named ports count for the rule: as a subject for ingress, as a selected peer for egress. Addresses of networks and nodes
 * have no names.
 */
export function countsForClusterNames(policy: ClusterPolicy, rule: ClusterRule, pod: PodFacts, namespaces: Cluster["namespaces"]): boolean {
  if ((rule.ports?.names.length ?? 0) === 0 || !pod.isPeer) return false;
  return rule.direction === "ingress"
    ? namespaces.has(pod.namespace) && selectsPod(policy, pod, namespaces)
    : isClusterPeer(rule, pod, namespaces);
}

export function isNodePeer(rule: ClusterRule, node: NodeFacts): boolean {
  return rule.peers?.nodes.some((selector) => matchLabels(selector, node.labels)) === true;
}

/** For the informer: all else of a Node is forgotten. */
export function thinNode({ apiVersion, kind, metadata, status }: Stored<Node>): Stored<Node> {
  const addresses = (status?.addresses ?? []).map(({ type, address }) => ({ type, address }));
  return { apiVersion, kind, metadata: thinMetadata(metadata), status: { addresses } };
}

export function nodeFacts({ metadata, status }: Stored<Node>): NodeFacts {
  const addrs = (status?.addresses ?? []).flatMap(({ address }) => tryParseAddr(address) ?? []);
  return { name: metadata.name, labels: metadata.labels ?? {}, addrs };
}
