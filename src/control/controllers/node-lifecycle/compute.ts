// What a node's heartbeats say about it (kubernetes `pkg/controller/nodelifecycle`, `pkg/controller/tainteviction`).
import type { Node, NodeCondition, Pod, Taint, Toleration } from "kubernetes-types/core/v1";
import { formatTime } from "#base";

/** Without a sign of life for so long, a node counts as lost (`--node-monitor-grace-period`; the Lease is renewed every 10 s). */
export const GRACE_MS = 40_000;

const KUBELET_CONDITIONS = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

const NOT_READY = "node.kubernetes.io/not-ready";
const UNREACHABLE = "node.kubernetes.io/unreachable";

/** Condition by which a node keeps new pods away, as a taint. */
const PRESSURES: Readonly<Record<string, string>> = {
  MemoryPressure: "node.kubernetes.io/memory-pressure",
  DiskPressure: "node.kubernetes.io/disk-pressure",
  PIDPressure: "node.kubernetes.io/pid-pressure",
  NetworkUnavailable: "node.kubernetes.io/network-unavailable",
};
const UNSCHEDULABLE = "node.kubernetes.io/unschedulable";

const OURS: ReadonlySet<string> = new Set([NOT_READY, UNREACHABLE, UNSCHEDULABLE, ...Object.values(PRESSURES)]);

export function readyStatus(node: Node): string | undefined {
  return node.status?.conditions?.find((condition) => condition.type === "Ready")?.status;
}

/** The conditions of a node that went silent; undefined when they say so already. */
export function lostConditions(node: Node, nowMs: number): NodeCondition[] | undefined {
  const conditions = node.status?.conditions ?? [];
  const silent = KUBELET_CONDITIONS.filter((type) => conditions.find((condition) => condition.type === type)?.status !== "Unknown");
  if (silent.length === 0) return undefined;
  const kept = conditions.filter((condition) => !silent.includes(condition.type));
  const lost = silent.map((type) => {
    const before = conditions.find((condition) => condition.type === type);
    const isNew = before === undefined;
    return {
      type,
      status: "Unknown",
      lastHeartbeatTime: before?.lastHeartbeatTime ?? node.metadata?.creationTimestamp ?? formatTime(nowMs),
      lastTransitionTime: formatTime(nowMs),
      reason: isNew ? "NodeStatusNeverUpdated" : "NodeStatusUnknown",
      message: isNew ? "Kubelet never posted node status." : "Kubelet stopped posting node status.",
    };
  });
  return [...kept, ...lost];
}

/** The taints that the conditions ask for, beside those of others; undefined when the node has exactly these. */
export function computeTaints(node: Node, nowMs: number): Taint[] | undefined {
  const current = node.spec?.taints ?? [];
  const wanted = wantedTaints(node);
  const kept = current.filter((taint) => !OURS.has(taint.key) || wanted.some((want) => isSame(want, taint)));
  const added = wanted.filter((want) => !current.some((taint) => isSame(want, taint)));
  if (added.length === 0 && kept.length === current.length) return undefined;
  return [...kept, ...added.map((taint) => (taint.effect === "NoExecute" ? { ...taint, timeAdded: formatTime(nowMs) } : taint))];
}

function wantedTaints(node: Node): Taint[] {
  const taints: Taint[] = [];
  const ready = readyStatus(node);
  const key = ready === "Unknown" ? UNREACHABLE : NOT_READY;
  if (ready !== "True") taints.push({ key, effect: "NoSchedule" });
  // A node that never said anything has nothing to be driven away.
  if (ready === "False" || ready === "Unknown") taints.push({ key, effect: "NoExecute" });
  for (const { type, status } of node.status?.conditions ?? []) {
    const pressure = PRESSURES[type];
    if (pressure !== undefined && status === "True") taints.push({ key: pressure, effect: "NoSchedule" });
  }
  if (node.spec?.unschedulable === true) taints.push({ key: UNSCHEDULABLE, effect: "NoSchedule" });
  return taints;
}

function isSame(a: Taint, b: Taint): boolean {
  return a.key === b.key && a.effect === b.effect;
}

/** When a pod has to leave its node, in milliseconds since the epoch; undefined: never. */
export function evictionAtMs(pod: Pod, node: Node, nowMs: number): number | undefined {
  let earliest: number | undefined;
  for (const taint of node.spec?.taints ?? []) {
    if (taint.effect !== "NoExecute") continue;
    const matching = (pod.spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    const limits = matching.map((toleration) => toleration.tolerationSeconds).filter((seconds) => seconds !== undefined);
    if (matching.length > 0 && limits.length === 0) continue;
    const since = Date.parse(taint.timeAdded ?? "") || nowMs;
    const at = since + Math.max(0, matching.length === 0 ? 0 : Math.min(...limits)) * 1000;
    earliest = earliest === undefined ? at : Math.min(earliest, at);
  }
  return earliest;
}

function tolerates({ key = "", operator = "Equal", value = "", effect = "" }: Toleration, taint: Taint): boolean {
  if (effect !== "" && effect !== taint.effect) return false;
  if (key === "") return operator === "Exists";
  return key === taint.key && (operator === "Exists" || value === (taint.value ?? ""));
}
