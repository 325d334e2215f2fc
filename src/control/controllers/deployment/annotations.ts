// What a Deployment writes on its ReplicaSets and on itself (kubernetes `pkg/controller/deployment/util/deployment_util.go`).
import type { Deployment, ReplicaSet } from "kubernetes-types/apps/v1";
import type { KubeObject, Stored } from "#kube";

export const REVISION = "deployment.kubernetes.io/revision";
export const REVISION_HISTORY = "deployment.kubernetes.io/revision-history";
export const DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas";
export const MAX_REPLICAS = "deployment.kubernetes.io/max-replicas";

type Annotations = Readonly<Record<string, string>>;

// Either kubectl's own note, or written by us on each ReplicaSet.
const NOT_COPIED: ReadonlySet<string> = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  "deprecated.deployment.rollback.to",
]);

export function revisionOf(object: KubeObject): number {
  const revision = Number(object.metadata?.annotations?.[REVISION] ?? "0");
  return Number.isInteger(revision) ? revision : 0;
}

export function numberAnnotation(object: KubeObject, name: string): number | undefined {
  const text = object.metadata?.annotations?.[name];
  const value = Number(text);
  return text === undefined || !Number.isInteger(value) ? undefined : value;
}

/** The revision of the newest ReplicaSet: one more than the highest of the others. */
export function nextRevision(oldReplicaSets: readonly ReplicaSet[]): number {
  return Math.max(0, ...oldReplicaSets.map(revisionOf)) + 1;
}

/** The annotations of the newest ReplicaSet: the Deployment's, and its revision; the revisions that it had before are kept as history. */
export function newReplicaSetAnnotations(deployment: Deployment, existing: Stored<ReplicaSet> | undefined, revision: number): Annotations {
  const annotations: Record<string, string> = { ...existing?.metadata.annotations };
  for (const [name, value] of Object.entries(deployment.metadata?.annotations ?? {})) {
    if (!NOT_COPIED.has(name)) annotations[name] = value;
  }
  const before = existing === undefined ? 0 : revisionOf(existing);
  if (before >= revision) return annotations;
  annotations[REVISION] = String(revision);
  if (before === 0) return annotations;
  const history = annotations[REVISION_HISTORY];
  annotations[REVISION_HISTORY] = history === undefined ? String(before) : `${history},${before}`;
  return annotations;
}

export function sizeAnnotations(desired: number, maxSurge: number): Record<string, string> {
  return { [DESIRED_REPLICAS]: String(desired), [MAX_REPLICAS]: String(desired + maxSurge) };
}
