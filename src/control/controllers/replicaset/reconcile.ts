import type { ReplicaSet, ReplicaSetStatus } from "kubernetes-types/apps/v1";
import type { Pod } from "kubernetes-types/core/v1";
import { errorMessage, type WorkQueue } from "#base";
import { type Change, type EventRecorder, isNotFound } from "#client";
import { formatKey, matchLabelSelector, PODS, REPLICA_SETS, type Stored } from "#kube";
import { type ControllerContext, isTerminating, startQueue, whenSynced } from "../context.ts";
import { OwnWrites } from "../own-writes.ts";
import { claim, controllerOf } from "../owners.ts";
import { statusPatch } from "../status-patch.ts";
import { type CreationFailure, computeReplication, computeStatus, newPod, nextAvailabilityMs, slowStartBatches } from "./compute.ts";

/** Keeps as many pods of a template as a ReplicaSet asks for. */
export async function startReplicaSets(context: ControllerContext): Promise<void> {
  const { pods, replicaSets } = context.informers;
  await whenSynced([pods, replicaSets]);
  const controller = new ReplicaSetController(context);
  const queue = startQueue(context, { name: "replicaset", run: (key) => controller.sync(key), concurrency: 8 });
  replicaSets.subscribe((change) => queue.add(change.key));
  pods.subscribe((change) => enqueueOwners(context, queue, change));
}

function enqueueOwners(context: ControllerContext, queue: WorkQueue, change: Change<Pod>): void {
  const { replicaSets } = context.informers;
  const now = change.type === "set" ? change.object : undefined;
  const before = change.type === "set" ? change.old : change.object;
  for (const pod of [now, before]) {
    const owner = pod === undefined ? undefined : controllerOf(pod);
    const { namespace } = change.object.metadata;
    if (owner?.kind === "ReplicaSet") queue.add(formatKey({ namespace, name: owner.name }));
  }
  if (now === undefined || controllerOf(now) !== undefined) return;
  // An orphan: whoever selects it may want it.
  for (const replicaSet of replicaSets.list(now.metadata.namespace)) {
    if (matchLabelSelector(replicaSet.spec?.selector, now.metadata.labels)) queue.add(formatKey(replicaSet.metadata));
  }
}

class ReplicaSetController {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #ownWrites: OwnWrites;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder("replicaset-controller");
    this.#ownWrites = new OwnWrites(context.informers.pods);
  }

  async sync(key: string): Promise<number | undefined> {
    const { client, clock, informers } = this.#context;
    const replicaSet = informers.replicaSets.get(key);
    if (replicaSet === undefined) {
      this.#ownWrites.forget(key);
      return undefined;
    }
    // The pod's own event brings the key back.
    if (!this.#ownWrites.settled(key)) return undefined;
    const candidates = informers.pods.list(replicaSet.metadata.namespace);
    const selector = replicaSet.spec?.selector;
    const owned = await claim({ client, owner: replicaSet, ownerResource: REPLICA_SETS, resource: PODS, selector, candidates });
    const failure = replicaSet.metadata.deletionTimestamp === undefined ? await this.#replicate(key, replicaSet, owned) : undefined;
    const status = computeStatus(replicaSet, owned, clock.now(), failure?.condition);
    await this.#writeStatus(replicaSet, status);
    if (failure !== undefined) throw failure.cause;
    return nextAvailabilityMs(replicaSet, owned, clock.now());
  }

  async #replicate(key: string, replicaSet: Stored<ReplicaSet>, owned: readonly Stored<Pod>[]): Promise<Failure | undefined> {
    const { create, remove } = computeReplication(replicaSet, owned);
    if (create > 0) return await this.#createPods(key, replicaSet, create);
    const results = await Promise.allSettled(remove.map((pod) => this.#deletePod(key, replicaSet, pod)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return undefined;
    return { cause: failed.reason, condition: { reason: "FailedDelete", message: errorMessage(failed.reason) } };
  }

  async #createPods(key: string, replicaSet: Stored<ReplicaSet>, count: number): Promise<Failure | undefined> {
    for (const size of slowStartBatches(count)) {
      const results = await Promise.allSettled(Array.from({ length: size }, () => this.#createPod(key, replicaSet)));
      const failed = results.find((result) => result.status === "rejected");
      if (failed === undefined) continue;
      // A namespace that is going away is no failure (kubernetes: cause NamespaceTerminating); the ReplicaSet goes with it.
      if (isTerminating(failed.reason)) return undefined;
      return { cause: failed.reason, condition: { reason: "FailedCreate", message: errorMessage(failed.reason) } };
    }
    return undefined;
  }

  async #createPod(key: string, replicaSet: Stored<ReplicaSet>): Promise<void> {
    try {
      const pod = await this.#context.client.create(PODS, newPod(replicaSet));
      this.#ownWrites.wrote(key, pod.metadata.resourceVersion);
      this.#recorder.event(replicaSet, { type: "Normal", reason: "SuccessfulCreate", message: `Created pod: ${pod.metadata.name}` });
    } catch (err) {
      if (!isTerminating(err)) {
        this.#recorder.event(replicaSet, { type: "Warning", reason: "FailedCreate", message: `Error creating: ${errorMessage(err)}` });
      }
      throw err;
    }
  }

  async #deletePod(key: string, replicaSet: Stored<ReplicaSet>, pod: Stored<Pod>): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    try {
      await this.#context.client.delete(PODS, { namespace, name }, { uid });
    } catch (err) {
      if (isNotFound(err)) return;
      this.#recorder.event(replicaSet, { type: "Warning", reason: "FailedDelete", message: `Error deleting: ${errorMessage(err)}` });
      throw err;
    }
    this.#ownWrites.deleted(key, { namespace, name }, uid);
    this.#recorder.event(replicaSet, { type: "Normal", reason: "SuccessfulDelete", message: `Deleted pod: ${name}` });
  }

  async #writeStatus(replicaSet: Stored<ReplicaSet>, next: ReplicaSetStatus): Promise<void> {
    const status = statusPatch(replicaSet.status, next, ["replicas"]);
    if (status === undefined) return;
    try {
      await this.#context.client.patch(REPLICA_SETS, replicaSet.metadata, { type: "merge", body: { status } }, { subresource: "status" });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }
}

interface Failure {
  readonly cause: unknown;
  readonly condition: CreationFailure;
}
