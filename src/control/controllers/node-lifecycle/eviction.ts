import type { Node, Pod } from "kubernetes-types/core/v1";
import { isNotFound } from "#client";
import { keyOf, PODS, type Stored } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import { isPodActive } from "../pod-state.ts";
import { evictionAtMs } from "./compute.ts";

/** Deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer. */
export async function startTaintEviction(context: ControllerContext): Promise<void> {
  const { client, clock } = context;
  const { nodes, pods } = context.informers;
  const recorder = context.recorder("taint-eviction-controller");
  await whenSynced([nodes, pods]);

  async function sync(key: string): Promise<number | undefined> {
    const pod = pods.get(key);
    const node = pod === undefined ? undefined : nodes.get(pod.spec?.nodeName ?? "");
    if (pod === undefined || node === undefined || !isPodActive(pod)) return undefined;
    const atMs = evictionAtMs(pod, node, clock.now());
    if (atMs === undefined) return undefined;
    if (atMs > clock.now()) return atMs - clock.now();
    await evict(pod);
    return undefined;
  }

  async function evict(pod: Stored<Pod>): Promise<void> {
    const { uid } = pod.metadata;
    recorder.event(pod, { type: "Normal", reason: "TaintManagerEviction", message: `Marking for deletion Pod ${keyOf(pod)}` });
    const others = (pod.status?.conditions ?? []).filter((condition) => condition.type !== "DisruptionTarget");
    const reason = { reason: "DeletionByTaintManager", message: "Taint manager: deleting due to NoExecute taint" };
    const body = { metadata: { uid }, status: { conditions: [...others, { type: "DisruptionTarget", status: "True", ...reason }] } };
    try {
      await client.patch(PODS, pod.metadata, { type: "merge", body }, { subresource: "status" });
      await client.delete(PODS, pod.metadata, { uid });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  const queue = startQueue(context, { name: "taint-eviction", run: sync, concurrency: 8 });
  nodes.subscribe((change) => {
    const before = change.type === "set" && change.old !== undefined ? noExecute(change.old) : "[]";
    if (change.type === "delete" || noExecute(change.object) === before) return;
    for (const pod of pods.list()) if (pod.spec?.nodeName === change.key) queue.add(keyOf(pod));
  });
  pods.subscribe((change) => {
    const node = nodes.get(change.object.spec?.nodeName ?? "");
    if (change.type === "set" && node !== undefined && noExecute(node) !== "[]") queue.add(change.key);
  });
}

function noExecute(node: Node): string {
  return JSON.stringify((node.spec?.taints ?? []).filter((taint) => taint.effect === "NoExecute"));
}
