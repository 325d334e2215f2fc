import type { KubeObject, ObjectKey, Resource, Stored } from "#kube";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ListOptions extends CallOptions {
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ListResult<T extends KubeObject> {
  readonly items: Stored<T>[];
  readonly resourceVersion: string;
}

export interface WatchOptions extends ListOptions {
  /** Events after this version. Absent: the present objects come first as ADDED, then a BOOKMARK, then what happens (WatchList). */
  readonly resourceVersion?: string;
}

export type WatchEvent<T extends KubeObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: Stored<T> }
  /** `initialEventsEnd`: all objects that were there when the watch began have been sent. */
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string; readonly initialEventsEnd: boolean };

export interface WriteOptions extends CallOptions {
  readonly subresource?: "status" | "scale" | "binding" | "eviction" | "finalize" | "token" | undefined;
  readonly dryRun?: boolean | undefined;
  /** Strict: unknown fields are errors. Default: Ignore, since what we write we wrote. */
  readonly fieldValidation?: "Strict" | "Warn" | "Ignore" | undefined;
  readonly fieldManager?: string | undefined;
}

export type PatchType = "json" | "merge" | "strategic" | "apply";

export interface DeleteOptions extends CallOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: "Foreground" | "Background" | "Orphan" | undefined;
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

/**
 * The Kubernetes API as the rest of the code sees it; HTTP in production, in memory in tests, one contract suite over both.
 * Every call rejects with an `ApiError` when the server answers with a Status, with a `FairleadError` when there is no answer.
 */
export interface Client {
  get<T extends KubeObject>(resource: Resource<T>, key: ObjectKey, options?: CallOptions): Promise<Stored<T>>;
  list<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): Promise<ListResult<T>>;
  /** The namespace is the object's own. */
  create<T extends KubeObject>(resource: Resource<T>, object: T, options?: WriteOptions): Promise<Stored<T>>;
  /** With `metadata.resourceVersion` the update fails with Conflict where the object has changed meanwhile. */
  update<T extends KubeObject>(resource: Resource<T>, object: T, options?: WriteOptions): Promise<Stored<T>>;
  patch<T extends KubeObject>(resource: Resource<T>, key: ObjectKey, patch: Patch, options?: WriteOptions): Promise<Stored<T>>;
  delete(resource: Resource, key: ObjectKey, options?: DeleteOptions): Promise<void>;
  /** Ends when the server ends the stream or `signal` aborts; throws ApiError with code "Expired" when the version is too old. */
  watch<T extends KubeObject>(resource: Resource<T>, options?: WatchOptions): AsyncIterable<WatchEvent<T>>;
}

export interface Patch {
  readonly type: PatchType;
  readonly body: unknown;
}

export type Change<T extends KubeObject> =
  | { readonly type: "set"; readonly key: string; readonly object: Stored<T>; readonly old: Stored<T> | undefined }
  | { readonly type: "delete"; readonly key: string; readonly object: Stored<T> };

/**
 * A local copy of a resource that follows the server through list and watch, and survives disconnects: after one, objects that
 * vanished meanwhile are reported as deleted. Keys are `formatKey`'s.
 */
export interface Informer<T extends KubeObject> {
  /** Resolves once the copy is complete for the first time. */
  readonly synced: Promise<void>;
  hasSynced(): boolean;
  /** Whether the copy has reached this version: a writer asks it before it decides on its own latest write's consequences. */
  hasSeen(resourceVersion: string): boolean;
  get(key: string): Stored<T> | undefined;
  list(namespace?: string): Stored<T>[];
  /** `listener` is called for every later change, and at once for each object already there. */
  subscribe(listener: (change: Change<T>) => void): void;
  stop(): void;
}
