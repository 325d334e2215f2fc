// What becomes of an object whose owners go (kubernetes `pkg/controller/garbagecollector/garbagecollector.go`).
import type { OwnerReference } from "kubernetes-types/meta/v1";
import type { KubeObject } from "#kube";

export const FOREGROUND = "foregroundDeletion";
export const ORPHAN = "orphan";

/** `waiting`: the owner is being deleted in the foreground and waits for this object, because the reference says that it blocks. */
export type OwnerState = "solid" | "dangling" | "waiting";

export interface Ownership {
  readonly reference: OwnerReference;
  readonly state: OwnerState;
}

export type Fate =
  | { readonly type: "keep" }
  /** Some owners stay: only the references to the others go. */
  | { readonly type: "unlink"; readonly keep: readonly OwnerReference[] }
  | { readonly type: "delete"; readonly propagationPolicy: "Foreground" | "Background" | "Orphan" };

export function decideFate(object: KubeObject, owners: readonly Ownership[], hasDependents: boolean): Fate {
  if (owners.length === 0) return { type: "keep" };
  const solid = owners.filter((owner) => owner.state === "solid").map((owner) => owner.reference);
  if (solid.length > 0) return solid.length === owners.length ? { type: "keep" } : { type: "unlink", keep: solid };
  const finalizers = object.metadata?.finalizers ?? [];
  if (owners.some((owner) => owner.state === "waiting") && hasDependents) return { type: "delete", propagationPolicy: "Foreground" };
  if (finalizers.includes(ORPHAN)) return { type: "delete", propagationPolicy: "Orphan" };
  return { type: "delete", propagationPolicy: finalizers.includes(FOREGROUND) ? "Foreground" : "Background" };
}

export function isDeleting(object: KubeObject): boolean {
  return object.metadata?.deletionTimestamp !== undefined;
}

export function hasFinalizer(object: KubeObject, name: string): boolean {
  return isDeleting(object) && (object.metadata?.finalizers ?? []).includes(name);
}

export function ownerState(reference: OwnerReference, owner: KubeObject | undefined): OwnerState {
  if (owner?.metadata?.uid !== reference.uid) return "dangling";
  return reference.blockOwnerDeletion === true && hasFinalizer(owner, FOREGROUND) ? "waiting" : "solid";
}
