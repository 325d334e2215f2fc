import type { Clock, Logger } from "#base";
import type { KubeObject, Resource } from "#kube";
import type { ApiSubresource, FieldError } from "#kube/schema";
import type { Store } from "#store";
import type { ApiObject, ObjectVersion, Writable } from "./version.ts";

/** Who asks. */
export interface User {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** One write on its way: what admission and strategies may know and do beside changing the object. */
export interface Write {
  readonly registry: Registry;
  readonly user: User;
  /** Everything happens except the write itself; what `undo` was given runs at the end. */
  readonly dryRun: boolean;
  /** Who is told to have changed the fields (metadata.managedFields). */
  readonly fieldManager: string;
  /** Server-side apply: the object comes with its managedFields. */
  readonly isApply: boolean;
  /** Shown to the client as a Warning header. */
  warn(text: string): void;
  /** Takes back a side effect (an allocated address) when the write does not happen. */
  undo(action: () => void): void;
  /** Runs once the write is durable. */
  done(action: () => void): void;
}

/**
 * What is particular about a kind. Hooks change `object` in place; it is the write's own copy, `old` is not. Method syntax, so that a
 * strategy of pods is a strategy.
 */
export interface Strategy<T extends KubeObject = KubeObject> {
  /** PUT to a name that does not exist creates it. */
  readonly createOnUpdate?: boolean;
  /** metadata.generation counts the changes of everything but metadata and status. */
  readonly hasGeneration?: boolean;
  /** Creators may send a status (nodes register with theirs). */
  readonly keepsStatusOnCreate?: boolean;
  /** Status writes may change annotations, and labels too unless this is set. */
  readonly statusKeepsLabels?: boolean;
  /** DELETE answers with the object instead of a Status. */
  readonly returnsDeleted?: boolean;
  /** Dependents are orphaned unless the delete says otherwise. */
  readonly orphansByDefault?: boolean;
  admitCreate?(object: Writable<T>, write: Write): void;
  prepareForCreate?(object: Writable<T>, write: Write): void;
  prepareForUpdate?(object: Writable<T>, old: T, write: Write): void;
  prepareForStatusUpdate?(object: Writable<T>, old: T, write: Write): void;
  /** What only the server's state can tell. */
  validate?(object: Writable<T>, old: T | undefined, write: Write): FieldError[];
  /** Throws when the object may not be deleted. */
  checkDelete?(object: Writable<T>): void;
  /** Seconds until the object is removed; undefined: at once. */
  gracePeriod?(object: Writable<T>, asked: number | undefined): number | undefined;
  /** Marks the object when its deletion begins. */
  prepareForDelete?(object: Writable<T>): void;
  /** Whether something other than metadata.finalizers still holds a deleted object. */
  isHeld?(object: Writable<T>): boolean;
  /** After the object is gone for good. */
  deleted?(object: Writable<T>): void;
}

/** Another form in which a kind is served (events.k8s.io shows core events). */
export interface View {
  /** What is stored. */
  readonly resource: Resource;
  toStored(object: ApiObject): ApiObject;
  fromStored(object: ApiObject): ApiObject;
}

/** A resource that the server serves. */
export interface Served {
  readonly resource: Resource;
  /** The store's table: `pods`, `deployments.apps`. */
  readonly table: string;
  readonly strategy: Strategy;
  readonly verbs: readonly string[];
  readonly subresources: readonly ApiSubresource[];
  /** The version in the form in which this resource shows it. */
  present(version: ObjectVersion): ObjectVersion;
  readonly view: View | undefined;
  /** Of the JSON's kind and apiVersion, see ObjectVersion.tail. */
  readonly headBytes: number;
}

/** What every operation on objects needs. */
export interface Registry {
  readonly store: Store<ObjectVersion>;
  readonly clock: Clock;
  readonly logger: Logger;
  served(resource: Pick<Resource, "group" | "plural">): Served;
}
