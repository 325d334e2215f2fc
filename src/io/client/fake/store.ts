// Objects by resource and key, one revision for all of them, and everything that happened, for watches that start in the past.
import {
  type KubeObject,
  keyOf,
  matchFields,
  matchLabels,
  parseFieldSelector,
  parseLabelSelector,
  type Resource,
  type StoredMeta,
} from "#kube";
import { ApiError } from "../errors.ts";
import type { ListOptions } from "../types.ts";

/** Any object, with the two parts whose writes the API keeps apart. */
export interface Item extends KubeObject {
  apiVersion: string;
  kind: string;
  metadata: { -readonly [Field in keyof StoredMeta]: StoredMeta[Field] };
  spec?: unknown;
  status?: unknown;
}

export interface Happening {
  readonly resource: string;
  readonly revision: number;
  readonly key: string;
  readonly before: Item | undefined;
  readonly after: Item | undefined;
}

export function fail(code: number, reason: string, message: string): ApiError {
  return new ApiError("fake", { code, reason, message });
}

export function wireCopy<T>(value: T): T {
  // Through JSON, as over the wire: what is undefined is absent.
  return JSON.parse(JSON.stringify(value)) as T;
}

export function resourceId(resource: Resource): string {
  // Both groups of events show the same objects upstream; the fake keeps them apart.
  return `${resource.group}/${resource.plural}`;
}

/** `pods` or `deployments.apps`, as Status messages name a resource. */
export function qualifiedName(resource: Resource): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

export class FakeStore {
  readonly happenings: Happening[] = [];
  readonly #items = new Map<string, Map<string, Item>>();
  readonly #listeners = new Set<(happening: Happening) => void>();
  /** Watches from before this revision are told that it is too old. */
  oldest = 0;
  revision = 1;
  #uids = 0;

  nextUid(): string {
    this.#uids++;
    return `00000000-0000-4000-8000-${String(this.#uids).padStart(12, "0")}`;
  }

  of(resource: Resource): Map<string, Item> {
    const id = resourceId(resource);
    let items = this.#items.get(id);
    if (items === undefined) {
      items = new Map();
      this.#items.set(id, items);
    }
    return items;
  }

  find(resource: Resource, key: string): Item {
    const item = this.of(resource).get(key);
    if (item !== undefined) return item;
    const name = key.slice(key.indexOf("/") + 1);
    throw fail(404, "NotFound", `${qualifiedName(resource)} "${name}" not found`);
  }

  put(resource: Resource, item: Item): Item {
    const key = keyOf(item);
    const before = this.of(resource).get(key);
    this.revision++;
    item.metadata.resourceVersion = String(this.revision);
    this.of(resource).set(key, item);
    this.#record({ resource: resourceId(resource), revision: this.revision, key, before, after: item });
    return item;
  }

  remove(resource: Resource, key: string): Item {
    const before = this.find(resource, key);
    this.of(resource).delete(key);
    this.revision++;
    this.#record({ resource: resourceId(resource), revision: this.revision, key, before, after: undefined });
    return before;
  }

  listen(listener: (happening: Happening) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #record(happening: Happening): void {
    this.happenings.push(happening);
    for (const listener of this.#listeners) listener(happening);
  }
}

/** What a list or a watch with these options covers. */
export function matcher(resource: Resource, options: ListOptions): (item: KubeObject) => boolean {
  const labels = parseLabelSelector(options.labelSelector ?? "");
  const fields = parseFieldSelector(options.fieldSelector ?? "");
  return (item) =>
    (options.namespace === undefined || !resource.namespaced || item.metadata?.namespace === options.namespace) &&
    matchLabels(labels, item.metadata?.labels) &&
    matchFields(resource, fields, item);
}
