// What admission adds to pods beside their service account. After plugins `defaulttolerationseconds` and `priority`.
import type { Pod, PodSpec, Toleration } from "kubernetes-types/core/v1";
import { PODS } from "#kube";
import { forbidden } from "../status.ts";

const TOLERATION_SECONDS = 300;
const TAINTS = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
// The two classes that exist without anybody making them (pkg/apis/scheduling).
const SYSTEM_PRIORITIES: Readonly<Record<string, number>> = {
  "system-cluster-critical": 2_000_000_000,
  "system-node-critical": 2_000_001_000,
};

export function admitTolerations(spec: PodSpec): void {
  for (const key of TAINTS) {
    if ((spec.tolerations ?? []).some((toleration) => tolerates(toleration, key))) continue;
    spec.tolerations = [
      ...(spec.tolerations ?? []),
      { key, operator: "Exists", effect: "NoExecute", tolerationSeconds: TOLERATION_SECONDS },
    ];
  }
}

function tolerates({ key, effect }: Toleration, taint: string): boolean {
  const hasKey = key === undefined || key === "" || key === taint;
  return hasKey && (effect === undefined || effect === "" || effect === "NoExecute");
}

export function admitPriority(pod: Pod, spec: PodSpec): void {
  const name = spec.priorityClassName ?? "";
  const priority = name === "" ? 0 : SYSTEM_PRIORITIES[name];
  if (priority === undefined) throw forbidden(PODS, pod.metadata?.name ?? "", `no PriorityClass with name ${name} was found`);
  spec.priority = priority;
  spec.preemptionPolicy ??= "PreemptLowerPriority";
}
