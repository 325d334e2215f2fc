// The nodes with what runs on them, kept up to date pod by pod. A pod that is being bound counts already ("assumed"): the next
// decision must not give its place away again.
import type { Node, Pod } from "kubernetes-types/core/v1";
import { hostPorts, keyOf, type Stored } from "#kube";
import { type Amounts, nodeAllocatable, podRequests, weightOf } from "./resources.ts";

export interface NodeState {
  readonly node: Stored<Node>;
  readonly allocatable: Amounts;
  readonly pods: ReadonlyMap<string, Stored<Pod>>;
  readonly requested: Amounts;
  /** `TCP/0.0.0.0/80`, with how many pods have it. */
  readonly ports: ReadonlyMap<string, number>;
  /** For scoring: with something for pods that ask for nothing. */
  readonly load: { readonly cpu: number; readonly memory: number };
}

class NodeRecord implements NodeState {
  node: Stored<Node>;
  allocatable: Amounts;
  readonly pods: Map<string, Stored<Pod>> = new Map();
  readonly requested: Record<string, number> = {};
  readonly ports: Map<string, number> = new Map();
  readonly load: { cpu: number; memory: number } = { cpu: 0, memory: 0 };

  constructor(node: Stored<Node>) {
    this.node = node;
    this.allocatable = nodeAllocatable(node);
  }

  count(pod: Stored<Pod>, sign: 1 | -1): void {
    for (const [resource, value] of Object.entries(podRequests(pod))) {
      this.requested[resource] = (this.requested[resource] ?? 0) + sign * value;
    }
    const weight = weightOf(pod);
    this.load.cpu += sign * weight.cpu;
    this.load.memory += sign * weight.memory;
    for (const port of hostPorts(pod)) {
      const left = (this.ports.get(port) ?? 0) + sign;
      if (left > 0) this.ports.set(port, left);
      else this.ports.delete(port);
    }
  }
}

export class Cluster {
  readonly #nodes = new Map<string, NodeRecord>();
  /** Where each pod is counted, and as which object. */
  readonly #placed = new Map<string, { readonly nodeName: string; readonly pod: Stored<Pod> }>();
  /** Pods of nodes that we have not heard of (yet). */
  readonly #homeless = new Map<string, Map<string, Stored<Pod>>>();

  nodes(): readonly NodeState[] {
    return [...this.#nodes.values()];
  }

  setNode(node: Stored<Node>): void {
    const { name } = node.metadata;
    const record = this.#nodes.get(name);
    if (record !== undefined) {
      record.node = node;
      record.allocatable = nodeAllocatable(node);
      return;
    }
    this.#nodes.set(name, new NodeRecord(node));
    const waiting = this.#homeless.get(name);
    this.#homeless.delete(name);
    for (const pod of waiting?.values() ?? []) this.place(pod, name);
  }

  removeNode(name: string): void {
    const record = this.#nodes.get(name);
    this.#nodes.delete(name);
    if (record !== undefined && record.pods.size > 0) this.#homeless.set(name, new Map(record.pods));
  }

  /** Counts the pod on this node, whether it is bound there or about to be. */
  place(pod: Stored<Pod>, nodeName: string): void {
    const key = keyOf(pod);
    this.remove(key);
    this.#placed.set(key, { nodeName, pod });
    const record = this.#nodes.get(nodeName);
    if (record === undefined) {
      const waiting = this.#homeless.get(nodeName) ?? new Map<string, Stored<Pod>>();
      waiting.set(key, pod);
      this.#homeless.set(nodeName, waiting);
      return;
    }
    record.pods.set(key, pod);
    record.count(pod, 1);
  }

  /** Whether anything was counted. */
  remove(key: string): boolean {
    const placed = this.#placed.get(key);
    if (placed === undefined) return false;
    this.#placed.delete(key);
    this.#homeless.get(placed.nodeName)?.delete(key);
    const record = this.#nodes.get(placed.nodeName);
    if (record?.pods.delete(key) === true) record.count(placed.pod, -1);
    return true;
  }
}
