/**
 * The Kubernetes API in memory, of the same shape as the HTTP client: for tests of everything that watches and writes objects.
 * It keeps versions, conflicts, selectors, status, finalizers and graceful deletion; it does not default or validate.
 */
import { type Clock, formatTime, systemClock } from "#base";
import { apiVersionOf, formatKey, type KubeObject, type ObjectKey, RESOURCES, type Resource, type Stored } from "#kube";
import type { Client, ListOptions, ListResult, Patch, WriteOptions } from "../types.ts";
import { applyPatch } from "./patch.ts";
import { FakeStore, matcher, wireCopy } from "./store.ts";
import { FakeWatches, typed } from "./watch.ts";
import { bindItem, createItem, deleteItem, updateItem, type WriteContext } from "./writes.ts";

export interface FakeClient extends Client {
  /** Every write so far: `create pods default/a`, `update pods/status default/a`. */
  readonly writes: string[];
  /** Makes the next call of this verb on this resource fail: `client.failNext("create", PODS, new ApiError(…))`. */
  failNext(verb: Verb, resource: Resource, err: Error): void;
  /** Ends all watches; with `expire`, what happened until now can no longer be replayed. */
  disconnect(options?: { readonly expire?: boolean }): void;
  /** Stores an object as it is, status included, as if the server had always had it. */
  seed<T extends KubeObject>(resource: Resource<T>, object: T): Stored<T>;
}

export type Verb = "get" | "list" | "create" | "update" | "patch" | "delete";

export interface FakeClientOptions {
  readonly clock?: Clock;
}

/** `objects` need their apiVersion and kind. */
export function createFakeClient(objects: readonly KubeObject[] = [], options: FakeClientOptions = {}): FakeClient {
  const client = new MemoryClient(options.clock ?? systemClock);
  for (const object of objects) client.seed(resourceOf(object), object);
  return client;
}

function resourceOf(object: KubeObject): Resource {
  const resource = RESOURCES.find((r) => r.kind === object.kind && apiVersionOf(r) === object.apiVersion);
  if (resource === undefined) throw new Error(`createFakeClient: no resource for ${object.apiVersion} ${object.kind}`);
  return resource;
}

const TOKEN_MS = 3_600_000;

class MemoryClient implements FakeClient {
  readonly writes: string[] = [];
  readonly #context: WriteContext;
  readonly #store: FakeStore = new FakeStore();
  readonly #watches: FakeWatches;
  readonly #failures: { verb: Verb; plural: string; err: Error }[] = [];

  constructor(clock: Clock) {
    this.#context = { store: this.#store, clock };
    this.#watches = new FakeWatches(this.#store);
  }

  seed<T extends KubeObject>(resource: Resource<T>, object: T): Stored<T> {
    return typed<T>(createItem(this.#context, resource, object, { keepStatus: true }));
  }

  failNext(verb: Verb, resource: Resource, err: Error): void {
    this.#failures.push({ verb, plural: resource.plural, err });
  }

  disconnect(options: { readonly expire?: boolean } = {}): void {
    if (options.expire === true) this.#store.oldest = this.#store.revision + 1;
    this.#watches.disconnect();
  }

  async get<T extends KubeObject>(resource: Resource<T>, key: ObjectKey): Promise<Stored<T>> {
    await this.#arrive("get", resource);
    return typed<T>(this.#store.find(resource, formatKey(key)));
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<ListResult<T>> {
    await this.#arrive("list", resource);
    const items = [...this.#store.of(resource).values()].filter(matcher(resource, options)).map((item) => typed<T>(item));
    items.sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
    return { items, resourceVersion: String(this.#store.revision) };
  }

  async create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    await this.#arrive("create", resource, object.metadata, options);
    if (options.subresource === "binding") return typed<T>(bindItem(this.#context, resource, object));
    if (options.subresource === "token") {
      const status = {
        token: `token-of-${object.metadata?.name ?? ""}`,
        expirationTimestamp: formatTime(this.#context.clock.now() + TOKEN_MS),
      };
      return typed<T>({ ...wireCopy(object), status } as Parameters<typeof typed>[0]);
    }
    if (options.subresource === "eviction") {
      const key = { namespace: object.metadata?.namespace, name: object.metadata?.name ?? "" };
      const evicted = this.#store.find(resource, formatKey(key));
      deleteItem(this.#context, resource, key, {});
      return typed<T>(evicted);
    }
    return typed<T>(createItem(this.#context, resource, object));
  }

  async update<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    await this.#arrive("update", resource, object.metadata, options);
    return typed<T>(updateItem(this.#context, resource, wireCopy(object) as Stored<T>, options.subresource));
  }

  async patch<T extends KubeObject>(resource: Resource<T>, key: ObjectKey, patch: Patch, options: WriteOptions = {}): Promise<Stored<T>> {
    await this.#arrive("patch", resource, key, options);
    const current = this.#store.find(resource, formatKey(key));
    return typed<T>(updateItem(this.#context, resource, applyPatch(resource, current, wireCopy(patch)), options.subresource));
  }

  async delete(resource: Resource, key: ObjectKey, options: Parameters<Client["delete"]>[2] = {}): Promise<void> {
    await this.#arrive("delete", resource, key);
    deleteItem(this.#context, resource, key, options);
  }

  watch: Client["watch"] = (resource, options = {}) => this.#watches.watch(resource, options);

  /** A turn of the event loop passes, as it would over a network, and failures that were asked for happen. */
  async #arrive(verb: Verb, resource: Resource, key?: PartialKey, options: WriteOptions = {}): Promise<void> {
    if (key !== undefined) {
      const subresource = options.subresource === undefined ? "" : `/${options.subresource}`;
      const name = key.name ?? `${key.generateName ?? ""}*`;
      this.writes.push(`${verb} ${resource.plural}${subresource} ${formatKey({ namespace: key.namespace, name })}`);
    }
    await new Promise((resolve) => setImmediate(resolve));
    const at = this.#failures.findIndex((failure) => failure.verb === verb && failure.plural === resource.plural);
    const failure = at < 0 ? undefined : this.#failures.splice(at, 1)[0];
    if (failure !== undefined) throw failure.err;
  }
}

interface PartialKey {
  readonly namespace?: string | undefined;
  readonly name?: string;
  readonly generateName?: string;
}

function sortKey(object: Stored): string {
  return formatKey(object.metadata);
}
