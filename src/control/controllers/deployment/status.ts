// The status of a Deployment with upstream's conditions, reasons and messages
// (kubernetes `pkg/controller/deployment/progress.go`, `sync.go`); `kubectl rollout status` reads them.
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from "kubernetes-types/apps/v1";
import { formatTime } from "#base";
import type { Stored } from "#kube";
import { boundsOf, replicasOf } from "./rolling.ts";

/** Stands for "no deadline" (upstream: MaxInt32). */
const NO_DEADLINE = 2 ** 31 - 1;

export interface ReplicaSetsOf {
  readonly fresh: Stored<ReplicaSet> | undefined;
  readonly old: readonly Stored<ReplicaSet>[];
}

type Condition = Omit<DeploymentCondition, "lastTransitionTime" | "lastUpdateTime">;

export function hasDeadline(deployment: Deployment): boolean {
  const deadline = deployment.spec?.progressDeadlineSeconds;
  return deadline !== undefined && deadline !== NO_DEADLINE;
}

export function conditionOf(conditions: readonly DeploymentCondition[] | undefined, type: string): DeploymentCondition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** Puts a condition in its place. Times move only with a change: of anything, or of the status. */
export function setCondition(conditions: readonly DeploymentCondition[], next: Condition, nowMs: number): DeploymentCondition[] {
  const current = conditionOf(conditions, next.type);
  if (current !== undefined && current.status === next.status && current.reason === next.reason) return [...conditions];
  return replaceCondition(conditions, next, nowMs);
}

/** As `setCondition`, but moves `lastUpdateTime` in any case. */
function replaceCondition(conditions: readonly DeploymentCondition[], next: Condition, nowMs: number): DeploymentCondition[] {
  const current = conditionOf(conditions, next.type);
  const now = formatTime(nowMs);
  const lastTransitionTime = current?.status === next.status ? (current.lastTransitionTime ?? now) : now;
  return [
    ...conditions.filter((condition) => condition.type !== next.type),
    { type: next.type, status: next.status, lastUpdateTime: now, lastTransitionTime, ...reasonOf(next) },
  ];
}

function reasonOf(condition: Condition): { reason?: string; message?: string } {
  return {
    ...(condition.reason === undefined ? {} : { reason: condition.reason }),
    ...(condition.message === undefined ? {} : { message: condition.message }),
  };
}

export function progressing(status: "True" | "False" | "Unknown", reason: string, message: string): Condition {
  return { type: "Progressing", status, reason, message };
}

function total(replicaSets: readonly ReplicaSet[], field: "replicas" | "readyReplicas" | "availableReplicas"): number {
  return replicaSets.reduce((sum, replicaSet) => sum + (replicaSet.status?.[field] ?? 0), 0);
}

/** The counts, and whether enough pods are available. */
export function computeCounts(deployment: Stored<Deployment>, sets: ReplicaSetsOf, nowMs: number): DeploymentStatus {
  const all = sets.fresh === undefined ? sets.old : [...sets.old, sets.fresh];
  const availableReplicas = total(all, "availableReplicas");
  const wanted = all.reduce((sum, replicaSet) => sum + (replicaSet.spec?.replicas ?? 0), 0);
  const { desired, maxUnavailable } = boundsOf(deployment);
  const enough = availableReplicas >= desired - maxUnavailable;
  const available: Condition = enough
    ? { type: "Available", status: "True", reason: "MinimumReplicasAvailable", message: "Deployment has minimum availability." }
    : {
        type: "Available",
        status: "False",
        reason: "MinimumReplicasUnavailable",
        message: "Deployment does not have minimum availability.",
      };
  const collisionCount = deployment.status?.collisionCount;
  return {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: total(all, "replicas"),
    updatedReplicas: sets.fresh?.status?.replicas ?? 0,
    readyReplicas: total(all, "readyReplicas"),
    availableReplicas,
    unavailableReplicas: Math.max(0, wanted - availableReplicas),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    conditions: setCondition(deployment.status?.conditions ?? [], available, nowMs),
  };
}

/** The whole status of a Deployment that is rolling out or has. */
export function computeRolloutStatus(deployment: Stored<Deployment>, sets: ReplicaSetsOf, nowMs: number): DeploymentStatus {
  const status = computeCounts(deployment, sets, nowMs);
  const conditions = status.conditions ?? [];
  const progress = hasDeadline(deployment)
    ? computeProgress(deployment, status, sets.fresh, nowMs)
    : conditions.filter((condition) => condition.type !== "Progressing");
  return { ...status, conditions: withFailure(progress ?? conditions, sets, nowMs) };
}

function computeProgress(
  deployment: Stored<Deployment>,
  status: DeploymentStatus,
  fresh: Stored<ReplicaSet> | undefined,
  nowMs: number,
): DeploymentCondition[] | undefined {
  const conditions = status.conditions ?? [];
  const current = conditionOf(conditions, "Progressing");
  // Once complete, a lost pod or a scaling is not a rollout again.
  const wasComplete = status.replicas === status.updatedReplicas && current?.reason === "NewReplicaSetAvailable";
  if (wasComplete) return undefined;
  const subject = fresh === undefined ? `Deployment "${deployment.metadata.name}"` : `ReplicaSet "${fresh.metadata.name}"`;
  if (isComplete(deployment, status)) {
    return setCondition(conditions, progressing("True", "NewReplicaSetAvailable", `${subject} has successfully progressed.`), nowMs);
  }
  if (hasProgressed(deployment.status ?? {}, status)) {
    return replaceCondition(conditions, progressing("True", "ReplicaSetUpdated", `${subject} is progressing.`), nowMs);
  }
  if (hasTimedOut(deployment, status, nowMs)) {
    return setCondition(conditions, progressing("False", "ProgressDeadlineExceeded", `${subject} has timed out progressing.`), nowMs);
  }
  return undefined;
}

export function isComplete(deployment: Stored<Deployment>, status: DeploymentStatus): boolean {
  const desired = replicasOf(deployment);
  return (
    (status.updatedReplicas ?? 0) === desired &&
    (status.replicas ?? 0) === desired &&
    (status.availableReplicas ?? 0) === desired &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function hasProgressed(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus): number => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

function hasTimedOut(deployment: Deployment, status: DeploymentStatus, nowMs: number): boolean {
  const condition = conditionOf(status.conditions, "Progressing");
  if (condition === undefined || condition.reason === "NewReplicaSetAvailable") return false;
  if (condition.reason === "ProgressDeadlineExceeded") return true;
  const deadlineMs = (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000;
  return Date.parse(condition.lastUpdateTime ?? "") + deadlineMs < nowMs;
}

/** How long until the rollout could be found to have timed out, in milliseconds; undefined when it cannot. */
export function deadlineInMs(deployment: Stored<Deployment>, status: DeploymentStatus, nowMs: number): number | undefined {
  const condition = conditionOf(status.conditions, "Progressing");
  if (!hasDeadline(deployment) || condition === undefined || isComplete(deployment, status)) return undefined;
  if (condition.reason === "ProgressDeadlineExceeded" || condition.reason === "NewReplicaSetAvailable") return undefined;
  const deadlineMs = (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000;
  // One second more: times have no fractions, and the deadline must have passed.
  return Math.max(1000, Date.parse(condition.lastUpdateTime ?? "") + deadlineMs - nowMs + 1000);
}

/** Hands on why a ReplicaSet cannot make its pods; the newest one's reason goes first. */
function withFailure(conditions: readonly DeploymentCondition[], sets: ReplicaSetsOf, nowMs: number): DeploymentCondition[] {
  const candidates = sets.fresh === undefined ? sets.old : [sets.fresh, ...sets.old];
  const failure = candidates
    .flatMap((replicaSet) => replicaSet.status?.conditions ?? [])
    .find((condition) => condition.type === "ReplicaFailure" && condition.status === "True");
  if (failure === undefined) return conditions.filter((condition) => condition.type !== "ReplicaFailure");
  return setCondition(conditions, { type: "ReplicaFailure", status: "True", ...reasonOf(failure) }, nowMs);
}

/** What pausing and resuming do to Progressing, so that the time of a pause does not count; undefined when nothing. */
export function computePause(deployment: Deployment, nowMs: number): DeploymentCondition[] | undefined {
  if (!hasDeadline(deployment)) return undefined;
  const conditions = deployment.status?.conditions ?? [];
  const current = conditionOf(conditions, "Progressing");
  if (current?.reason === "ProgressDeadlineExceeded") return undefined;
  const isMarked = current?.reason === "DeploymentPaused";
  const isPaused = deployment.spec?.paused === true;
  if (isPaused && !isMarked) return setCondition(conditions, progressing("Unknown", "DeploymentPaused", "Deployment is paused"), nowMs);
  if (!isPaused && isMarked) return setCondition(conditions, progressing("Unknown", "DeploymentResumed", "Deployment is resumed"), nowMs);
  return undefined;
}
