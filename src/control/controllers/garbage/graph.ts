// Who depends on whom, by the uid of the owner; fed by every informer (kubernetes `pkg/controller/garbagecollector/graph.go`).
import type { OwnerReference } from "kubernetes-types/meta/v1";
import type { Informer } from "#client";
import { apiVersionOf, formatKey, type KubeObject, type Resource, type Stored } from "#kube";
import type { ResourceInformer } from "../informers.ts";

/** One object: where it is served, and its key there. */
export interface ObjectId {
  readonly resource: Resource;
  readonly key: string;
}

export function formatId({ resource, key }: ObjectId): string {
  return `${resource.group}/${resource.plural} ${key}`;
}

export class OwnerGraph {
  readonly #informers = new Map<string, Informer<KubeObject>>();
  readonly #resources = new Map<string, Resource>();
  readonly #byKind = new Map<string, Resource>();
  readonly #dependents = new Map<string, Map<string, ObjectId>>();

  constructor(all: readonly ResourceInformer[]) {
    for (const { resource, informer } of all) {
      this.#informers.set(`${resource.group}/${resource.plural}`, informer);
      this.#resources.set(`${resource.group}/${resource.plural}`, resource);
      this.#byKind.set(`${apiVersionOf(resource)} ${resource.kind}`, resource);
    }
  }

  /** The reverse of `formatId`. */
  parseId(text: string): ObjectId | undefined {
    const [name = "", key = ""] = text.split(" ");
    const resource = this.#resources.get(name);
    return resource === undefined ? undefined : { resource, key };
  }

  get({ resource, key }: ObjectId): Stored | undefined {
    return this.#informers.get(`${resource.group}/${resource.plural}`)?.get(key);
  }

  /** Where an owner is; undefined for kinds that we do not know, about which nothing can be said. */
  ownerId(reference: OwnerReference, dependent: Stored): ObjectId | undefined {
    const resource = this.#byKind.get(`${reference.apiVersion} ${reference.kind}`);
    if (resource === undefined) return undefined;
    const namespace = resource.namespaced ? dependent.metadata.namespace : undefined;
    return { resource, key: formatKey({ namespace, name: reference.name }) };
  }

  link(id: ObjectId, owners: readonly OwnerReference[] | undefined): void {
    for (const { uid } of owners ?? []) {
      const dependents = this.#dependents.get(uid) ?? new Map<string, ObjectId>();
      dependents.set(formatId(id), id);
      this.#dependents.set(uid, dependents);
    }
  }

  unlink(id: ObjectId, owners: readonly OwnerReference[] | undefined): void {
    for (const { uid } of owners ?? []) {
      const dependents = this.#dependents.get(uid);
      dependents?.delete(formatId(id));
      if (dependents?.size === 0) this.#dependents.delete(uid);
    }
  }

  dependentsOf(uid: string): ObjectId[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])];
  }
}
