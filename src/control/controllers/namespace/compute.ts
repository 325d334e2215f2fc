// What a namespace that is being deleted says about itself (kubernetes `pkg/controller/namespace/deletion`).
import type { NamespaceCondition } from "kubernetes-types/core/v1";
import { formatTime } from "#base";
import type { KubeObject } from "#kube";

export const FINALIZER = "kubernetes";

export interface Remaining {
  /** As messages name it: `pods.` or `deployments.apps`. */
  readonly resource: string;
  readonly objects: readonly KubeObject[];
}

/** The conditions while there is something left, and why; times move with the status only. */
export function computeConditions(
  old: readonly NamespaceCondition[],
  remaining: readonly Remaining[],
  nowMs: number,
): NamespaceCondition[] {
  const some = remaining.filter(({ objects }) => objects.length > 0);
  const finalizers = countFinalizers(some);
  const content = some.map(({ resource, objects }) => `${resource} has ${objects.length} resource instances`).sort();
  const holding = [...finalizers].map(([name, count]) => `${name} in ${count} resource instances`).sort();
  return [
    condition(old, nowMs, {
      type: "NamespaceContentRemaining",
      isTrue: some.length > 0,
      reason: some.length > 0 ? "SomeResourcesRemain" : "ContentRemoved",
      message: some.length > 0 ? `Some resources are remaining: ${content.join(", ")}` : "All content successfully removed",
    }),
    condition(old, nowMs, {
      type: "NamespaceFinalizersRemaining",
      isTrue: finalizers.size > 0,
      reason: finalizers.size > 0 ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
      message:
        finalizers.size > 0
          ? `Some content in the namespace has finalizers remaining: ${holding.join(", ")}`
          : "All content-preserving finalizers finished",
    }),
  ];
}

function countFinalizers(remaining: readonly Remaining[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { objects } of remaining) {
    for (const name of objects.flatMap((object) => object.metadata?.finalizers ?? [])) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

interface Finding {
  readonly type: string;
  readonly isTrue: boolean;
  readonly reason: string;
  readonly message: string;
}

function condition(old: readonly NamespaceCondition[], nowMs: number, { type, isTrue, reason, message }: Finding): NamespaceCondition {
  const status = isTrue ? "True" : "False";
  const before = old.find((candidate) => candidate.type === type);
  const lastTransitionTime = before?.status === status ? (before.lastTransitionTime ?? formatTime(nowMs)) : formatTime(nowMs);
  return { type, status, reason, message, lastTransitionTime };
}
