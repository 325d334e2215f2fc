import type { Node, Pod } from "kubernetes-types/core/v1";
import { backoffMs, type Clock, errorMessage, formatTime, type Logger } from "#base";
import { type Change, type Client, type EventRecorder, type Informer, isConflict, isNotFound, POD_BINDINGS } from "#client";
import { keyOf, PODS, type Stored } from "#kube";
import { Cluster } from "./cluster.ts";
import { pickNode } from "./compute.ts";
import { PendingPods } from "./pending.ts";
import { nodeTaints } from "./taints.ts";

export interface SchedulerOptions {
  readonly client: Client;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly recorder: EventRecorder;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

const NAME = "default-scheduler";
const BIND_BACKOFF = { initialMs: 50, maxMs: 10_000 };

/** Puts pods on nodes, each as soon as it is there and some node can take it. */
export async function startScheduler(options: SchedulerOptions): Promise<void> {
  const { pods, nodes } = options;
  // Without all nodes, the first pods would go to whichever came first; without all pods, places would be given away twice.
  await Promise.all([pods.synced, nodes.synced]);
  const scheduler = new Scheduler(options);
  nodes.subscribe((change) => scheduler.nodeChanged(change));
  pods.subscribe((change) => scheduler.podChanged(change));
}

class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #cluster = new Cluster();
  readonly #pending = new PendingPods();
  readonly #bindFailures = new Map<string, number>();
  /** Where pods are being bound. */
  readonly #binding = new Map<string, string>();
  #isWoken = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  nodeChanged(change: Change<Node>): void {
    if (change.type === "delete") {
      this.#cluster.removeNode(change.key);
      return;
    }
    this.#cluster.setNode(change.object);
    if (change.old === undefined || offer(change.old) !== offer(change.object)) this.#retry();
  }

  podChanged(change: Change<Pod>): void {
    const { key, object } = change;
    const isDone = object.status?.phase === "Succeeded" || object.status?.phase === "Failed";
    if (change.type === "delete" || isDone) {
      this.#pending.remove(key);
      this.#binding.delete(key);
      this.#bindFailures.delete(key);
      // Its place is free for those that found none.
      if (this.#cluster.remove(key)) this.#retry();
      return;
    }
    const nodeName = object.spec?.nodeName;
    if (nodeName !== undefined && nodeName !== "") {
      this.#pending.remove(key);
      this.#binding.delete(key);
      this.#bindFailures.delete(key);
      this.#cluster.place(object, nodeName);
      // A pod more takes room; it can only help those that want to be near it.
      if (change.old?.spec?.nodeName !== nodeName) this.#retry(looksAtOthers);
      return;
    }
    if (this.#binding.has(key)) return;
    if (!isForUs(object)) {
      this.#pending.remove(key);
      return;
    }
    if (change.old === undefined) this.#pending.add(object);
    else this.#pending.update(object);
    this.#wake();
  }

  #retry(helps?: (pod: Stored<Pod>) => boolean): void {
    if (this.#pending.retry(helps)) this.#wake();
  }

  /** Schedules after all changes that are being reported now, so that a pod does not miss the node that comes right after it. */
  #wake(): void {
    if (this.#isWoken || !this.#pending.hasActive()) return;
    this.#isWoken = true;
    queueMicrotask(() => {
      this.#isWoken = false;
      if (!this.#options.signal.aborted) for (const pod of this.#pending.takeAll()) this.#schedule(pod);
    });
  }

  #schedule(pod: Stored<Pod>): void {
    const decision = pickNode(pod, this.#cluster.nodes());
    if (decision.type === "none") {
      this.#pending.park(pod);
      void this.#reportFailure(pod, decision.message);
      return;
    }
    const key = keyOf(pod);
    this.#cluster.place(pod, decision.nodeName);
    this.#binding.set(key, decision.nodeName);
    void this.#bind(key, pod, decision.nodeName);
  }

  async #bind(key: string, pod: Stored<Pod>, nodeName: string): Promise<void> {
    const { client, recorder, logger, signal, clock, pods } = this.#options;
    const { name, namespace, uid } = pod.metadata;
    const metadata = { name, uid, ...(namespace === undefined ? {} : { namespace }) };
    try {
      await client.create(
        POD_BINDINGS,
        { metadata, target: { apiVersion: "v1", kind: "Node", name: nodeName } },
        { subresource: "binding" },
      );
      const message = `Successfully assigned ${key} to ${nodeName}`;
      recorder.event(pod, { type: "Normal", reason: "Scheduled", message });
    } catch (err) {
      if (signal.aborted || this.#binding.get(key) !== nodeName) return;
      this.#binding.delete(key);
      this.#cluster.remove(key);
      // Deleted, or bound by someone else: the pod's own event says so.
      if (isNotFound(err) || isConflict(err)) return;
      logger.warn("cannot bind a pod, will try again", { pod: key, node: nodeName, err: errorMessage(err) });
      const failures = this.#bindFailures.get(key) ?? 0;
      this.#bindFailures.set(key, failures + 1);
      await clock.sleep(backoffMs(BIND_BACKOFF, failures), signal);
      const current = pods.get(key);
      if (current === undefined || current.metadata.uid !== uid || current.spec?.nodeName !== undefined) return;
      this.#pending.add(current);
      this.#wake();
    }
  }

  /** As an event, and as the pod's condition PodScheduled, which `kubectl describe` and autoscalers read. */
  async #reportFailure(pod: Stored<Pod>, message: string): Promise<void> {
    const { client, recorder, clock, logger } = this.#options;
    recorder.event(pod, { type: "Warning", reason: "FailedScheduling", message });
    const current = pod.status?.conditions?.find((condition) => condition.type === "PodScheduled");
    if (current?.status === "False" && current.reason === "Unschedulable" && current.message === message) return;
    const others = (pod.status?.conditions ?? []).filter((condition) => condition.type !== "PodScheduled");
    const lastTransitionTime = current?.status === "False" ? current.lastTransitionTime : formatTime(clock.now());
    const condition = { type: "PodScheduled", status: "False", reason: "Unschedulable", message, lastProbeTime: null, lastTransitionTime };
    const { uid, resourceVersion } = pod.metadata;
    const body = { metadata: { uid, resourceVersion }, status: { conditions: [...others, condition] } };
    try {
      await client.patch(PODS, pod.metadata, { type: "merge", body }, { subresource: "status" });
    } catch (err) {
      if (!isNotFound(err) && !isConflict(err)) logger.debug("cannot write why a pod waits", { pod: keyOf(pod), err: errorMessage(err) });
    }
  }
}

function looksAtOthers(pod: Stored<Pod>): boolean {
  return pod.spec?.affinity?.podAffinity !== undefined || pod.spec?.topologySpreadConstraints !== undefined;
}

function isForUs(pod: Stored<Pod>): boolean {
  const { schedulerName = NAME, schedulingGates = [] } = pod.spec ?? {};
  return schedulerName === NAME && schedulingGates.length === 0 && pod.metadata.deletionTimestamp === undefined;
}

/** What of a node decides whether pods can go there. Heartbeats change none of it. */
function offer(node: Stored<Node>): string {
  return JSON.stringify([node.metadata.labels, nodeTaints(node), node.spec?.unschedulable ?? false, node.status?.allocatable]);
}
