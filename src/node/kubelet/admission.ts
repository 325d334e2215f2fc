// Whether this node takes a pod that somebody has put here past the scheduler (`spec.nodeName`). Pure. After the kubelet's
// `predicateAdmitHandler` (k/k pkg/kubelet/lifecycle/predicate.go): what the scheduler would have refused fails at once, and for ever.
import type { PodStatus } from "kubernetes-types/core/v1";
import { formatTime } from "#base";
import { hostPorts, portsClash } from "#kube";
import type { StoredPod } from "./pod-spec.ts";

export interface Refusal {
  readonly reason: "NodePorts";
  readonly message: string;
}

/** `others`: the pods of this node. A pod that has begun to run is never refused. */
export function refusalOf(pod: StoredPod, others: Iterable<StoredPod>): Refusal | undefined {
  const wanted = hostPorts(pod);
  if (wanted.length === 0 || pod.status?.startTime !== undefined) return undefined;
  const taken = new Map<string, number>();
  for (const other of others) {
    if (other.metadata.uid === pod.metadata.uid || hasEnded(other)) continue;
    for (const port of hostPorts(other)) taken.set(port, 1);
  }
  if (!portsClash(wanted, taken)) return undefined;
  return {
    reason: "NodePorts",
    message: "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
  };
}

/** Until its containers are gone, a pod has its ports, also when it is being deleted. */
function hasEnded({ status }: StoredPod): boolean {
  return status?.phase === "Failed" || status?.phase === "Succeeded";
}

export function refusedStatus(pod: StoredPod, { reason, message }: Refusal, nowMs: number): PodStatus {
  return { ...pod.status, phase: "Failed", reason, message, startTime: formatTime(nowMs) };
}
