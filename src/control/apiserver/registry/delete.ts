// Deleting an object: at once, after a grace period, or when its finalizers are gone. After apiserver `registry/rest/delete.go` BeforeDelete
// and `registry/generic/registry/store.go` Delete.
import type { DeleteOptions } from "kubernetes-types/meta/v1";
import { formatTime } from "#base";
import { formatKey, type ObjectKey } from "#kube";
import { isStoreError } from "#store";
import { conflict, notFound } from "../status.ts";
import type { Registry, Served } from "./types.ts";
import { isFinished } from "./update.ts";
import { type ApiObject, ObjectVersion } from "./version.ts";
import type { WriteInProgress } from "./write.ts";

export interface DeleteResult {
  readonly version: ObjectVersion;
  /** false: it is still there, marked. */
  readonly gone: boolean;
}

const ATTEMPTS = 5;
const ORPHAN = "orphan";
const FOREGROUND = "foregroundDeletion";

interface Deleting {
  readonly registry: Registry;
  readonly served: Served;
  readonly key: ObjectKey;
  readonly options: DeleteOptions;
  readonly write: WriteInProgress;
}

export async function deleteObject(deleting: Deleting): Promise<DeleteResult> {
  const { registry, served, key, options, write } = deleting;
  for (let attempt = 1; ; attempt++) {
    const head = registry.store.head(served.table, formatKey(key));
    if (head === undefined) throw notFound(served.resource, key.name);
    checkPreconditions(served, head.value.object, options);
    served.strategy.checkDelete?.(head.value.object);
    try {
      return await write.run(() => deleteVersion(deleting, head.value));
    } catch (err) {
      if (isStoreError(err, "NotFound")) throw notFound(served.resource, key.name);
      if (!isStoreError(err, "Conflict")) throw err;
      if (attempt === ATTEMPTS) throw conflict(served.resource, key.name);
    }
  }
}

function checkPreconditions(served: Served, object: ApiObject, { preconditions }: DeleteOptions): void {
  const { name, uid, resourceVersion } = object.metadata;
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    throw conflict(served.resource, name, `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid}`);
  }
  if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion) {
    const why = `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`;
    throw conflict(served.resource, name, why);
  }
}

async function deleteVersion(deleting: Deleting, present: ObjectVersion): Promise<DeleteResult> {
  const { registry, served, key, write } = deleting;
  const old = present.object;
  const object: ApiObject = structuredClone(old);
  const changed = mark(deleting, object);
  const revision = Number(old.metadata.resourceVersion);
  if (isFinished(served, object)) {
    if (write.dryRun) return { version: present, gone: true };
    const at = await registry.store.delete(served.table, formatKey(key), revision);
    served.strategy.deleted?.(old);
    return { version: present.at(at), gone: true };
  }
  if (!changed) return { version: present, gone: false };
  const version = ObjectVersion.of(object);
  if (write.dryRun) return { version, gone: false };
  return { version: (await registry.store.put(served.table, formatKey(key), version, revision)).value, gone: false };
}

/** Writes into `object` that it is to go, and when. false: it said so before. */
function mark({ registry, served, options }: Deleting, object: ApiObject): boolean {
  const { metadata } = object;
  const { strategy } = served;
  const before = [metadata.deletionTimestamp, ...(metadata.finalizers ?? [])].join();
  setPolicyFinalizers(served, object, options);
  const grace = strategy.gracePeriod?.(object, options.gracePeriodSeconds) ?? 0;
  if (metadata.deletionTimestamp === undefined) {
    metadata.deletionTimestamp = formatTime(registry.clock.now() + grace * 1000);
    metadata.deletionGracePeriodSeconds = grace;
    if (metadata.generation !== undefined) metadata.generation++;
    strategy.prepareForDelete?.(object);
    return true;
  }
  // A later delete may shorten the wait, never lengthen it.
  const waiting = metadata.deletionGracePeriodSeconds ?? 0;
  if (waiting > 0 && options.gracePeriodSeconds !== undefined && grace < waiting) {
    const asked = Date.parse(metadata.deletionTimestamp) - waiting * 1000;
    metadata.deletionTimestamp = formatTime(asked + grace * 1000);
    metadata.deletionGracePeriodSeconds = grace;
  }
  return [metadata.deletionTimestamp, ...(metadata.finalizers ?? [])].join() !== before;
}

/** The garbage collector acts on these two finalizers and removes them (kube-controller-manager `garbagecollector`). */
function setPolicyFinalizers({ strategy }: Served, object: ApiObject, { propagationPolicy, orphanDependents }: DeleteOptions): void {
  const present = object.metadata.finalizers ?? [];
  let policy = propagationPolicy;
  if (policy === undefined && orphanDependents !== undefined) policy = orphanDependents ? "Orphan" : "Background";
  if (policy === undefined) {
    if (present.includes(ORPHAN) || present.includes(FOREGROUND)) return;
    policy = strategy.orphansByDefault === true ? "Orphan" : "Background";
  }
  const kept = present.filter((finalizer) => finalizer !== ORPHAN && finalizer !== FOREGROUND);
  if (policy === "Orphan") kept.push(ORPHAN);
  if (policy === "Foreground") kept.push(FOREGROUND);
  if (kept.length > 0) object.metadata.finalizers = kept;
  else delete object.metadata.finalizers;
}
