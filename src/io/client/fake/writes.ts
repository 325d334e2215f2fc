// What the API server does to an object on its way in: identity, versions, generation, the status apart from the rest, finalizers.
import { isDeepStrictEqual } from "node:util";
import { type Clock, formatTime } from "#base";
import { apiVersionOf, formatKey, type KubeObject, keyOf, type ObjectKey, type Resource } from "#kube";
import type { DeleteOptions, WriteOptions } from "../types.ts";
import { type FakeStore, fail, type Item, qualifiedName, wireCopy } from "./store.ts";

export interface WriteContext {
  readonly store: FakeStore;
  readonly clock: Clock;
}

// Kinds whose status a create throws away (Node keeps it: registry/core/node/strategy.go).
const STATUS_FROM_CREATE = new Set(["Node", "Namespace"]);
const DEFAULT_GRACE_SECONDS = 30;

export function createItem(context: WriteContext, resource: Resource, object: KubeObject, options: { keepStatus?: boolean } = {}): Item {
  const { store, clock } = context;
  const item = wireCopy(object) as Item;
  const metadata = { ...item.metadata };
  const name = metadata.name ?? `${metadata.generateName ?? ""}${randomSuffix()}`;
  if (name === "" || (object.metadata?.name === undefined && metadata.generateName === undefined)) {
    throw fail(422, "Invalid", `${resource.kind} "" is invalid: metadata.name: Required value: name or generateName is required`);
  }
  if (metadata.resourceVersion !== undefined && options.keepStatus !== true) {
    throw fail(400, "BadRequest", "resourceVersion should not be set on objects to be created");
  }
  item.metadata = {
    ...metadata,
    name,
    ...(resource.namespaced ? { namespace: metadata.namespace ?? "default" } : {}),
    uid: options.keepStatus === true && metadata.uid !== undefined ? metadata.uid : store.nextUid(),
    generation: metadata.generation ?? 1,
    creationTimestamp:
      options.keepStatus === true && metadata.creationTimestamp !== undefined ? metadata.creationTimestamp : formatTime(clock.now()),
    resourceVersion: "",
  };
  item.apiVersion = apiVersionOf(resource);
  item.kind = resource.kind;
  if (options.keepStatus !== true && !STATUS_FROM_CREATE.has(resource.kind)) delete item.status;
  if (store.of(resource).has(keyOf(item))) throw fail(409, "AlreadyExists", `${qualifiedName(resource)} "${name}" already exists`);
  if (resource.kind === "Namespace") prepareNamespace(item);
  if (resource.namespaced && options.keepStatus !== true) refuseTerminating(context, item);
  return store.put(resource, item);
}

function randomSuffix(): string {
  return Math.random().toString(36).slice(2, 7).padEnd(5, "x");
}

function prepareNamespace(item: Item): void {
  item.metadata.labels = { ...item.metadata.labels, "kubernetes.io/metadata.name": item.metadata.name };
  item.spec ??= { finalizers: ["kubernetes"] };
  item.status ??= { phase: "Active" };
}

function refuseTerminating(context: WriteContext, item: Item): void {
  const namespace = item.metadata.namespace ?? "";
  const terminating = context.store.of(NAMESPACE).get(namespace)?.metadata.deletionTimestamp !== undefined;
  if (!terminating) return;
  throw fail(
    403,
    "Forbidden",
    `${item.kind.toLowerCase()} "${item.metadata.name}" is forbidden: unable to create new content in namespace ${namespace} because it is being terminated`,
  );
}

const NAMESPACE: Pick<Resource, "group" | "plural"> & Resource = {
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  singular: "namespace",
  shortNames: [],
  categories: [],
  namespaced: false,
};

/** Replaces the object, or only its status or finalizers, by `next`. */
export function updateItem(context: WriteContext, resource: Resource, next: Item, subresource: WriteOptions["subresource"]): Item {
  const { store } = context;
  const current = store.find(resource, keyOf(next));
  checkVersion(resource, current, next.metadata);
  const item = merged(current, wireCopy(next), subresource);
  item.metadata.resourceVersion = current.metadata.resourceVersion;
  if (isDeepStrictEqual(item, current)) return current;
  if (!isDeepStrictEqual(item.spec, current.spec)) item.metadata.generation = (current.metadata.generation ?? 0) + 1;
  return finishDeletion(store, resource, store.put(resource, item));
}

function merged(current: Item, next: Item, subresource: WriteOptions["subresource"]): Item {
  const item = wireCopy(current);
  if (subresource === "status") {
    setOrDelete(item, "status", next.status);
    return item;
  }
  if (subresource === "finalize") {
    setOrDelete(item, "spec", next.spec);
    return item;
  }
  const identity = wireCopy(current.metadata);
  const metadata = {
    ...next.metadata,
    name: identity.name,
    uid: identity.uid,
    resourceVersion: identity.resourceVersion,
    creationTimestamp: identity.creationTimestamp,
  };
  for (const field of ["namespace", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"] as const) {
    delete metadata[field];
    if (identity[field] !== undefined) Object.assign(metadata, { [field]: identity[field] });
  }
  const updated: Item = { ...next, apiVersion: current.apiVersion, kind: current.kind, metadata };
  setOrDelete(updated, "status", current.status ?? undefined);
  return wireCopy(updated);
}

function setOrDelete(item: Item, part: "spec" | "status", value: unknown): void {
  if (value === undefined) delete item[part];
  else item[part] = value;
}

function checkVersion(resource: Resource, current: Item, wanted: { resourceVersion?: string; uid?: string }): void {
  const sameVersion = wanted.resourceVersion === undefined || wanted.resourceVersion === current.metadata.resourceVersion;
  const sameUid = wanted.uid === undefined || wanted.uid === current.metadata.uid;
  if (sameVersion && sameUid) return;
  const reason = sameUid
    ? "the object has been modified; please apply your changes to the latest version and try again"
    : `StorageError: invalid object, Precondition failed: UID in precondition: ${wanted.uid}, UID in object meta: ${current.metadata.uid}`;
  throw fail(409, "Conflict", `Operation cannot be fulfilled on ${qualifiedName(resource)} "${current.metadata.name}": ${reason}`);
}

/** An object that is being deleted goes when its last finalizer does. */
function finishDeletion(store: FakeStore, resource: Resource, item: Item): Item {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = item.metadata;
  if (deletionTimestamp === undefined || finalizers.length > 0 || namespaceFinalizers(item) > 0) return item;
  if (deletionGracePeriodSeconds > 0) return item;
  return store.remove(resource, keyOf(item));
}

function namespaceFinalizers(item: Item): number {
  if (item.kind !== "Namespace") return 0;
  const spec = item.spec as { finalizers?: readonly string[] } | undefined;
  return spec?.finalizers?.length ?? 0;
}

export function deleteItem(context: WriteContext, resource: Resource, key: ObjectKey, options: DeleteOptions): void {
  const { store, clock } = context;
  const current = store.find(resource, formatKey(key));
  checkVersion(resource, current, {
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.resourceVersion === undefined ? {} : { resourceVersion: options.resourceVersion }),
  });
  const item = wireCopy(current);
  const graceSeconds = graceOf(item, options);
  const finalizers = [...(item.metadata.finalizers ?? [])];
  if (options.propagationPolicy === "Foreground" && !finalizers.includes("foregroundDeletion")) finalizers.push("foregroundDeletion");
  if (options.propagationPolicy === "Orphan" && !finalizers.includes("orphan")) finalizers.push("orphan");
  if (finalizers.length === 0 && graceSeconds === 0 && namespaceFinalizers(item) === 0) {
    store.remove(resource, keyOf(item));
    return;
  }
  const grace = Math.min(graceSeconds, item.metadata.deletionGracePeriodSeconds ?? graceSeconds);
  if (item.metadata.deletionTimestamp !== undefined && grace === item.metadata.deletionGracePeriodSeconds) return;
  if (finalizers.length > 0) item.metadata.finalizers = finalizers;
  item.metadata.deletionTimestamp ??= formatTime(clock.now() + grace * 1000);
  item.metadata.deletionGracePeriodSeconds = grace;
  item.metadata.generation = (item.metadata.generation ?? 0) + 1;
  if (item.kind === "Namespace") item.status = { phase: "Terminating" };
  store.put(resource, item);
}

/** Only a pod that runs on a node is given time (registry/core/pod/strategy.go CheckGracefulDelete). */
function graceOf(item: Item, options: DeleteOptions): number {
  if (item.kind !== "Pod") return 0;
  const spec = (item.spec ?? {}) as { nodeName?: string; terminationGracePeriodSeconds?: number };
  const phase = (item.status as { phase?: string } | undefined)?.phase;
  if (spec.nodeName === undefined || phase === "Succeeded" || phase === "Failed") return 0;
  return options.gracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
}

/** `pods/binding`: puts the pod on a node once. */
export function bindItem(context: WriteContext, resource: Resource, binding: KubeObject): Item {
  const { store, clock } = context;
  const name = binding.metadata?.name ?? "";
  const current = store.find(resource, formatKey({ namespace: binding.metadata?.namespace ?? "default", name }));
  const item = wireCopy(current);
  const spec = (item.spec ?? {}) as { nodeName?: string };
  const node = (binding as { target?: { name?: string } }).target?.name ?? "";
  if (spec.nodeName !== undefined) {
    throw fail(
      409,
      "Conflict",
      `Operation cannot be fulfilled on pods/binding "${name}": pod ${name} is already assigned to node "${spec.nodeName}"`,
    );
  }
  item.spec = { ...spec, nodeName: node };
  const status = (item.status ?? {}) as { conditions?: { type: string }[] };
  const conditions = (status.conditions ?? []).filter((condition) => condition.type !== "PodScheduled");
  const scheduled = { type: "PodScheduled", status: "True", lastTransitionTime: formatTime(clock.now()) };
  item.status = { ...status, conditions: [...conditions, scheduled] };
  return store.put(resource, item);
}
