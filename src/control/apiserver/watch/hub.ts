// Fans the store's events out to the watchers of a resource: one subscription and one Change per event, however many watch.
import type { Store } from "#store";
import type { Served } from "../registry/types.ts";
import type { ObjectVersion } from "../registry/version.ts";
import { Change } from "./change.ts";

export type ChangeListener = (changes: readonly Change[]) => void;

interface Topic {
  readonly listeners: Set<ChangeListener>;
  readonly stop: () => void;
}

export class WatchHub {
  readonly #store: Store<ObjectVersion>;
  readonly #topics = new Map<Served, Topic>();

  constructor(store: Store<ObjectVersion>) {
    this.#store = store;
  }

  /** Changes after `after`: those that already happened first, before it returns. Throws StoreError "Compacted". */
  subscribe(served: Served, after: number, listener: ChangeListener): () => void {
    if (after < this.#store.revision) this.#replay(served, after, listener);
    const topic = this.#topics.get(served) ?? this.#open(served);
    topic.listeners.add(listener);
    return () => {
      topic.listeners.delete(listener);
      if (topic.listeners.size > 0) return;
      topic.stop();
      this.#topics.delete(served);
    };
  }

  #replay(served: Served, after: number, listener: ChangeListener): void {
    const stop = this.#store.watch(served.table, {
      after,
      listener: (events) => listener(events.map((event) => new Change(served, event))),
    });
    stop();
  }

  #open(served: Served): Topic {
    const listeners = new Set<ChangeListener>();
    const stop = this.#store.watch(served.table, {
      after: this.#store.revision,
      listener: (events) => {
        const changes = events.map((event) => new Change(served, event));
        for (const listener of listeners) listener(changes);
      },
    });
    const topic = { listeners, stop };
    this.#topics.set(served, topic);
    return topic;
  }
}
