// The arithmetic of a rollout: from the sizes of the ReplicaSets to their next sizes
// (kubernetes `pkg/controller/deployment/rolling.go`, `sync.go`, `util/deployment_util.go`).
import type { Deployment } from "kubernetes-types/apps/v1";

/** One ReplicaSet as the arithmetic sees it. Old ones are given oldest first. */
export interface Size {
  readonly name: string;
  readonly replicas: number;
  readonly available: number;
  /** What its Deployment could grow to when the ReplicaSet was last scaled. */
  readonly maxReplicas?: number | undefined;
}

export interface Bounds {
  readonly desired: number;
  readonly maxSurge: number;
  readonly maxUnavailable: number;
}

export interface Resize {
  readonly name: string;
  readonly replicas: number;
}

export function replicasOf(deployment: Deployment): number {
  return deployment.spec?.replicas ?? 1;
}

export function boundsOf(deployment: Deployment): Bounds {
  const desired = replicasOf(deployment);
  const { type = "RollingUpdate", rollingUpdate } = deployment.spec?.strategy ?? {};
  if (type !== "RollingUpdate") return { desired, maxSurge: 0, maxUnavailable: 0 };
  const maxSurge = share(rollingUpdate?.maxSurge ?? "25%", desired, Math.ceil);
  const unavailable = share(rollingUpdate?.maxUnavailable ?? "25%", desired, Math.floor);
  // With neither, a rollout could not move at all.
  const maxUnavailable = maxSurge === 0 && unavailable === 0 ? 1 : unavailable;
  return { desired, maxSurge, maxUnavailable: Math.min(maxUnavailable, desired) };
}

function share(value: number | string, of: number, round: (x: number) => number): number {
  if (typeof value === "number") return value;
  const percent = /^(\d+)%$/.exec(value)?.[1];
  return percent === undefined ? 0 : round((Number(percent) * of) / 100);
}

function sum(sizes: readonly Size[], field: "replicas" | "available"): number {
  return sizes.reduce((total, size) => total + size[field], 0);
}

/** How far the new ReplicaSet may grow now; also its first size. */
export function newReplicaSetSize(bounds: Bounds, newReplicas: number, allReplicas: number): number {
  const room = bounds.desired + bounds.maxSurge - allReplicas;
  if (room <= 0) return newReplicas;
  return newReplicas + Math.min(room, Math.max(0, bounds.desired - newReplicas));
}

/** One step of a rolling update: first the new one grows, and only when it cannot, old ones shrink. Empty: nothing to do now. */
export function rollingStep(bounds: Bounds, fresh: Size, old: readonly Size[]): Resize[] {
  const grown =
    fresh.replicas > bounds.desired ? bounds.desired : newReplicaSetSize(bounds, fresh.replicas, fresh.replicas + sum(old, "replicas"));
  if (grown !== fresh.replicas) return [{ name: fresh.name, replicas: grown }];
  return shrinkOld(bounds, fresh, old);
}

function shrinkOld(bounds: Bounds, fresh: Size, old: readonly Size[]): Resize[] {
  if (sum(old, "replicas") === 0) return [];
  const minAvailable = bounds.desired - bounds.maxUnavailable;
  const newUnavailable = fresh.replicas - fresh.available;
  const removable = fresh.replicas + sum(old, "replicas") - minAvailable - newUnavailable;
  if (removable <= 0) return [];
  const sizes = new Map(old.map((size) => [size.name, size.replicas]));
  // Pods that do not serve anyway go first: they cost nothing.
  let left = removable;
  for (const size of old) {
    const unhealthy = Math.min(left, size.replicas - size.available);
    if (unhealthy <= 0) continue;
    sizes.set(size.name, size.replicas - unhealthy);
    left -= unhealthy;
  }
  let spare = fresh.available + sum(old, "available") - minAvailable;
  for (const size of old) {
    const replicas = sizes.get(size.name) ?? 0;
    const count = Math.min(replicas, Math.max(0, spare));
    sizes.set(size.name, replicas - count);
    spare -= count;
  }
  return changes(old, sizes);
}

function changes(before: readonly Size[], after: ReadonlyMap<string, number>): Resize[] {
  return before
    .map(({ name, replicas }) => ({ name, before: replicas, replicas: after.get(name) ?? replicas }))
    .filter((size) => size.before !== size.replicas)
    .map(({ name, replicas }) => ({ name, replicas }));
}

/**
 * What a change of `spec.replicas` in the middle of a rollout (or while paused) does: all ReplicaSets that have pods grow or shrink in
 * proportion, so that the risk stays what it was. `fresh` is among `active` when it has pods; `active` is oldest first.
 */
export function proportionalScale(bounds: Bounds, active: readonly Size[], statusReplicas: number): Resize[] {
  const allowed = bounds.desired > 0 ? bounds.desired + bounds.maxSurge : 0;
  const toAdd = allowed - sum(active, "replicas");
  const order = active.map((size, index) => ({ size, index }));
  // Growing favours the larger and newer, shrinking the larger and older.
  order.sort((a, b) => b.size.replicas - a.size.replicas || (toAdd > 0 ? b.index - a.index : a.index - b.index));
  const sizes = new Map<string, number>();
  let added = 0;
  for (const { size } of order) {
    const part = toAdd === 0 ? 0 : proportion(bounds, size, { toAdd, added, statusReplicas });
    sizes.set(size.name, size.replicas + part);
    added += part;
  }
  const first = order[0]?.size;
  if (first !== undefined && toAdd !== 0) sizes.set(first.name, Math.max(0, (sizes.get(first.name) ?? 0) + toAdd - added));
  return changes(active, sizes);
}

interface Distribution {
  readonly toAdd: number;
  readonly added: number;
  readonly statusReplicas: number;
}

function proportion(bounds: Bounds, size: Size, { toAdd, added, statusReplicas }: Distribution): number {
  if (size.replicas === 0 || toAdd === added) return 0;
  const fraction = fractionOf(bounds, size, statusReplicas);
  return toAdd > 0 ? Math.min(fraction, toAdd - added) : Math.max(fraction, toAdd - added);
}

function fractionOf(bounds: Bounds, size: Size, statusReplicas: number): number {
  if (bounds.desired === 0) return -size.replicas;
  const before = size.maxReplicas !== undefined && size.maxReplicas > 0 ? size.maxReplicas : statusReplicas;
  if (before === 0) return 0;
  return Math.round((size.replicas * (bounds.desired + bounds.maxSurge)) / before) - size.replicas;
}
