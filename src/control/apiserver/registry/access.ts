// Reading and following stored objects from inside the server, typed by their resource.
import { formatKey, type KubeObject, type ObjectKey, type Resource, type Stored } from "#kube";
import type { Registry } from "./types.ts";

/** The last accepted state, also when it is not durable yet; undefined when there is none. Not to be changed. */
export function headObject<T extends KubeObject>(registry: Registry, resource: Resource<T>, key: ObjectKey): Stored<T> | undefined {
  const entry = registry.store.head(registry.served(resource).table, formatKey(key));
  return entry?.value.object as Stored<T> | undefined;
}

/** All durable objects, or those of a namespace. Not to be changed. */
export function listObjects<T extends KubeObject>(registry: Registry, resource: Resource<T>, namespace?: string): Stored<T>[] {
  const prefix = namespace === undefined ? "" : `${namespace}/`;
  const page = registry.store.list(registry.served(resource).table, { prefix });
  return page.entries.map((entry) => entry.value.object as unknown as Stored<T>);
}
