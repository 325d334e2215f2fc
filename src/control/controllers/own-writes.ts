// A controller must not decide on a copy that does not yet show what it did last: it would do it twice. Upstream counts expected
// events ("expectations", `pkg/controller/controller_utils.go`); versions being one counter, it is enough to remember the last one.
import type { Informer } from "#client";
import { formatKey, type KubeObject, type ObjectKey } from "#kube";

interface Pending {
  version: string;
  readonly deletions: Map<string, string>;
}

export class OwnWrites {
  readonly #informer: Informer<KubeObject>;
  readonly #pending = new Map<string, Pending>();

  constructor(informer: Informer<KubeObject>) {
    this.#informer = informer;
  }

  /** `owner` created or changed something, which now has this version. */
  wrote(owner: string, resourceVersion: string): void {
    const pending = this.#of(owner);
    if (Number(resourceVersion) > Number(pending.version)) pending.version = resourceVersion;
  }

  deleted(owner: string, key: ObjectKey, uid: string): void {
    this.#of(owner).deletions.set(formatKey(key), uid);
  }

  /** Whether the copy shows everything that `owner` did. */
  settled(owner: string): boolean {
    const pending = this.#pending.get(owner);
    if (pending === undefined) return true;
    if (pending.version !== "0" && !this.#informer.hasSeen(pending.version)) return false;
    for (const [key, uid] of pending.deletions) {
      const object = this.#informer.get(key);
      if (object !== undefined && object.metadata.uid === uid && object.metadata.deletionTimestamp === undefined) return false;
    }
    this.#pending.delete(owner);
    return true;
  }

  forget(owner: string): void {
    this.#pending.delete(owner);
  }

  #of(owner: string): Pending {
    let pending = this.#pending.get(owner);
    if (pending === undefined) {
      pending = { version: "0", deletions: new Map() };
      this.#pending.set(owner, pending);
    }
    return pending;
  }
}
