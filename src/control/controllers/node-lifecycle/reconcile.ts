import type { Lease } from "kubernetes-types/coordination/v1";
import type { Node, NodeCondition } from "kubernetes-types/core/v1";
import { formatTime } from "#base";
import { type EventRecorder, isConflict, isNotFound } from "#client";
import { LEASES, NODES, PODS, type Stored } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import { isPodReady } from "../pod-state.ts";
import { computeTaints, GRACE_MS, lostConditions, readyStatus } from "./compute.ts";

const LEASE_NAMESPACE = "kube-node-lease";

/** Notices nodes that fall silent, and keeps the taints that their conditions stand for. */
export async function startNodeLifecycle(context: ControllerContext): Promise<void> {
  const { nodes, leases, pods } = context.informers;
  await whenSynced([nodes, leases, pods]);
  const lifecycle = new NodeLifecycle(context);
  const queue = startQueue(context, { name: "node-lifecycle", run: (name) => lifecycle.sync(name), concurrency: 4 });
  nodes.subscribe((change) => {
    if (change.type === "delete") lifecycle.forget(change.key);
    queue.add(change.key);
  });
  // A renewal only moves the time at which the node would be missed; nothing is to be done before that.
  leases.subscribe((change) => {
    const name = change.object.metadata.name;
    if (change.type !== "set" || change.object.metadata.namespace !== LEASE_NAMESPACE) return;
    if (lifecycle.renewed(name, change.object)) queue.add(name);
  });
}

// So long before the end of the grace period the API itself is asked. While it is away nobody can renew a Lease, and that says nothing
// about nodes; kubelets that failed to renew try again every second.
const LAST_LOOK_MS = 5_000;

interface SignOfLife {
  text: string;
  seenMs: number;
  /** The API was there and knew of no newer sign of life, after `seenMs`. */
  isChecked: boolean;
}

function leaseSign(lease: Lease): string {
  return `lease ${lease.spec?.renewTime}`;
}

class NodeLifecycle {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  /** By our own clock: the clocks of nodes may be wrong. */
  readonly #seen = new Map<string, SignOfLife>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder("node-controller");
  }

  forget(name: string): void {
    this.#seen.delete(name);
  }

  /** Whether the node was taken for lost until now. */
  renewed(name: string, lease: Lease): boolean {
    this.#observe(name, leaseSign(lease));
    const node = this.#context.informers.nodes.get(name);
    return node !== undefined && readyStatus(node) === "Unknown";
  }

  async sync(name: string): Promise<number | undefined> {
    const { clock, informers } = this.#context;
    const node = informers.nodes.get(name);
    if (node === undefined) return undefined;
    const heartbeat = node.status?.conditions?.find((condition) => condition.type === "Ready")?.lastHeartbeatTime;
    // What we write when a node is lost leaves its heartbeat alone, so that it is not taken for one.
    this.#observe(name, `status ${heartbeat}`);
    await this.#taint(node);
    if (readyStatus(node) === "Unknown") await this.#markPods(name);
    const conditions = lostConditions(node, clock.now());
    if (conditions === undefined) return undefined;
    return await this.#watchSilence(node, conditions);
  }

  /** Milliseconds until the next look; undefined when the node has been given up. */
  async #watchSilence(node: Stored<Node>, conditions: NodeCondition[]): Promise<number | undefined> {
    const { name } = node.metadata;
    const sign = this.#sign(name);
    const silentMs = this.#context.clock.now() - sign.seenMs;
    if (silentMs < GRACE_MS - LAST_LOOK_MS) return GRACE_MS - LAST_LOOK_MS - silentMs;
    try {
      if (sign.isChecked && silentMs >= GRACE_MS) return await this.#giveUp(node, conditions);
      if (!sign.isChecked) {
        await this.#look(name);
        sign.isChecked = true;
      }
    } catch (err) {
      if (!isConflict(err)) sign.seenMs = this.#context.clock.now();
      throw err;
    }
    return Math.max(LAST_LOOK_MS, sign.seenMs + GRACE_MS - this.#context.clock.now());
  }

  async #look(name: string): Promise<void> {
    try {
      const lease = await this.#context.client.get(LEASES, { namespace: LEASE_NAMESPACE, name });
      this.#observe(name, leaseSign(lease));
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  #sign(name: string): SignOfLife {
    const sign = this.#seen.get(name) ?? { text: "", seenMs: this.#context.clock.now(), isChecked: false };
    this.#seen.set(name, sign);
    return sign;
  }

  /** Notes a sign of life of the node itself or of its Lease, if it is a new one. */
  #observe(name: string, text: string): void {
    const sign = this.#sign(name);
    const kind = text.slice(0, text.indexOf(" "));
    const others = sign.text.split("|").filter((part) => part !== "" && !part.startsWith(`${kind} `));
    const now = [...others, text].sort().join("|");
    if (now === sign.text) return;
    sign.text = now;
    sign.seenMs = this.#context.clock.now();
    sign.isChecked = false;
  }

  async #giveUp(node: Stored<Node>, conditions: NodeCondition[]): Promise<undefined> {
    const { name, uid, resourceVersion } = node.metadata;
    this.#context.logger.warn("a node fell silent", { node: name, graceMs: GRACE_MS });
    const body = { metadata: { uid, resourceVersion }, status: { conditions } };
    await this.#context.client.patch(NODES, { name }, { type: "merge", body }, { subresource: "status" });
    const message = `Node ${name} status is now: NodeNotReady`;
    this.#recorder.event(node, { type: "Normal", reason: "NodeNotReady", message });
    // The node's own event brings it back, for its taints.
  }

  async #taint(node: Stored<Node>): Promise<void> {
    const taints = computeTaints(node, this.#context.clock.now());
    if (taints === undefined) return;
    const { name, uid, resourceVersion } = node.metadata;
    const body = { metadata: { uid, resourceVersion }, spec: { taints: taints.length === 0 ? null : taints } };
    await this.#context.client.patch(NODES, { name }, { type: "merge", body });
  }

  /** Nobody says for the pods of a lost node whether they are ready; Services must not send anyone there. */
  async #markPods(nodeName: string): Promise<void> {
    const { client, clock, informers } = this.#context;
    for (const pod of informers.pods.list()) {
      if (pod.spec?.nodeName !== nodeName || !isPodReady(pod)) continue;
      const conditions = (pod.status?.conditions ?? []).map((condition) =>
        condition.type === "Ready" ? { ...condition, status: "False", lastTransitionTime: formatTime(clock.now()) } : condition,
      );
      const body = { metadata: { uid: pod.metadata.uid, resourceVersion: pod.metadata.resourceVersion }, status: { conditions } };
      try {
        await client.patch(PODS, pod.metadata, { type: "merge", body }, { subresource: "status" });
        this.#recorder.event(pod, { type: "Warning", reason: "NodeNotReady", message: "Node is not ready" });
      } catch (err) {
        if (!isNotFound(err)) throw err;
      }
    }
  }
}
