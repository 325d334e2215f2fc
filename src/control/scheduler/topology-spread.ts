// topologySpreadConstraints (KEP-895; kubernetes `plugins/podtopologyspread`), the ones that must hold.
import type { Pod, TopologySpreadConstraint } from "kubernetes-types/core/v1";
import { matchLabelSelector, type Stored } from "#kube";
import type { NodeState } from "./cluster.ts";
import { matchesNode } from "./node-affinity.ts";

export interface SpreadView {
  readonly constraint: TopologySpreadConstraint;
  readonly counts: ReadonlyMap<string, number>;
  readonly minimum: number;
  readonly countsSelf: boolean;
}

/** How many matching pods each domain has, for every constraint of the pod. */
export function viewSpread(pod: Stored<Pod>, nodes: readonly NodeState[]): SpreadView[] {
  const constraints = (pod.spec?.topologySpreadConstraints ?? []).filter((constraint) => constraint.whenUnsatisfiable === "DoNotSchedule");
  return constraints.map((constraint) => {
    const counts = new Map<string, number>();
    for (const { node, pods } of nodes) {
      const domain = node.metadata.labels?.[constraint.topologyKey];
      // Domains that the pod cannot go to anyway do not count (nodeAffinityPolicy: Honor).
      if (domain === undefined || !matchesNode(pod, node)) continue;
      const matching = [...pods.values()].filter((other) => isCounted(constraint, pod, other)).length;
      counts.set(domain, (counts.get(domain) ?? 0) + matching);
    }
    const enoughDomains = counts.size >= (constraint.minDomains ?? 1);
    const minimum = counts.size === 0 || !enoughDomains ? 0 : Math.min(...counts.values());
    return { constraint, counts, minimum, countsSelf: matchLabelSelector(constraint.labelSelector, pod.metadata.labels) };
  });
}

function isCounted(constraint: TopologySpreadConstraint, pod: Stored<Pod>, other: Stored<Pod>): boolean {
  return (
    other.metadata.namespace === pod.metadata.namespace &&
    other.metadata.deletionTimestamp === undefined &&
    matchLabelSelector(constraint.labelSelector, other.metadata.labels)
  );
}

export function spreadProblem(views: readonly SpreadView[], { node }: NodeState): string | undefined {
  for (const { constraint, counts, minimum, countsSelf } of views) {
    const domain = node.metadata.labels?.[constraint.topologyKey];
    if (domain === undefined) return "node(s) didn't match pod topology spread constraints (missing required label)";
    const skew = (counts.get(domain) ?? 0) + (countsSelf ? 1 : 0) - minimum;
    if (skew > constraint.maxSkew) return "node(s) didn't match pod topology spread constraints";
  }
  return undefined;
}
