import type { Namespace } from "kubernetes-types/core/v1";
import { isNotFound } from "#client";
import { CORE_EVENTS, type KubeObject, keyOf, NAMESPACES, PODS, type Resource, type Stored } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import type { ResourceInformer } from "../informers.ts";
import { statusPatch } from "../status-patch.ts";
import { computeConditions, FINALIZER, type Remaining } from "./compute.ts";

/** Empties namespaces that are being deleted, pods first (KEP-5080), and lets them go when nothing is left. */
export async function startNamespaces(context: ControllerContext): Promise<void> {
  const { namespaces } = context.informers;
  const contents = context.informers.all().filter(({ resource }) => resource.namespaced);
  await whenSynced([namespaces, ...contents.map(({ informer }) => informer)]);
  const deletion = new NamespaceDeletion(context, contents);
  const queue = startQueue(context, { name: "namespace", run: (name) => deletion.sync(name), concurrency: 4 });
  namespaces.subscribe((change) => {
    if (change.type === "set" && change.object.metadata.deletionTimestamp !== undefined) queue.add(change.key);
  });
  for (const { informer } of contents) {
    informer.subscribe(({ object }) => {
      const name = object.metadata.namespace ?? "";
      if (namespaces.get(name)?.metadata.deletionTimestamp !== undefined) queue.add(name);
    });
  }
}

class NamespaceDeletion {
  readonly #context: ControllerContext;
  readonly #contents: readonly ResourceInformer[];

  constructor(context: ControllerContext, contents: readonly ResourceInformer[]) {
    this.#context = context;
    this.#contents = contents;
  }

  async sync(name: string): Promise<undefined> {
    const namespace = this.#context.informers.namespaces.get(name);
    if (namespace === undefined || namespace.metadata.deletionTimestamp === undefined) return;
    if (!(namespace.spec?.finalizers ?? []).includes(FINALIZER)) return;
    const known = this.#contents.map(({ resource, informer }) => ({ resource, objects: informer.list(name) }));
    await this.#deleteAll(known);
    const remaining = known.filter(({ objects }) => objects.length > 0);
    // The objects' own events bring the namespace back.
    if (remaining.length > 0) return await this.#report(namespace, remaining);
    // What our copies show could be behind; nothing new can come into the namespace, so what a list shows now is all.
    const found = await this.#listAll(name);
    if (found.length > 0) {
      await this.#deleteAll(found);
      throw new Error(`namespace ${name} still has ${found.map(({ resource }) => resource.plural).join(", ")}`);
    }
    await this.#finalize(namespace);
  }

  async #deleteAll(contents: readonly { resource: Resource; objects: readonly Stored[] }[]): Promise<void> {
    const pods = contents.filter(({ resource, objects }) => resource === PODS && objects.length > 0);
    for (const { resource, objects } of pods.length > 0 ? pods : contents) {
      const present = objects.filter((object) => object.metadata.deletionTimestamp === undefined);
      await Promise.all(present.map((object) => this.#delete(resource, object)));
    }
  }

  async #delete(resource: Resource, object: Stored): Promise<void> {
    const { name, namespace, uid } = object.metadata;
    try {
      await this.#context.client.delete(resource, { name, namespace }, { uid, propagationPolicy: "Background" });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  async #listAll(namespace: string): Promise<{ resource: Resource; objects: Stored[] }[]> {
    const { client } = this.#context;
    const resources = [...this.#contents.map(({ resource }) => resource), CORE_EVENTS];
    const found: { resource: Resource; objects: Stored[] }[] = [];
    for (const resource of resources) {
      const { items } = await client.list<KubeObject>(resource, { namespace });
      if (items.length > 0) found.push({ resource, objects: items });
    }
    return found;
  }

  async #report(
    namespace: Stored<Namespace>,
    remaining: readonly { resource: Resource; objects: readonly Stored[] }[],
  ): Promise<undefined> {
    const named: Remaining[] = remaining.map(({ resource, objects }) => ({ resource: `${resource.plural}.${resource.group}`, objects }));
    // Only what holds on to something is worth a word: ordinary content is gone in a moment.
    if (!remaining.some(({ objects }) => objects.some((object) => object.metadata.deletionTimestamp !== undefined))) return;
    const conditions = computeConditions(namespace.status?.conditions ?? [], named, this.#context.clock.now());
    const status = statusPatch(namespace.status, { conditions });
    if (status === undefined) return;
    await this.#context.client.patch(
      NAMESPACES,
      { name: keyOf(namespace) },
      { type: "merge", body: { status } },
      { subresource: "status" },
    );
  }

  async #finalize(namespace: Stored<Namespace>): Promise<void> {
    const finalizers = (namespace.spec?.finalizers ?? []).filter((name) => name !== FINALIZER);
    try {
      await this.#context.client.update(NAMESPACES, { ...namespace, spec: { finalizers } }, { subresource: "finalize" });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }
}
