// The rules of metadata that hold for every kind. After apiserver `registry/rest/{create,update,meta}.go`.
import { randomInt, randomUUID } from "node:crypto";
import { formatTime } from "#base";
import type { ObjectKey } from "#kube";
import { badRequest } from "../status.ts";
import type { Registry, Served } from "./types.ts";
import type { ApiObject } from "./version.ts";

// No vowels and nothing that looks like another letter (apimachinery `util/rand`); 63 less the suffix, as upstream cuts.
const SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH = 5;
const MAX_BASE_LENGTH = 58;

export function generateName(base: string): string {
  return base.slice(0, MAX_BASE_LENGTH) + randomSuffix();
}

export function randomSuffix(): string {
  let suffix = "";
  for (let i = 0; i < SUFFIX_LENGTH; i++) suffix += SUFFIX_LETTERS[randomInt(SUFFIX_LETTERS.length)] ?? "";
  return suffix;
}

/** Fits the object to the path of the request: namespace and name. Throws BadRequest where they contradict each other. */
export function matchPath(served: Served, object: ApiObject, key: { namespace?: string | undefined; name?: string | undefined }): void {
  const { metadata } = object;
  const asked = served.resource.namespaced ? (key.namespace ?? "") : "";
  const own = metadata.namespace ?? "";
  if (own !== "" && own !== asked) {
    const detail = served.resource.namespaced ? "" : ` (${served.resource.plural} have no namespace)`;
    throw badRequest(`the namespace of the provided object does not match the namespace sent on the request${detail}`);
  }
  if (asked === "") delete metadata.namespace;
  else metadata.namespace = asked;
  if (key.name === undefined) return;
  const name: string | undefined = metadata.name;
  if (name === undefined || name === "") metadata.name = key.name;
  else if (name !== key.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${key.name})`);
  }
}

/** What the server says of a new object, whatever the client said. */
export function initMetadata(registry: Registry, served: Served, object: ApiObject): void {
  const { metadata } = object;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  delete metadata.generation;
  metadata.uid = randomUUID();
  metadata.creationTimestamp = formatTime(registry.clock.now());
  if (served.strategy.hasGeneration === true) metadata.generation = 1;
}

/** What an update cannot change, taken from the old object. */
export function keepMetadata(object: ApiObject, old: ApiObject): void {
  const { metadata } = object;
  metadata.name = old.metadata.name;
  metadata.uid = old.metadata.uid;
  metadata.creationTimestamp = old.metadata.creationTimestamp;
  metadata.resourceVersion = old.metadata.resourceVersion;
  keep(metadata, old.metadata, ["namespace", "generateName", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"]);
  delete metadata.selfLink;
}

function keep<T extends object>(to: T, from: T, fields: readonly (keyof T)[]): void {
  for (const field of fields) {
    if (from[field] === undefined) delete to[field];
    else to[field] = from[field];
  }
}

/** Status writes leave metadata alone; some kinds let labels and annotations through. */
export function keepMetadataForStatus(object: ApiObject, old: ApiObject, keepsLabels: boolean): void {
  const { annotations } = object.metadata;
  const { labels } = keepsLabels ? old.metadata : object.metadata;
  object.metadata = { ...old.metadata };
  if (labels === undefined) delete object.metadata.labels;
  else object.metadata.labels = labels;
  if (annotations === undefined) delete object.metadata.annotations;
  else object.metadata.annotations = annotations;
}

export function keyOfObject(served: Served, object: ApiObject): ObjectKey {
  return served.resource.namespaced
    ? { namespace: object.metadata.namespace ?? "", name: object.metadata.name }
    : { name: object.metadata.name };
}
