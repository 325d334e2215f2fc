// Watches of the fake: the same events in the same order as the API server's cacher sends them (apiserver `cacher/cache_watcher.go`).
import type { KubeObject, Resource, Stored } from "#kube";
import type { WatchEvent, WatchOptions } from "../types.ts";
import { type FakeStore, fail, type Happening, type Item, matcher, resourceId, wireCopy } from "./store.ts";

/** Events that wait for a reader, and readers that wait for an event. */
class EventQueue<T> {
  readonly #events: T[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  push(event: T): void {
    this.#events.push(event);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *read(): AsyncGenerator<T> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) yield event;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

export class FakeWatches {
  readonly #store: FakeStore;
  readonly #open = new Set<EventQueue<unknown>>();

  constructor(store: FakeStore) {
    this.#store = store;
  }

  /** Ends every watch, as a server that goes away does. */
  disconnect(): void {
    for (const queue of this.#open) queue.end();
    this.#open.clear();
  }

  async *watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    const isAborted = (): boolean => options.signal?.aborted === true;
    if (isAborted()) return;
    const store = this.#store;
    const matches = matcher(resource, options);
    const queue = new EventQueue<WatchEvent<T>>();
    const take = (happening: Happening): void => {
      const event = happening.resource === resourceId(resource) ? eventOf<T>(happening, matches) : undefined;
      if (event !== undefined) queue.push(event);
    };
    if (options.resourceVersion === undefined || options.resourceVersion === "0") this.#sendInitial(resource, matches, queue);
    else this.#replay(Number(options.resourceVersion), take);
    const onAbort = (): void => queue.end();
    options.signal?.addEventListener("abort", onAbort, { once: true });
    const unlisten = store.listen(take);
    this.#open.add(queue);
    try {
      for await (const event of queue.read()) {
        if (isAborted()) return;
        yield event;
      }
    } finally {
      unlisten();
      this.#open.delete(queue);
      options.signal?.removeEventListener("abort", onAbort);
    }
  }

  #sendInitial<T extends KubeObject>(resource: Resource<T>, matches: (item: Item) => boolean, queue: EventQueue<WatchEvent<T>>): void {
    const items = [...this.#store.of(resource).values()].filter(matches);
    for (const item of items) queue.push({ type: "ADDED", object: typed<T>(item) });
    queue.push({ type: "BOOKMARK", resourceVersion: String(this.#store.revision), initialEventsEnd: true });
  }

  #replay(from: number, take: (happening: Happening) => void): void {
    if (from < this.#store.oldest) throw fail(410, "Expired", `too old resource version: ${from} (${this.#store.oldest})`);
    for (const happening of this.#store.happenings) {
      if (happening.revision > from) take(happening);
    }
  }
}

export function typed<T extends KubeObject>(item: Item): Stored<T> {
  // Items are kept by resource, and only objects of that resource are put there.
  return wireCopy(item) as Stored<T>;
}

/** An object that begins to match the selectors is ADDED, one that ceases to is DELETED, with its old content and the new version. */
function eventOf<T extends KubeObject>(happening: Happening, matches: (item: Item) => boolean): WatchEvent<T> | undefined {
  const before = happening.before !== undefined && matches(happening.before) ? happening.before : undefined;
  const after = happening.after !== undefined && matches(happening.after) ? happening.after : undefined;
  if (after !== undefined) return { type: before === undefined ? "ADDED" : "MODIFIED", object: typed<T>(after) };
  if (before === undefined) return undefined;
  const object = typed<T>(before);
  object.metadata.resourceVersion = String(happening.revision);
  return { type: "DELETED", object };
}
