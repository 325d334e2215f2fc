// Taints and tolerations (kubernetes `pkg/apis/core/v1/helper`, `plugins/tainttoleration`).
import type { Node, Taint, Toleration } from "kubernetes-types/core/v1";

const UNSCHEDULABLE: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/**
 * The taints of a node, with those that its conditions stand for: the node controller adds them too, a moment later, and nothing must
 * be put on a node in that moment.
 */
export function nodeTaints(node: Node): readonly Taint[] {
  const taints = [...(node.spec?.taints ?? [])];
  const ready = node.status?.conditions?.find((condition) => condition.type === "Ready")?.status;
  if (ready !== "True") {
    const key = ready === "Unknown" ? "node.kubernetes.io/unreachable" : "node.kubernetes.io/not-ready";
    if (!taints.some((taint) => taint.key === key)) taints.push({ key, effect: "NoSchedule" });
  }
  return taints;
}

export function tolerates(tolerations: readonly Toleration[], taint: Taint): boolean {
  return tolerations.some(({ key = "", operator = "Equal", value = "", effect = "" }) => {
    if (effect !== "" && effect !== taint.effect) return false;
    if (key !== "" && key !== taint.key) return false;
    if (key === "" && operator !== "Exists") return false;
    return operator === "Exists" || value === (taint.value ?? "");
  });
}

/** The first taint that keeps a pod away. */
export function untolerated(node: Node, tolerations: readonly Toleration[]): Taint | undefined {
  return nodeTaints(node).find((taint) => taint.effect !== "PreferNoSchedule" && !tolerates(tolerations, taint));
}

export function isCordoned(node: Node, tolerations: readonly Toleration[]): boolean {
  return node.spec?.unschedulable === true && !tolerates(tolerations, UNSCHEDULABLE);
}

/** How many taints would rather not have the pod. */
export function dislikes(node: Node, tolerations: readonly Toleration[]): number {
  return (node.spec?.taints ?? []).filter((taint) => taint.effect === "PreferNoSchedule" && !tolerates(tolerations, taint)).length;
}
