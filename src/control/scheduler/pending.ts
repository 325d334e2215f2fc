// The pods that wait for a node: most important first, then oldest first; those that found none wait for the cluster to change.
import type { Pod } from "kubernetes-types/core/v1";
import { keyOf, type Stored } from "#kube";

export class PendingPods {
  readonly #active = new Map<string, Stored<Pod>>();
  readonly #unschedulable = new Map<string, Stored<Pod>>();

  add(pod: Stored<Pod>): void {
    const key = keyOf(pod);
    this.#unschedulable.delete(key);
    this.#active.set(key, pod);
  }

  /** A new version of a pod that waits; one that failed is tried again only if what it asks for has changed. */
  update(pod: Stored<Pod>): void {
    const key = keyOf(pod);
    const failed = this.#unschedulable.get(key);
    if (failed !== undefined && JSON.stringify([failed.spec, failed.metadata.labels]) === JSON.stringify([pod.spec, pod.metadata.labels])) {
      this.#unschedulable.set(key, pod);
    } else this.add(pod);
  }

  park(pod: Stored<Pod>): void {
    this.#unschedulable.set(keyOf(pod), pod);
  }

  remove(key: string): void {
    this.#active.delete(key);
    this.#unschedulable.delete(key);
  }

  /** Something changed that may help those that failed, or those of them that `helps` picks. Whether there are any. */
  retry(helps: (pod: Stored<Pod>) => boolean = () => true): boolean {
    let any = false;
    for (const [key, pod] of this.#unschedulable) {
      if (!helps(pod)) continue;
      any = true;
      this.#unschedulable.delete(key);
      this.#active.set(key, pod);
    }
    return any;
  }

  hasActive(): boolean {
    return this.#active.size > 0;
  }

  /** Takes everything that is to be scheduled now. */
  takeAll(): Stored<Pod>[] {
    const pods = [...this.#active.values()];
    this.#active.clear();
    return pods.sort((a, b) => (b.spec?.priority ?? 0) - (a.spec?.priority ?? 0) || compareAge(a, b));
  }
}

function compareAge(a: Stored<Pod>, b: Stored<Pod>): number {
  if (a.metadata.creationTimestamp !== b.metadata.creationTimestamp) {
    return a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1;
  }
  return Number(a.metadata.resourceVersion) - Number(b.metadata.resourceVersion);
}
