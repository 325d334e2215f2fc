import type { Deployment, DeploymentCondition, ReplicaSet } from "kubernetes-types/apps/v1";
import type { Pod } from "kubernetes-types/core/v1";
import type { WorkQueue } from "#base";
import { type Change, type EventRecorder, isNotFound } from "#client";
import { DEPLOYMENTS, formatKey, matchLabelSelector, REPLICA_SETS, type Stored } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import { OwnWrites } from "../own-writes.ts";
import { claim, controllerOf } from "../owners.ts";
import { isPodTerminal } from "../pod-state.ts";
import { statusPatch } from "../status-patch.ts";
import { isScalingEvent, type Rollout, toCleanUp } from "./compute.ts";
import { ReplicaSetWriter } from "./replica-sets.ts";
import { boundsOf, replicasOf, rollingStep } from "./rolling.ts";
import {
  computeCounts,
  computePause,
  computeRolloutStatus,
  conditionOf,
  deadlineInMs,
  hasDeadline,
  isComplete,
  progressing,
  setCondition,
} from "./status.ts";
import { byAge, findNewReplicaSet } from "./template.ts";

/** Moves the ReplicaSets of a Deployment from one template and size to the next. */
export async function startDeployments(context: ControllerContext): Promise<void> {
  const { deployments, pods, replicaSets } = context.informers;
  await whenSynced([deployments, replicaSets, pods]);
  const controller = new DeploymentController(context);
  const queue = startQueue(context, { name: "deployment", run: (key) => controller.sync(key), concurrency: 8 });
  deployments.subscribe((change) => queue.add(change.key));
  replicaSets.subscribe((change) => enqueueOwner(context, queue, change));
  pods.subscribe((change) => enqueueRecreate(context, queue, change));
}

function enqueueOwner(context: ControllerContext, queue: WorkQueue, change: Change<ReplicaSet>): void {
  const { namespace } = change.object.metadata;
  const before = change.type === "set" ? change.old : undefined;
  for (const replicaSet of [change.object, before]) {
    const owner = replicaSet === undefined ? undefined : controllerOf(replicaSet);
    if (owner?.kind === "Deployment") queue.add(formatKey({ namespace, name: owner.name }));
  }
  if (change.type === "delete" || controllerOf(change.object) !== undefined) return;
  for (const deployment of context.informers.deployments.list(namespace)) {
    if (matchLabelSelector(deployment.spec?.selector, change.object.metadata.labels))
      queue.add(change.key.replace(/[^/]*$/, deployment.metadata.name));
  }
}

/** Recreate waits for the last old pod to be gone. */
function enqueueRecreate(context: ControllerContext, queue: WorkQueue, change: Change<Pod>): void {
  const owner = change.type === "delete" ? controllerOf(change.object) : undefined;
  if (owner?.kind !== "ReplicaSet") return;
  const { namespace } = change.object.metadata;
  const replicaSet = context.informers.replicaSets.get(formatKey({ namespace, name: owner.name }));
  const controller = replicaSet === undefined ? undefined : controllerOf(replicaSet);
  if (controller === undefined) return;
  const key = formatKey({ namespace, name: controller.name });
  if (context.informers.deployments.get(key)?.spec?.strategy?.type === "Recreate") queue.add(key);
}

class DeploymentController {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #ownWrites: OwnWrites;
  readonly #writer: ReplicaSetWriter;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder("deployment-controller");
    this.#ownWrites = new OwnWrites(context.informers.replicaSets);
    this.#writer = new ReplicaSetWriter(context.client, this.#recorder, this.#ownWrites);
  }

  async sync(key: string): Promise<number | undefined> {
    const { client, informers } = this.#context;
    const deployment = informers.deployments.get(key);
    if (deployment === undefined) {
      this.#ownWrites.forget(key);
      return undefined;
    }
    if (!this.#ownWrites.settled(key)) return undefined;
    const { selector } = deployment.spec ?? {};
    if (
      selector === undefined ||
      (Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0)
    ) {
      const message = "This deployment is selecting all pods. A non-empty selector is required.";
      this.#recorder.event(deployment, { type: "Warning", reason: "SelectingAll", message });
      return undefined;
    }
    const candidates = informers.replicaSets.list(deployment.metadata.namespace);
    const owned = await claim({ client, owner: deployment, ownerResource: DEPLOYMENTS, resource: REPLICA_SETS, selector, candidates });
    owned.sort(byAge);
    const fresh = findNewReplicaSet(deployment, owned);
    const rollout = { deployment, fresh, old: owned.filter((replicaSet) => replicaSet !== fresh) };
    return await this.#advance(rollout);
  }

  async #advance(found: Rollout): Promise<number | undefined> {
    const { deployment } = found;
    if (deployment.metadata.deletionTimestamp !== undefined) return await this.#writeStatus(deployment, found, computeCounts);
    const pause = computePause(deployment, this.#context.clock.now());
    const rollout = pause === undefined ? found : { ...found, deployment: withConditions(deployment, pause) };
    if (deployment.spec?.paused === true || isScalingEvent(rollout)) return await this.#resizeOnly(deployment, rollout);
    const isRecreate = deployment.spec?.strategy?.type === "Recreate";
    return isRecreate ? await this.#recreate(deployment, rollout) : await this.#roll(deployment, rollout);
  }

  /** Follows a changed number of replicas without starting or moving on a rollout. */
  async #resizeOnly(stored: Stored<Deployment>, found: Rollout): Promise<number | undefined> {
    const fresh = await this.#writer.adjust(found);
    const scaled = await this.#writer.scale({ ...found, fresh });
    if (found.deployment.spec?.paused === true) await this.#cleanUp(scaled);
    return await this.#writeStatus(stored, scaled, computeCounts);
  }

  async #roll(stored: Stored<Deployment>, found: Rollout): Promise<number | undefined> {
    let rollout = await this.#ensureFresh(found);
    const { fresh, old, deployment } = rollout;
    if (fresh !== undefined) {
      const steps = rollingStep(boundsOf(deployment), sizeOf(fresh), old.map(sizeOf));
      const sizes = new Map(steps.map((step) => [step.name, step.replicas]));
      rollout = await this.#writer.resize(rollout, sizes);
    }
    return await this.#finish(stored, rollout);
  }

  async #recreate(stored: Stored<Deployment>, found: Rollout): Promise<number | undefined> {
    let rollout: Rollout = { ...found, fresh: await this.#writer.adjust(found) };
    const running = found.old.filter((replicaSet) => (replicaSet.spec?.replicas ?? 0) > 0);
    if (running.length > 0) {
      rollout = await this.#writer.resize(rollout, new Map(running.map((replicaSet) => [replicaSet.metadata.name, 0])));
    } else if (!this.#hasOldPods(rollout)) {
      rollout = await this.#ensureFresh(rollout);
      const desired = replicasOf(rollout.deployment);
      if (rollout.fresh !== undefined) rollout = await this.#writer.resize(rollout, new Map([[rollout.fresh.metadata.name, desired]]));
    }
    return await this.#finish(stored, rollout);
  }

  #hasOldPods({ deployment, old }: Rollout): boolean {
    const owners = new Set(old.map((replicaSet) => replicaSet.metadata.uid));
    const pods = this.#context.informers.pods.list(deployment.metadata.namespace);
    return pods.some((pod) => owners.has(controllerOf(pod)?.uid ?? "") && !isPodTerminal(pod));
  }

  /** The rollout with a ReplicaSet of the present template, made if there is none, and with the right revision on everything. */
  async #ensureFresh(rollout: Rollout): Promise<Rollout> {
    if (rollout.fresh !== undefined) {
      const fresh = await this.#writer.adjust(rollout);
      if (conditionOf(rollout.deployment.status?.conditions, "Progressing") !== undefined) return { ...rollout, fresh };
      return this.#withProgress({ ...rollout, fresh }, "FoundNewReplicaSet", `Found new replica set "${rollout.fresh.metadata.name}"`);
    }
    const { fresh, collided } = await this.#writer.createFresh(rollout);
    if (fresh === undefined) {
      const status = { collisionCount: collided };
      await this.#patchStatus(rollout.deployment, status);
      throw new Error(`the hash of the template of deployment ${rollout.deployment.metadata.name} collides; another one is tried`);
    }
    return this.#withProgress({ ...rollout, fresh }, "NewReplicaSetCreated", `Created new replica set "${fresh.metadata.name}"`);
  }

  #withProgress(rollout: Rollout, reason: string, message: string): Rollout {
    const { deployment } = rollout;
    if (!hasDeadline(deployment)) return rollout;
    const conditions = deployment.status?.conditions ?? [];
    const next = setCondition(conditions, progressing("True", reason, message), this.#context.clock.now());
    return { ...rollout, deployment: withConditions(deployment, next) };
  }

  async #finish(stored: Stored<Deployment>, rollout: Rollout): Promise<number | undefined> {
    const status = computeRolloutStatus(rollout.deployment, rollout, this.#context.clock.now());
    if (isComplete(rollout.deployment, status)) await this.#cleanUp(rollout);
    return await this.#writeStatus(stored, rollout, computeRolloutStatus);
  }

  async #cleanUp(rollout: Rollout): Promise<void> {
    for (const replicaSet of toCleanUp(rollout)) {
      const { name, namespace, uid } = replicaSet.metadata;
      try {
        await this.#context.client.delete(REPLICA_SETS, { name, namespace }, { uid });
      } catch (err) {
        if (!isNotFound(err)) throw err;
      }
    }
  }

  async #writeStatus(stored: Stored<Deployment>, rollout: Rollout, compute: typeof computeCounts): Promise<number | undefined> {
    const now = this.#context.clock.now();
    const next = compute(rollout.deployment, rollout, now);
    await this.#patchStatus(stored, next);
    return deadlineInMs(rollout.deployment, next, now);
  }

  async #patchStatus(stored: Stored<Deployment>, next: object): Promise<void> {
    const status = statusPatch(stored.status, next);
    if (status === undefined) return;
    try {
      await this.#context.client.patch(DEPLOYMENTS, stored.metadata, { type: "merge", body: { status } }, { subresource: "status" });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }
}

function sizeOf(replicaSet: Stored<ReplicaSet>): { name: string; replicas: number; available: number } {
  const { name } = replicaSet.metadata;
  return { name, replicas: replicaSet.spec?.replicas ?? 0, available: replicaSet.status?.availableReplicas ?? 0 };
}

function withConditions(deployment: Stored<Deployment>, conditions: readonly DeploymentCondition[]): Stored<Deployment> {
  return { ...deployment, status: { ...deployment.status, conditions: [...conditions] } };
}
