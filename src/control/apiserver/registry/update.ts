// Replacing an object, whole or its status. After apiserver `registry/generic/registry/store.go` Update and `registry/rest/update.go`.
import { formatTime } from "#base";
import { apiVersionOf, formatKey, type Json, jsonEquals, type ObjectKey } from "#kube";
import { isStoreError } from "#store";
import { followUpdate } from "../apply/apply.ts";
import { rootField } from "../apply/walk.ts";
import { conflict, notFound } from "../status.ts";
import { checkValid, createObject, hasStatus } from "./create.ts";
import { keepMetadata, keepMetadataForStatus } from "./metadata.ts";
import type { Registry, Served } from "./types.ts";
import { type ApiObject, ObjectVersion } from "./version.ts";
import type { WriteInProgress } from "./write.ts";

export interface UpdateRequest {
  readonly key: ObjectKey;
  /** Makes the wanted object of the present one (undefined: there is none); gives a fresh object, decoded and defaulted. */
  readonly wanted: (old: ApiObject | undefined) => ApiObject;
  /** `status`: nothing but the status changes. `main`: everything but the status. `any`: what the server itself changes. */
  readonly part: "main" | "status" | "any";
  /** Under which name managedFields tells of the change, where it is not `part`. */
  readonly subresource?: string;
  /** Even where the kind's PUT does not. */
  readonly createIfMissing?: boolean;
}

export interface UpdateResult {
  readonly version: ObjectVersion;
  readonly created: boolean;
}

const ATTEMPTS = 5;

export async function updateObject(
  registry: Registry,
  served: Served,
  request: UpdateRequest,
  write: WriteInProgress,
): Promise<UpdateResult> {
  const name = request.key.name;
  for (let attempt = 1; ; attempt++) {
    const head = registry.store.head(served.table, formatKey(request.key));
    if (head === undefined) return createInstead(registry, served, request, write);
    const old = head.value.object;
    const object = request.wanted(old);
    const asked = object.metadata.resourceVersion ?? "";
    if (asked !== "" && asked !== old.metadata.resourceVersion) throw conflict(served.resource, name);
    checkUid(served, object, old);
    try {
      return await write.run(() => replace({ registry, served, request, write }, object, head.value));
    } catch (err) {
      if (!isStoreError(err, "Conflict")) throw err;
      if (asked !== "" || attempt === ATTEMPTS) throw conflict(served.resource, name);
    }
  }
}

async function createInstead(registry: Registry, served: Served, request: UpdateRequest, write: WriteInProgress): Promise<UpdateResult> {
  const allowed = request.createIfMissing === true || (served.strategy.createOnUpdate === true && request.part === "main");
  if (!allowed) throw notFound(served.resource, request.key.name);
  const object = request.wanted(undefined);
  delete (object.metadata as Partial<ApiObject["metadata"]>).resourceVersion;
  return { version: await createObject(registry, served, object, write), created: true };
}

function checkUid(served: Served, object: ApiObject, old: ApiObject): void {
  const uid: string | undefined = object.metadata.uid;
  if (uid === undefined || uid === "" || uid === old.metadata.uid) return;
  const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`;
  throw conflict(served.resource, old.metadata.name, why);
}

interface Replacing {
  readonly registry: Registry;
  readonly served: Served;
  readonly request: UpdateRequest;
  readonly write: WriteInProgress;
}

async function replace(
  { registry, served, request, write }: Replacing,
  object: ApiObject,
  oldVersion: ObjectVersion,
): Promise<UpdateResult> {
  const old = oldVersion.object;
  const { table, strategy } = served;
  const key = formatKey(request.key);
  const wanted = request.part === "status" ? withOwnStatus(served, object, old) : object;
  if (request.part === "main") separate(served, wanted, old, write);
  else if (request.part === "status") strategy.prepareForStatusUpdate?.(wanted, old, write);
  if (!write.isApply) follow({ registry, served, request, write }, wanted, old);
  // What users may not change the server may: a binding sets the node of a pod.
  checkValid(served, wanted, request.part === "any" ? undefined : old, write);
  const revision = Number(old.metadata.resourceVersion);
  const isDurable = registry.store.get(table, key)?.revision === revision;
  if (isDurable && jsonEquals(asJson(wanted), asJson(old))) return { version: oldVersion, created: false };
  const version = ObjectVersion.of(wanted);
  if (write.dryRun) return { version, created: false };
  if (isFinished(served, wanted)) {
    const at = await registry.store.delete(table, key, revision);
    strategy.deleted?.(wanted);
    return { version: version.at(at), created: false };
  }
  return { version: (await registry.store.put(table, key, version, revision)).value, created: false };
}

function follow({ registry, served, request, write }: Replacing, wanted: ApiObject, old: ApiObject): void {
  const stored = served.view?.resource ?? served.resource;
  const subresource = request.subresource ?? (request.part === "status" ? "status" : "");
  followUpdate(old, wanted, {
    manager: { name: write.fieldManager, operation: "Update", apiVersion: apiVersionOf(stored), subresource },
    part: request.part === "status" ? "status" : "main",
    schema: () => rootField(stored),
    now: formatTime(registry.clock.now()),
  });
}

/** A write of the main resource: metadata that the server owns and the status stay, the generation follows the rest. */
function separate(served: Served, object: ApiObject, old: ApiObject, write: WriteInProgress): void {
  const { strategy } = served;
  keepMetadata(object, old);
  if (hasStatus(served)) {
    if (old["status"] === undefined) delete object["status"];
    else object["status"] = structuredClone(old["status"]);
  }
  strategy.prepareForUpdate?.(object, old, write);
  if (strategy.hasGeneration === true && !sameBesideStatus(object, old)) {
    object.metadata.generation = (old.metadata.generation ?? 0) + 1;
  }
}

function sameBesideStatus(a: ApiObject, b: ApiObject): boolean {
  const bare = (object: ApiObject): Json => {
    const { metadata: _metadata, status: _status, ...rest } = object;
    return asJson(rest);
  };
  return jsonEquals(bare(a), bare(b));
}

function withOwnStatus(served: Served, object: ApiObject, old: ApiObject): ApiObject {
  const { status: _status, ...rest } = old;
  const wanted: ApiObject = { ...rest, metadata: object.metadata };
  keepMetadataForStatus(wanted, old, served.strategy.statusKeepsLabels === true);
  if (object["status"] !== undefined) wanted["status"] = object["status"];
  return wanted;
}

/** Whether nothing holds a deleted object any more: it goes in the same request (the last finalizer's removal). */
export function isFinished(served: Served, object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (finalizers ?? []).length > 0) return false;
  return (deletionGracePeriodSeconds ?? 0) === 0 && served.strategy.isHeld?.(object) !== true;
}

/** API objects are JSON values by construction: they came from a body or from the log. */
export function asJson(value: object): Json {
  return value as unknown as Json;
}
