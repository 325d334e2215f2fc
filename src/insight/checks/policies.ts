// Policies that say nothing, or less than was meant. Pure.
import { keyOf } from "#kube";
import { type PodFacts, type Policy, parseClusterPolicy, parsePolicy, podFacts, selects, selectsPod } from "#netpol";
import type { Check, Finding } from "./types.ts";

export const policiesSelect: Check = {
  number: 18,
  title: "policies mean something",
  proves: "every policy can be understood, and selects pods; where it selects none there is a warning",
  unit: "policies",
  run({ objects }) {
    const clusterPolicies = (objects.clusterNetworkPolicies ?? []).map(parseClusterPolicy);
    const pods = objects.pods.map(podFacts).filter(({ isPeer }) => isPeer);
    const namespaces = new Map(objects.namespaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
    const policies = objects.networkPolicies.map((object) => ({ object: `NetworkPolicy ${keyOf(object)}`, policy: parsePolicy(object) }));
    const failures = policies.flatMap(({ object, policy }) => notUnderstood(object, policy.problems));
    const clusterFailures = clusterPolicies.flatMap(({ name, problems }) => notUnderstood(`ClusterNetworkPolicy ${name}`, problems));
    const idle = clusterPolicies.filter((policy) => !pods.some((pod) => selectsPod(policy, pod, namespaces)));
    const warnings = [
      ...policies.flatMap(({ object, policy }) => (selectsNone(policy, pods) ? [selectsNobody(object, "spec.podSelector")] : [])),
      ...idle.map(({ name }) => selectsNobody(`ClusterNetworkPolicy ${name}`, "spec.subject")),
    ];
    return { examined: policies.length + clusterPolicies.length, failures: [...failures, ...clusterFailures], warnings };
  },
};

function notUnderstood(object: string, problems: readonly string[]): Finding[] {
  return problems.map((problem) => ({ object, problem, remedy: "correct it there: until then this part allows nothing" }));
}

function selectsNone(policy: Policy, pods: readonly PodFacts[]): boolean {
  return !pods.some((pod) => selects(policy, pod));
}

function selectsNobody(object: string, place: string): Finding {
  return { object, problem: `${place} selects no pod`, remedy: "compare it with the pods' labels: `kubectl get pods --show-labels`" };
}
