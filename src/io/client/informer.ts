// The local copy of a resource: WatchList, then the watch, and again after every disconnect. After client-go `tools/cache`.
import { setMaxListeners } from "node:events";
import { type BackoffOptions, backoffMs, errorMessage, type Logger, silentLogger, systemClock } from "#base";
import { type KubeObject, keyOf, type Resource, type Stored } from "#kube";
import { isExpired, isNotFound } from "./errors.ts";
import type { Change, Client, Informer, ListOptions, WatchEvent } from "./types.ts";

export interface InformerOptions<T extends KubeObject> extends ListOptions {
  readonly logger?: Logger | undefined;
  /** Applied to each object before it is kept, such as `dropManagedFields`; it may change the object in place. */
  readonly transform?: ((object: Stored<T>) => Stored<T>) | undefined;
  readonly backoff?: BackoffOptions | undefined;
  /**
   * For a kind that the API may not have, such as a custom resource: where it answers 404 there are no objects, which counts as synced, and
   * it is asked again after so many milliseconds.
   */
  readonly retryAbsentMs?: number | undefined;
}

/** A `transform` for everyone who does not do server-side apply: a third of an object's size. */
export function dropManagedFields<T extends KubeObject>(object: Stored<T>): Stored<T> {
  delete object.metadata.managedFields;
  return object;
}

const BACKOFF = { initialMs: 20, maxMs: 1000, factor: 1.5 };
const SHORT_WATCH_MS = 1000;
const WARN_AFTER_FAILURES = 8;

/** Starts at once; ends with `stop` or when `signal` aborts. */
export function createInformer<T extends KubeObject>(client: Client, resource: Resource<T>, options: InformerOptions<T> = {}): Informer<T> {
  return new WatchingInformer(client, resource, options);
}

class WatchingInformer<T extends KubeObject> implements Informer<T> {
  readonly synced: Promise<void>;
  readonly #client: Client;
  readonly #resource: Resource<T>;
  readonly #options: InformerOptions<T>;
  readonly #logger: Logger;
  readonly #objects = new Map<string, Stored<T>>();
  readonly #byNamespace = new Map<string, Map<string, Stored<T>>>();
  readonly #listeners: ((change: Change<T>) => void)[] = [];
  readonly #abort = new AbortController();
  readonly #markSynced: () => void;
  readonly #onAbort = (): void => this.stop();
  #hasSynced = false;
  #resourceVersion: string | undefined;

  constructor(client: Client, resource: Resource<T>, options: InformerOptions<T>) {
    this.#client = client;
    this.#resource = resource;
    this.#options = options;
    this.#logger = (options.logger ?? silentLogger).child({ informer: resource.plural });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#markSynced = resolve;
    if (options.signal?.aborted === true) this.#abort.abort();
    // A program has one signal and an informer per resource: more than the ten listeners that Node takes for a leak.
    if (options.signal instanceof EventTarget) setMaxListeners(0, options.signal);
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
    void this.#run();
  }

  hasSynced(): boolean {
    return this.#hasSynced;
  }

  hasSeen(resourceVersion: string): boolean {
    // Versions are one counter for all resources (KEP-5504; until then an etcd revision everywhere).
    return this.#resourceVersion !== undefined && Number(this.#resourceVersion) >= Number(resourceVersion);
  }

  get(key: string): Stored<T> | undefined {
    return this.#objects.get(key);
  }

  list(namespace?: string): Stored<T>[] {
    const objects = namespace === undefined ? this.#objects : this.#byNamespace.get(namespace);
    return objects === undefined ? [] : [...objects.values()];
  }

  subscribe(listener: (change: Change<T>) => void): void {
    this.#listeners.push(listener);
    for (const [key, object] of this.#objects) this.#tell(listener, { type: "set", key, object, old: undefined });
  }

  stop(): void {
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    const signal = this.#abort.signal;
    let failures = 0;
    const { retryAbsentMs } = this.#options;
    while (!signal.aborted) {
      const startedMs = Date.now();
      let reason = "the server ended it";
      let isAbsent = false;
      try {
        await this.#follow(signal);
      } catch (err) {
        reason = errorMessage(err);
        isAbsent = isNotFound(err) && retryAbsentMs !== undefined;
        if (isExpired(err) || isAbsent) this.#resourceVersion = undefined;
      }
      if (signal.aborted) return;
      if (isAbsent) {
        this.#finishInitial(new Set());
        failures = 0;
        await systemClock.sleep(retryAbsentMs ?? 0, signal);
        continue;
      }
      // A watch that ends at once counts as a failure, however it ended (client-go: VeryShortWatchError).
      failures = Date.now() - startedMs >= SHORT_WATCH_MS ? 0 : failures + 1;
      this.#logger.debug("watch ended", { reason, failures });
      if (failures === WARN_AFTER_FAILURES) this.#logger.warn("cannot follow the API server; trying again", { reason });
      await systemClock.sleep(backoffMs(this.#options.backoff ?? BACKOFF, Math.max(0, failures - 1)), signal);
    }
  }

  /** One watch from beginning to end. */
  async #follow(signal: AbortSignal): Promise<void> {
    let seen = this.#resourceVersion === undefined ? new Set<string>() : undefined;
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const from = this.#resourceVersion === undefined ? {} : { resourceVersion: this.#resourceVersion };
    const events = this.#client.watch(this.#resource, { namespace, labelSelector, fieldSelector, signal, ...from });
    for await (const event of events) {
      if (signal.aborted) return;
      if (seen !== undefined && event.type === "BOOKMARK" && event.initialEventsEnd) {
        this.#finishInitial(seen);
        seen = undefined;
      }
      this.#take(event, seen);
    }
  }

  #take(event: WatchEvent<T>, seen: Set<string> | undefined): void {
    const resourceVersion = event.type === "BOOKMARK" ? event.resourceVersion : event.object.metadata.resourceVersion;
    // Initial events come in the order of their keys: none of their versions says that earlier ones have been seen.
    if (seen === undefined) this.#resourceVersion = resourceVersion;
    if (event.type === "BOOKMARK") return;
    const key = keyOf(event.object);
    if (event.type === "DELETED") {
      seen?.delete(key);
      this.#remove(key, event.object);
      return;
    }
    seen?.add(key);
    this.#set(key, event.object);
  }

  #set(key: string, received: Stored<T>): void {
    const old = this.#objects.get(key);
    if (old !== undefined && old.metadata.resourceVersion === received.metadata.resourceVersion) return;
    // A name that was deleted and created again while we were away is two changes.
    if (old !== undefined && old.metadata.uid !== received.metadata.uid) this.#remove(key, old);
    const object = this.#options.transform?.(received) ?? received;
    this.#objects.set(key, object);
    const namespace = object.metadata.namespace ?? "";
    let inNamespace = this.#byNamespace.get(namespace);
    if (inNamespace === undefined) {
      inNamespace = new Map();
      this.#byNamespace.set(namespace, inNamespace);
    }
    inNamespace.set(key, object);
    const before = old?.metadata.uid === object.metadata.uid ? old : undefined;
    this.#tellAll({ type: "set", key, object, old: before });
  }

  #remove(key: string, last: Stored<T>): void {
    if (!this.#objects.delete(key)) return;
    const namespace = last.metadata.namespace ?? "";
    const inNamespace = this.#byNamespace.get(namespace);
    inNamespace?.delete(key);
    if (inNamespace?.size === 0) this.#byNamespace.delete(namespace);
    this.#tellAll({ type: "delete", key, object: last });
  }

  #finishInitial(seen: ReadonlySet<string>): void {
    for (const [key, object] of this.#objects) {
      if (!seen.has(key)) this.#remove(key, object);
    }
    if (this.#hasSynced) return;
    this.#hasSynced = true;
    this.#markSynced();
  }

  #tellAll(change: Change<T>): void {
    for (const listener of this.#listeners) this.#tell(listener, change);
  }

  #tell(listener: (change: Change<T>) => void, change: Change<T>): void {
    try {
      listener(change);
    } catch (err) {
      this.#logger.error("a listener failed", { key: change.key, err: errorMessage(err) });
    }
  }
}
