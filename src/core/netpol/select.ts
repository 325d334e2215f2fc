// Which pods a rule is about. Pure.
import { matchLabels } from "#kube";
import type { Cluster, PeerSelector, PodFacts, Policy, PolicyRule } from "./types.ts";

/** Whether the policy selects the pod. */
export function selects(policy: Pick<Policy, "namespace" | "subjects">, pod: Pick<PodFacts, "namespace" | "labels">): boolean {
  return pod.namespace === policy.namespace && matchLabels(policy.subjects, pod.labels);
}

/** A namespace that is not known (yet) is nobody's: what allows may come late. */
export function isPeer(selector: PeerSelector, namespace: string, pod: PodFacts, namespaces: Cluster["namespaces"]): boolean {
  if (!pod.isPeer || !matchLabels(selector.pods, pod.labels)) return false;
  if (selector.namespaces === undefined) return pod.namespace === namespace;
  const labels = namespaces.get(pod.namespace);
  return labels !== undefined && matchLabels(selector.namespaces, labels);
}

/** Whether one of the rule's selectors selects the pod. */
export function isSelectedPeer(policy: Policy, rule: PolicyRule, pod: PodFacts, namespaces: Cluster["namespaces"]): boolean {
  return rule.peers?.selectors.some((selector) => isPeer(selector, policy.namespace, pod, namespaces)) === true;
}

/**
 * Whether the pod's named ports count for the rule. They are those of the destination: of the policy's own pods for ingress, of the peers for
 * egress; of any pod where the peers are not chosen by selectors alone, since an address of a block may be a pod's.
 */
export function countsForNames(policy: Policy, rule: PolicyRule, pod: PodFacts, namespaces: Cluster["namespaces"]): boolean {
  if ((rule.ports?.names.length ?? 0) === 0 || !pod.isPeer) return false;
  if (rule.direction === "ingress") return selects(policy, pod);
  return rule.peers === undefined || rule.peers.blocks !== undefined || isSelectedPeer(policy, rule, pod, namespaces);
}

/** Whether what the rule compiles to depends on the pod. */
export function dependsOn(policy: Policy, rule: PolicyRule, pod: PodFacts, namespaces: Cluster["namespaces"]): boolean {
  return isSelectedPeer(policy, rule, pod, namespaces) || countsForNames(policy, rule, pod, namespaces);
}
