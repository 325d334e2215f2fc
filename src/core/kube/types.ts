import type { ObjectMeta as RawObjectMeta } from "kubernetes-types/meta/v1";

/** What every API object has; all of it optional, because this is also the shape of what users send. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata?: RawObjectMeta;
}

/** The metadata of an object that the API server has stored. */
export type StoredMeta = RawObjectMeta & { name: string; uid: string; resourceVersion: string; creationTimestamp: string };

/** An object as the API server returns it: identity, version and kind are there. */
export type Stored<T extends KubeObject = KubeObject> = T & { apiVersion: string; kind: string; metadata: StoredMeta };

/** Names one object of a resource; `namespace` is absent for cluster-scoped ones. */
export interface ObjectKey {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** `namespace/name`, or `name` when there is no namespace: client-go's cache key. */
export function formatKey(key: ObjectKey): string {
  return key.namespace === undefined || key.namespace === "" ? key.name : `${key.namespace}/${key.name}`;
}

export function parseKey(text: string): ObjectKey {
  const slash = text.indexOf("/");
  return slash < 0 ? { name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}

export function keyOf(object: { metadata: { name: string; namespace?: string } }): string {
  return formatKey(object.metadata);
}

/**
 * One kind of object and where the API serves it. `T` is the object's type (a phantom: there is no value behind it), so that
 * `client.list(PODS)` gives pods.
 */
export interface Resource<T extends KubeObject = KubeObject> {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly objectType?: T;
}

/** `v1` or `apps/v1`. */
export function apiVersionOf(resource: Pick<Resource, "group" | "version">): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

/** `/api/v1/namespaces/default/pods/web`, without the name for the collection, without the namespace across all of them. */
export function resourcePath(
  resource: Resource,
  key: { namespace?: string | undefined; name?: string } = {},
  subresource?: string,
): string {
  const root = resource.group === "" ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const namespace = resource.namespaced && key.namespace !== undefined ? `/namespaces/${encodeURIComponent(key.namespace)}` : "";
  const name = key.name === undefined ? "" : `/${encodeURIComponent(key.name)}`;
  return `${root}${namespace}/${resource.plural}${name}${subresource === undefined ? "" : `/${subresource}`}`;
}
