import type { ContainerStatus, Pod } from "kubernetes-types/core/v1";
import { humanAge } from "../duration.ts";
import { PODS } from "../resources.ts";
import { AGE, ageOf, column, NAME, nameOf, orNone, type PrinterEntry, printerFor, type RowCondition, wide } from "./printer.ts";

export const POD_PRINTERS: readonly PrinterEntry[] = [
  printerFor(PODS, {
    columns: [
      NAME,
      column("Ready", "How many of the pod's containers are ready."),
      column("Status", "What the containers are doing, in a word."),
      column("Restarts", "How often containers were started again, and when last."),
      AGE,
      wide("IP", "The pod's first address."),
      wide("Node", "The node that the pod runs on."),
      wide("Nominated Node", "The node being cleared for the pod by preemption."),
      wide("Readiness Gates", "How many of the pod's readiness gates are true."),
    ],
    cells: (pod, now) => {
      const { ready, total, status, restarts, lastRestart } = podSummary(pod);
      return [
        nameOf(pod),
        `${ready}/${total}`,
        status,
        restarts > 0 && lastRestart !== "" ? `${restarts} (${humanAge(lastRestart, now)} ago)` : String(restarts),
        ageOf(pod, now),
        orNone(pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP),
        orNone(pod.spec?.nodeName),
        orNone(pod.status?.nominatedNodeName),
        readinessGates(pod),
      ];
    },
    conditions: completedCondition,
  }),
];

export interface PodSummary {
  readonly ready: number;
  readonly total: number;
  readonly status: string;
  readonly restarts: number;
  /** RFC 3339, or "". */
  readonly lastRestart: string;
}

interface Count {
  status: string;
  ready: number;
  restarts: number;
  lastRestart: string;
}

/** What `kubectl get pods` says of a pod (`printPod`): its phase, unless a container or the pod's deletion has more to say. */
export function podSummary(pod: Pod): PodSummary {
  const status = pod.status ?? {};
  const gated = status.conditions?.some((c) => c.type === "PodScheduled" && c.reason === "SchedulingGated") ?? false;
  const count: Count = {
    status: gated ? "SchedulingGated" : status.reason || (status.phase ?? ""),
    ready: 0,
    restarts: 0,
    lastRestart: "",
  };
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always").map((c) => c.name));
  const all = { restarts: 0, lastRestart: "" };
  const initializing = countInitContainers(pod, sidecars, count, all);
  if (initializing && !isTrue(pod, "Initialized")) Object.assign(count, all);
  else countContainers(pod, count);
  return {
    ...count,
    status: deletionStatus(pod) ?? count.status,
    total: (pod.spec?.containers?.length ?? 0) + sidecars.size,
  };
}

function deletionStatus(pod: Pod): string | undefined {
  if (pod.metadata?.deletionTimestamp === undefined) return undefined;
  if (pod.status?.reason === "NodeLost") return "Unknown";
  const over = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
  return over ? undefined : "Terminating";
}

function addRestarts(status: ContainerStatus, to: { restarts: number; lastRestart: string }): void {
  to.restarts += status.restartCount ?? 0;
  const finished = status.lastState?.terminated?.finishedAt;
  if (finished !== undefined && (to.lastRestart === "" || Date.parse(finished) > Date.parse(to.lastRestart))) to.lastRestart = finished;
}

/** Returns whether an init container still holds the pod up; `count.status` says which then. `all` gets every init container's restarts. */
function countInitContainers(
  pod: Pod,
  sidecars: ReadonlySet<string>,
  count: Count,
  all: { restarts: number; lastRestart: string },
): boolean {
  for (const [i, container] of (pod.status?.initContainerStatuses ?? []).entries()) {
    addRestarts(container, all);
    const isSidecar = sidecars.has(container.name);
    if (isSidecar) addRestarts(container, count);
    const { terminated, waiting } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (isSidecar && container.started === true) {
      if (container.ready) count.ready++;
      continue;
    }
    if (terminated !== undefined) count.status = `Init:${terminatedReason(terminated)}`;
    else if (waiting?.reason !== undefined && waiting.reason !== "" && waiting.reason !== "PodInitializing")
      count.status = `Init:${waiting.reason}`;
    else count.status = `Init:${i}/${pod.spec?.initContainers?.length ?? 0}`;
    return true;
  }
  return false;
}

function terminatedReason(state: { readonly reason?: string; readonly signal?: number; readonly exitCode: number }): string {
  if (state.reason !== undefined && state.reason !== "") return state.reason;
  return state.signal !== undefined && state.signal !== 0 ? `Signal:${state.signal}` : `ExitCode:${state.exitCode}`;
}

function countContainers(pod: Pod, count: Count): void {
  let running = false;
  for (const container of (pod.status?.containerStatuses ?? []).toReversed()) {
    addRestarts(container, count);
    const { waiting, terminated, running: runs } = container.state ?? {};
    if (waiting?.reason !== undefined && waiting.reason !== "") count.status = waiting.reason;
    else if (terminated !== undefined) count.status = terminatedReason(terminated);
    else if (container.ready && runs !== undefined) {
      running = true;
      count.ready++;
    }
  }
  if (count.status === "Completed" && running) count.status = isTrue(pod, "Ready") ? "Running" : "NotReady";
}

function isTrue(pod: Pod, condition: string): boolean {
  return pod.status?.conditions?.some((c) => c.type === condition && c.status === "True") ?? false;
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return "<none>";
  return `${gates.filter((gate) => isTrue(pod, gate.conditionType)).length}/${gates.length}`;
}

function completedCondition(pod: Pod): RowCondition[] {
  const phase = pod.status?.phase;
  if (phase === "Succeeded") return [{ type: "Completed", status: "True", reason: phase, message: "The pod ran to its end successfully." }];
  if (phase === "Failed") return [{ type: "Completed", status: "True", reason: phase, message: "The pod ended with a failure." }];
  return [];
}
