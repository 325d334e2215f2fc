import type { Pod } from "kubernetes-types/core/v1";
import { isConflict, isNotFound } from "#client";
import { PODS, type Stored } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import { isPodTerminal } from "../pod-state.ts";

// How long a node may be missing before its pods are given up: it may register again (kubernetes `pkg/controller/podgc`).
const QUARANTINE_MS = 40_000;
const MAX_FINISHED = 12_500;

/** Removes pods that no kubelet will ever finish: those of nodes that are gone, and the oldest of very many finished ones. */
export async function startPodGc(context: ControllerContext): Promise<void> {
  const { client, logger } = context;
  const { pods, nodes } = context.informers;
  await whenSynced([pods, nodes]);

  async function sync(node: string): Promise<undefined> {
    if (node === FINISHED) return await removeFinished();
    if (nodes.get(node) !== undefined) return;
    for (const pod of pods.list()) if (pod.spec?.nodeName === node) await removeOrphan(pod, node);
  }

  async function removeOrphan(pod: Stored<Pod>, node: string): Promise<void> {
    logger.info("removing a pod of a node that is gone", { pod: pod.metadata.name, namespace: pod.metadata.namespace, node });
    if (!isPodTerminal(pod)) {
      const others = (pod.status?.conditions ?? []).filter((condition) => condition.type !== "DisruptionTarget");
      const target = { type: "DisruptionTarget", status: "True", reason: "DeletionByPodGC", message: "PodGC: node no longer exists" };
      const body = { status: { phase: "Failed", conditions: [...others, target] } };
      await client.patch(PODS, pod.metadata, { type: "merge", body }, { subresource: "status" }).catch(unlessGone);
    }
    await remove(pod);
  }

  async function remove(pod: Stored<Pod>): Promise<void> {
    await client.delete(PODS, pod.metadata, { gracePeriodSeconds: 0, uid: pod.metadata.uid }).catch(unlessGone);
  }

  async function removeFinished(): Promise<undefined> {
    const finished = pods.list().filter(isPodTerminal);
    finished.sort((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1));
    for (const pod of finished.slice(0, Math.max(0, finished.length - MAX_FINISHED))) await remove(pod);
  }

  const queue = startQueue(context, { name: "pod-gc", run: sync, concurrency: 1 });
  const missing = new Set<string>();
  const suspect = (node: string | undefined): void => {
    if (node === undefined || missing.has(node) || nodes.get(node) !== undefined) return;
    missing.add(node);
    queue.addAfter(node, QUARANTINE_MS);
  };
  let finished = 0;
  nodes.subscribe((change) => {
    missing.delete(change.key);
    if (change.type === "delete") suspect(change.key);
  });
  pods.subscribe((change) => {
    const wasFinished = change.type === "set" && change.old !== undefined && isPodTerminal(change.old);
    const isFinished = isPodTerminal(change.object);
    if (change.type === "delete") finished -= Number(isFinished);
    else finished += Number(isFinished) - Number(wasFinished);
    if (change.type === "set") suspect(change.object.spec?.nodeName);
    if (finished > MAX_FINISHED) queue.add(FINISHED);
  });
}

/** Not a node's name. */
const FINISHED = " finished";

function unlessGone(err: unknown): void {
  if (!isNotFound(err) && !isConflict(err)) throw err;
}
