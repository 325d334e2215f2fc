// Which pods go first when a ReplicaSet shrinks (kubernetes `pkg/controller/controller_utils.go`, ActivePodsWithRanks).
import type { Pod } from "kubernetes-types/core/v1";
import type { Stored } from "#kube";
import { isPodReady, readySinceMs } from "../pod-state.ts";

const DELETION_COST = "controller.kubernetes.io/pod-deletion-cost";

interface Ranked {
  readonly pod: Stored<Pod>;
  /** Pods of the same owner on its node: from the fullest node first. */
  readonly neighbours: number;
}

type Compare = (a: Ranked, b: Ranked) => number;

const PHASES: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** Earlier rules win; each puts the pod that is less of a loss first. */
const RULES: readonly Compare[] = [
  (a, b) => Number(isAssigned(a.pod)) - Number(isAssigned(b.pod)),
  (a, b) => phaseRank(a.pod) - phaseRank(b.pod),
  (a, b) => Number(isPodReady(a.pod)) - Number(isPodReady(b.pod)),
  (a, b) => deletionCost(a.pod) - deletionCost(b.pod),
  (a, b) => b.neighbours - a.neighbours,
  // Both are ready here, or neither: the one that became ready last.
  (a, b) => (readySinceMs(b.pod) ?? 0) - (readySinceMs(a.pod) ?? 0),
  (a, b) => restarts(b.pod) - restarts(a.pod),
  (a, b) => createdMs(b.pod) - createdMs(a.pod),
  // Times have seconds: among equals the choice is to be random, but stable (KEP-2185).
  (a, b) => (a.pod.metadata.uid < b.pod.metadata.uid ? -1 : 1),
];

/** The `count` pods to delete. `related` are the pods of the same owner, the doomed ones included. */
export function podsToDelete(pods: readonly Stored<Pod>[], related: readonly Pod[], count: number): Stored<Pod>[] {
  if (count >= pods.length) return [...pods];
  const perNode = new Map<string, number>();
  for (const pod of related) {
    const node = pod.spec?.nodeName;
    if (node !== undefined) perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  const ranked = pods.map((pod) => ({ pod, neighbours: perNode.get(pod.spec?.nodeName ?? "") ?? 0 }));
  ranked.sort((a, b) => {
    for (const rule of RULES) {
      const order = rule(a, b);
      if (order !== 0) return order;
    }
    return 0;
  });
  return ranked.slice(0, count).map(({ pod }) => pod);
}

function isAssigned(pod: Pod): boolean {
  return pod.spec?.nodeName !== undefined && pod.spec.nodeName !== "";
}

function phaseRank(pod: Pod): number {
  return PHASES[pod.status?.phase ?? ""] ?? 0;
}

function deletionCost(pod: Pod): number {
  const cost = Number(pod.metadata?.annotations?.[DELETION_COST] ?? "0");
  return Number.isInteger(cost) ? cost : 0;
}

function restarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((status) => status.restartCount));
}

function createdMs(pod: Pod): number {
  return Date.parse(pod.metadata?.creationTimestamp ?? "") || 0;
}
