// Creating an object: identity, admission, the kind's own preparation, validation, the store. After apiserver `registry/generic/registry/store.go`
// Create and `registry/rest/create.go` BeforeCreate.
import { formatKey } from "#kube";
import { invalidStatus, validate } from "#kube/schema";
import { isStoreError } from "#store";
import { admitCreate } from "../admission/admit.ts";
import { alreadyExists, badRequest, StatusError } from "../status.ts";
import { generateName, initMetadata, keyOfObject } from "./metadata.ts";
import type { Registry, Served } from "./types.ts";
import { type ApiObject, ObjectVersion } from "./version.ts";
import type { WriteInProgress } from "./write.ts";

const GENERATE_ATTEMPTS = 8;

/** Takes `object` over: decoded, defaulted, and fitted to the path. Resolves when it is durable; under dryRun with what would have been stored. */
export async function createObject(registry: Registry, served: Served, object: ApiObject, write: WriteInProgress): Promise<ObjectVersion> {
  const { metadata } = object;
  if ((metadata.resourceVersion ?? "") !== "") throw badRequest("resourceVersion should not be set on objects to be created");
  const base = metadata.generateName ?? "";
  const isNamed = ((metadata.name as string | undefined) ?? "") !== "" || base === "";
  if (isNamed) return write.run(() => tryCreate(registry, served, object, write));
  for (let attempt = 0; ; attempt++) {
    const named: ApiObject = structuredClone(object);
    named.metadata.name = generateName(base);
    try {
      return await write.run(() => tryCreate(registry, served, named, write));
    } catch (err) {
      if (!(err instanceof StatusError) || err.code !== "AlreadyExists" || attempt === GENERATE_ATTEMPTS) throw err;
    }
  }
}

async function tryCreate(registry: Registry, served: Served, object: ApiObject, write: WriteInProgress): Promise<ObjectVersion> {
  const { resource, table } = served;
  prepareNew(registry, served, object, write);
  checkValid(served, object, undefined, write);
  const key = formatKey(keyOfObject(served, object));
  const version = ObjectVersion.of(object);
  if (write.dryRun) {
    if (registry.store.head(table, key) !== undefined) throw alreadyExists(resource, object.metadata.name);
    return version;
  }
  try {
    return (await registry.store.put(table, key, version, 0)).value;
  } catch (err) {
    if (isStoreError(err, "Conflict")) throw alreadyExists(resource, object.metadata.name);
    throw err;
  }
}

function prepareNew(registry: Registry, served: Served, object: ApiObject, write: WriteInProgress): void {
  const { strategy } = served;
  initMetadata(registry, served, object);
  if (hasStatus(served) && strategy.keepsStatusOnCreate !== true) object["status"] = {};
  if (!write.isApply) delete object.metadata.managedFields;
  admitCreate(served, object, write);
  strategy.prepareForCreate?.(object, write);
}

export function hasStatus(served: Served): boolean {
  return served.subresources.some((subresource) => subresource.name === "status");
}

export function checkValid(served: Served, object: ApiObject, old: ApiObject | undefined, write: WriteInProgress): void {
  const stored = served.view?.resource ?? served.resource;
  const errors = [...validate(stored, object, old), ...(served.strategy.validate?.(object, old, write) ?? [])];
  if (errors.length > 0) throw StatusError.from(invalidStatus(served.resource, object.metadata.name ?? "", errors));
}
