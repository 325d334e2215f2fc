import type { ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from "kubernetes-types/apps/v1";
import type { Pod } from "kubernetes-types/core/v1";
import { formatTime } from "#base";
import { matchLabels, REPLICA_SETS, type Stored, selectorOfMap } from "#kube";
import { ownerReference } from "../owners.ts";
import { isPodActive, isPodAvailable, isPodReady, readySinceMs } from "../pod-state.ts";
import { podsToDelete } from "./deletion-order.ts";

// kubernetes `pkg/controller/replicaset/replica_set.go`: one round changes at most so many pods.
const BURST_REPLICAS = 500;

export interface Replication {
  readonly create: number;
  readonly remove: readonly Stored<Pod>[];
}

/** `owned` are the pods that the ReplicaSet controls, terminating and finished ones too. */
export function computeReplication(replicaSet: ReplicaSet, owned: readonly Stored<Pod>[]): Replication {
  const active = owned.filter(isPodActive);
  const missing = (replicaSet.spec?.replicas ?? 1) - active.length;
  if (missing >= 0) return { create: Math.min(missing, BURST_REPLICAS), remove: [] };
  return { create: 0, remove: podsToDelete(active, active, Math.min(-missing, BURST_REPLICAS)) };
}

/** 1, 2, 4, …: when pods cannot be created, one failure is enough to learn it. */
export function slowStartBatches(count: number): number[] {
  const batches: number[] = [];
  for (let size = 1, rest = count; rest > 0; size *= 2) {
    batches.push(Math.min(size, rest));
    rest -= size;
  }
  return batches;
}

export function newPod(replicaSet: Stored<ReplicaSet>): Pod {
  const template = replicaSet.spec?.template;
  const { name, namespace } = replicaSet.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      // validation `PrefixFromName`: the dash is left out where the name would become too long.
      generateName: `${name}-`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...template?.metadata?.labels },
      annotations: { ...template?.metadata?.annotations },
      ...(template?.metadata?.finalizers === undefined ? {} : { finalizers: template.metadata.finalizers }),
      ownerReferences: [ownerReference(REPLICA_SETS, replicaSet)],
    },
    spec: template?.spec ?? { containers: [] },
  };
}

export interface CreationFailure {
  readonly reason: "FailedCreate" | "FailedDelete";
  readonly message: string;
}

export function computeStatus(
  replicaSet: Stored<ReplicaSet>,
  owned: readonly Pod[],
  nowMs: number,
  failure: CreationFailure | undefined,
): ReplicaSetStatus {
  const active = owned.filter(isPodActive);
  const templateLabels = selectorOfMap(replicaSet.spec?.template?.metadata?.labels);
  const minReadySeconds = replicaSet.spec?.minReadySeconds ?? 0;
  const count = (test: (pod: Pod) => boolean): number => active.filter(test).length;
  const conditions = computeConditions(replicaSet.status?.conditions ?? [], failure, nowMs);
  return {
    replicas: active.length,
    fullyLabeledReplicas: count((pod) => matchLabels(templateLabels, pod.metadata?.labels)),
    readyReplicas: count(isPodReady),
    availableReplicas: count((pod) => isPodAvailable(pod, minReadySeconds, nowMs)),
    observedGeneration: replicaSet.metadata.generation ?? 0,
    conditions,
  };
}

function computeConditions(
  old: readonly ReplicaSetCondition[],
  failure: CreationFailure | undefined,
  nowMs: number,
): ReplicaSetCondition[] {
  const current = old.find((condition) => condition.type === "ReplicaFailure");
  const others = old.filter((condition) => condition.type !== "ReplicaFailure");
  if (failure === undefined) return others;
  if (current !== undefined && current.reason === failure.reason) return [...old];
  return [...others, { type: "ReplicaFailure", status: "True", ...failure, lastTransitionTime: formatTime(nowMs) }];
}

/** When the next ready pod becomes available by the passing of `minReadySeconds`, in milliseconds from now. */
export function nextAvailabilityMs(replicaSet: ReplicaSet, owned: readonly Pod[], nowMs: number): number | undefined {
  const minReadyMs = (replicaSet.spec?.minReadySeconds ?? 0) * 1000;
  if (minReadyMs === 0) return undefined;
  const waits = owned
    .filter(isPodActive)
    .map((pod) => readySinceMs(pod))
    .filter((since) => since !== undefined)
    .map((since) => since + minReadyMs - nowMs)
    .filter((wait) => wait > 0);
  return waits.length === 0 ? undefined : Math.min(...waits);
}
