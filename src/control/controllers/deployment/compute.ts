import type { Deployment, ReplicaSet } from "kubernetes-types/apps/v1";
import { DEPLOYMENTS, type Stored } from "#kube";
import { ownerReference } from "../owners.ts";
import {
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  newReplicaSetAnnotations,
  nextRevision,
  numberAnnotation,
  revisionOf,
  sizeAnnotations,
} from "./annotations.ts";
import { boundsOf, newReplicaSetSize, proportionalScale, replicasOf } from "./rolling.ts";
import { POD_TEMPLATE_HASH, templateHash } from "./template.ts";

/** A Deployment and its ReplicaSets: the one of the present template, and all others, oldest first. */
export interface Rollout {
  readonly deployment: Stored<Deployment>;
  readonly fresh: Stored<ReplicaSet> | undefined;
  readonly old: readonly Stored<ReplicaSet>[];
}

export function specReplicas(replicaSet: ReplicaSet): number {
  return replicaSet.spec?.replicas ?? 0;
}

function allOf(rollout: Rollout): Stored<ReplicaSet>[] {
  return rollout.fresh === undefined ? [...rollout.old] : [...rollout.old, rollout.fresh];
}

/** Whether the Deployment's size changed since its ReplicaSets got theirs. */
export function isScalingEvent(rollout: Rollout): boolean {
  const desired = replicasOf(rollout.deployment);
  return allOf(rollout).some((replicaSet) => {
    const before = specReplicas(replicaSet) > 0 ? numberAnnotation(replicaSet, DESIRED_REPLICAS) : undefined;
    return before !== undefined && before !== desired;
  });
}

/** The sizes that a change of `spec.replicas` asks for, by ReplicaSet name; also those that stay, for their annotations. */
export function scaledSizes(rollout: Rollout): Map<string, number> {
  const { deployment, fresh, old } = rollout;
  const desired = replicasOf(deployment);
  const active = allOf(rollout).filter((replicaSet) => specReplicas(replicaSet) > 0);
  const only = active.length > 1 ? undefined : (active[0] ?? fresh ?? old.at(-1));
  if (only !== undefined) return new Map([[only.metadata.name, desired]]);
  if (fresh !== undefined && isSaturated(fresh, desired)) {
    return new Map(active.filter((replicaSet) => replicaSet !== fresh).map((replicaSet) => [replicaSet.metadata.name, 0]));
  }
  const sizes = new Map(active.map((replicaSet) => [replicaSet.metadata.name, specReplicas(replicaSet)]));
  if (deployment.spec?.strategy?.type === "Recreate") return sizes;
  const measured = active.map((replicaSet) => ({
    name: replicaSet.metadata.name,
    replicas: specReplicas(replicaSet),
    available: replicaSet.status?.availableReplicas ?? 0,
    maxReplicas: numberAnnotation(replicaSet, MAX_REPLICAS),
  }));
  const resizes = proportionalScale(boundsOf(deployment), measured, deployment.status?.replicas ?? 0);
  for (const { name, replicas } of resizes) sizes.set(name, replicas);
  return sizes;
}

function isSaturated(replicaSet: ReplicaSet, desired: number): boolean {
  return (
    specReplicas(replicaSet) === desired &&
    numberAnnotation(replicaSet, DESIRED_REPLICAS) === desired &&
    replicaSet.status?.availableReplicas === desired
  );
}

/** The ReplicaSet of the Deployment's template, as big as it may be at once. */
export function newReplicaSet(rollout: Rollout): ReplicaSet {
  const { deployment, old } = rollout;
  const { name, namespace } = deployment.metadata;
  const { template = {}, selector = {}, minReadySeconds } = deployment.spec ?? {};
  const hash = templateHash(template, deployment.status?.collisionCount ?? 0);
  const labels = { ...template.metadata?.labels, [POD_TEMPLATE_HASH]: hash };
  const bounds = boundsOf(deployment);
  const replicas = newReplicaSetSize(
    bounds,
    0,
    old.reduce((sum, replicaSet) => sum + specReplicas(replicaSet), 0),
  );
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: `${name}-${hash}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels,
      annotations: {
        ...newReplicaSetAnnotations(deployment, undefined, nextRevision(old)),
        ...sizeAnnotations(bounds.desired, bounds.maxSurge),
      },
      ownerReferences: [ownerReference(DEPLOYMENTS, deployment)],
    },
    spec: {
      replicas,
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [POD_TEMPLATE_HASH]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

/** Old ReplicaSets beyond the history limit, lowest revision first; those that still have pods stay. */
export function toCleanUp({ deployment, old }: Rollout): Stored<ReplicaSet>[] {
  const limit = deployment.spec?.revisionHistoryLimit ?? 10;
  const candidates = old.filter((replicaSet) => replicaSet.metadata.deletionTimestamp === undefined);
  return candidates
    .sort((a, b) => revisionOf(a) - revisionOf(b))
    .slice(0, Math.max(0, candidates.length - limit))
    .filter((replicaSet) => {
      const isObserved = (replicaSet.metadata.generation ?? 0) <= (replicaSet.status?.observedGeneration ?? 0);
      return isObserved && specReplicas(replicaSet) === 0 && (replicaSet.status?.replicas ?? 0) === 0;
    });
}
