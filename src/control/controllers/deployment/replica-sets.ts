import { isDeepStrictEqual } from "node:util";
import type { ReplicaSet } from "kubernetes-types/apps/v1";
import { type Client, type EventRecorder, isAlreadyExists } from "#client";
import { DEPLOYMENTS, keyOf, REPLICA_SETS, type Stored } from "#kube";
import type { OwnWrites } from "../own-writes.ts";
import { isControlledBy } from "../owners.ts";
import { newReplicaSetAnnotations, nextRevision, REVISION, revisionOf, sizeAnnotations } from "./annotations.ts";
import { newReplicaSet, type Rollout, scaledSizes, specReplicas } from "./compute.ts";
import { boundsOf } from "./rolling.ts";
import { sameTemplate } from "./template.ts";

/** What a Deployment does to its ReplicaSets. Each write says which version it is based on. */
export class ReplicaSetWriter {
  readonly #client: Client;
  readonly #recorder: EventRecorder;
  readonly #ownWrites: OwnWrites;

  constructor(client: Client, recorder: EventRecorder, ownWrites: OwnWrites) {
    this.#client = client;
    this.#recorder = recorder;
    this.#ownWrites = ownWrites;
  }

  /** Makes the newest ReplicaSet. When another template has taken its name, `collided` is the collision count to try next. */
  async createFresh(rollout: Rollout): Promise<{ fresh?: Stored<ReplicaSet>; collided?: number }> {
    const { deployment } = rollout;
    const wanted = newReplicaSet(rollout);
    let fresh: Stored<ReplicaSet>;
    try {
      fresh = await this.#client.create(REPLICA_SETS, wanted);
      this.#wrote(rollout, fresh);
      if (specReplicas(fresh) > 0) this.#say(rollout, "up", { name: fresh.metadata.name, from: 0, to: specReplicas(fresh) });
    } catch (err) {
      if (!isAlreadyExists(err)) throw err;
      fresh = await this.#client.get(REPLICA_SETS, { namespace: deployment.metadata.namespace, name: wanted.metadata?.name ?? "" });
      if (!isControlledBy(fresh, deployment) || !sameTemplate(fresh.spec?.template, wanted.spec?.template)) {
        return { collided: (deployment.status?.collisionCount ?? 0) + 1 };
      }
    }
    await this.#setRevision(rollout, fresh);
    return { fresh };
  }

  /** Brings what is copied onto the newest ReplicaSet up to date, its revision above all: a rollback is an old one becoming the newest. */
  async adjust(rollout: Rollout): Promise<Stored<ReplicaSet> | undefined> {
    const { deployment, old } = rollout;
    let { fresh } = rollout;
    if (fresh === undefined) return undefined;
    const annotations = newReplicaSetAnnotations(deployment, fresh, nextRevision(old));
    const minReadySeconds = deployment.spec?.minReadySeconds ?? 0;
    const isSame =
      minReadySeconds === (fresh.spec?.minReadySeconds ?? 0) && isDeepStrictEqual(annotations, { ...fresh.metadata.annotations });
    if (!isSame) fresh = await this.#patch(rollout, fresh, { annotations, spec: { minReadySeconds } });
    await this.#setRevision(rollout, fresh);
    return fresh;
  }

  /** Gives the ReplicaSets the sizes that `spec.replicas` asks for. */
  scale(rollout: Rollout): Promise<Rollout> {
    return this.resize(rollout, scaledSizes(rollout));
  }

  /** `sizes` by name; ReplicaSets that are not named stay as they are. */
  async resize(rollout: Rollout, sizes: ReadonlyMap<string, number>): Promise<Rollout> {
    const old: Stored<ReplicaSet>[] = [];
    const fresh = rollout.fresh === undefined ? undefined : await this.#resizeOne(rollout, rollout.fresh, sizes);
    for (const replicaSet of rollout.old) old.push(await this.#resizeOne(rollout, replicaSet, sizes));
    return { ...rollout, fresh, old };
  }

  async #resizeOne(rollout: Rollout, replicaSet: Stored<ReplicaSet>, sizes: ReadonlyMap<string, number>): Promise<Stored<ReplicaSet>> {
    const { name } = replicaSet.metadata;
    const to = sizes.get(name);
    if (to === undefined) return replicaSet;
    const from = specReplicas(replicaSet);
    const { desired, maxSurge } = boundsOf(rollout.deployment);
    const annotations = { ...replicaSet.metadata.annotations, ...sizeAnnotations(desired, maxSurge) };
    if (from === to && isDeepStrictEqual(annotations, { ...replicaSet.metadata.annotations })) return replicaSet;
    const resized = await this.#patch(rollout, replicaSet, { annotations, spec: { replicas: to } });
    if (from !== to) this.#say(rollout, to > from ? "up" : "down", { name, from, to });
    return resized;
  }

  async #patch(
    rollout: Rollout,
    replicaSet: Stored<ReplicaSet>,
    change: { readonly annotations: object; readonly spec: object },
  ): Promise<Stored<ReplicaSet>> {
    const { resourceVersion } = replicaSet.metadata;
    const body = { metadata: { resourceVersion, annotations: change.annotations }, spec: change.spec };
    const patched = await this.#client.patch(REPLICA_SETS, replicaSet.metadata, { type: "merge", body });
    this.#wrote(rollout, patched);
    return patched;
  }

  async #setRevision({ deployment }: Rollout, fresh: Stored<ReplicaSet>): Promise<void> {
    const revision = String(revisionOf(fresh));
    if (deployment.metadata.annotations?.[REVISION] === revision) return;
    const body = { metadata: { annotations: { [REVISION]: revision } } };
    await this.#client.patch(DEPLOYMENTS, deployment.metadata, { type: "merge", body });
  }

  #wrote({ deployment }: Rollout, replicaSet: Stored<ReplicaSet>): void {
    this.#ownWrites.wrote(keyOf(deployment), replicaSet.metadata.resourceVersion);
  }

  #say({ deployment }: Rollout, direction: "up" | "down", { name, from, to }: { name: string; from: number; to: number }): void {
    const message = `Scaled ${direction} replica set ${name} from ${from} to ${to}`;
    this.#recorder.event(deployment, { type: "Normal", reason: "ScalingReplicaSet", message });
  }
}
