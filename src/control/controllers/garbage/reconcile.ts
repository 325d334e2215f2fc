import type { OwnerReference } from "kubernetes-types/meta/v1";
import type { WorkQueue } from "#base";
import { type Change, isNotFound } from "#client";
import { type KubeObject, parseKey, type Resource, type Stored } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import { decideFate, FOREGROUND, hasFinalizer, isDeleting, ORPHAN, type Ownership, ownerState } from "./compute.ts";
import { formatId, type ObjectId, OwnerGraph } from "./graph.ts";

/** Deletes what has no owner left, and carries out foreground and orphaning deletions. */
export async function startGarbageCollector(context: ControllerContext): Promise<void> {
  const all = context.informers.all();
  await whenSynced(all.map(({ informer }) => informer));
  const collector = new GarbageCollector(context);
  for (const { resource, informer } of all) informer.subscribe((change) => collector.changed(resource, change));
}

class GarbageCollector {
  readonly #context: ControllerContext;
  readonly #graph: OwnerGraph;
  readonly #queue: WorkQueue;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#graph = new OwnerGraph(context.informers.all());
    this.#queue = startQueue(context, { name: "garbage", run: (text) => this.#sync(text), concurrency: 16 });
  }

  changed(resource: Resource, change: Change<KubeObject>): void {
    const { key, object } = change;
    const id = { resource, key };
    const owners = object.metadata.ownerReferences;
    if (change.type === "delete") {
      this.#graph.unlink(id, owners);
      for (const dependent of this.#graph.dependentsOf(object.metadata.uid)) this.#add(dependent);
      this.#addWaitingOwners(object);
      return;
    }
    const before = change.old?.metadata.ownerReferences;
    if (before !== owners) {
      this.#graph.unlink(id, before);
      this.#graph.link(id, owners);
    }
    const isFinishing = hasFinalizer(object, FOREGROUND) || hasFinalizer(object, ORPHAN);
    const lacksOwner = (owners ?? []).some((reference) => this.#cached(reference, object) !== "solid");
    if (isFinishing || (lacksOwner && !isDeleting(object))) this.#add(id);
    if (change.old !== undefined && before !== undefined) this.#addWaitingOwners(change.old);
  }

  #add(id: ObjectId): void {
    this.#queue.add(formatId(id));
  }

  /** Owners that wait for this object to go may now go themselves. */
  #addWaitingOwners(object: Stored): void {
    for (const reference of object.metadata.ownerReferences ?? []) {
      const id = this.#graph.ownerId(reference, object);
      const owner = id === undefined ? undefined : this.#graph.get(id);
      if (id !== undefined && owner !== undefined && hasFinalizer(owner, FOREGROUND)) this.#add(id);
    }
  }

  #cached(reference: OwnerReference, dependent: Stored): Ownership["state"] {
    const id = this.#graph.ownerId(reference, dependent);
    return id === undefined ? "solid" : ownerState(reference, this.#graph.get(id));
  }

  async #sync(text: string): Promise<undefined> {
    const id = this.#graph.parseId(text);
    const object = id === undefined ? undefined : this.#graph.get(id);
    if (id === undefined || object === undefined) return;
    if (hasFinalizer(object, ORPHAN)) return await this.#orphan(id, object);
    if (hasFinalizer(object, FOREGROUND)) return await this.#deleteDependents(id, object);
    if (!isDeleting(object)) await this.#collect(id, object);
  }

  async #collect(id: ObjectId, object: Stored): Promise<void> {
    const owners: Ownership[] = [];
    for (const reference of object.metadata.ownerReferences ?? []) {
      owners.push({ reference, state: await this.#verified(reference, object) });
    }
    const fate = decideFate(object, owners, this.#graph.dependentsOf(object.metadata.uid).length > 0);
    if (fate.type === "unlink") await this.#setReferences(id, object, fate.keep);
    if (fate.type !== "delete") return;
    const { uid, resourceVersion } = object.metadata;
    this.#context.logger.debug("deleting garbage", { object: formatId(id), propagationPolicy: fate.propagationPolicy });
    // With the version: whoever adopts the object in this moment keeps it.
    const options = { uid, resourceVersion, propagationPolicy: fate.propagationPolicy };
    await this.#context.client.delete(id.resource, parseKey(id.key), options).catch(unlessGone);
  }

  /** That an owner is gone must come from the API itself: our copy may simply not have it yet. */
  async #verified(reference: OwnerReference, dependent: Stored): Promise<Ownership["state"]> {
    const cached = this.#cached(reference, dependent);
    const id = this.#graph.ownerId(reference, dependent);
    if (cached !== "dangling" || id === undefined) return cached;
    try {
      return ownerState(reference, await this.#context.client.get(id.resource, parseKey(id.key)));
    } catch (err) {
      if (isNotFound(err)) return "dangling";
      throw err;
    }
  }

  /** The owner goes when nothing is left that blocks it. */
  async #deleteDependents(id: ObjectId, owner: Stored): Promise<undefined> {
    const { uid } = owner.metadata;
    const blocking = this.#graph.dependentsOf(uid).filter((dependent) => {
      const references = this.#graph.get(dependent)?.metadata.ownerReferences;
      return references?.some((reference) => reference.uid === uid && reference.blockOwnerDeletion === true) === true;
    });
    if (blocking.length === 0) return await this.#removeFinalizer(id, owner, FOREGROUND);
    for (const dependent of blocking) {
      const object = this.#graph.get(dependent);
      if (object !== undefined && !isDeleting(object)) this.#add(dependent);
    }
  }

  async #orphan(id: ObjectId, owner: Stored): Promise<undefined> {
    for (const dependent of this.#graph.dependentsOf(owner.metadata.uid)) {
      const object = this.#graph.get(dependent);
      const references = object?.metadata.ownerReferences ?? [];
      const kept = references.filter((reference) => reference.uid !== owner.metadata.uid);
      if (object !== undefined && kept.length < references.length) await this.#setReferences(dependent, object, kept);
    }
    await this.#removeFinalizer(id, owner, ORPHAN);
  }

  async #setReferences(id: ObjectId, object: Stored, kept: readonly OwnerReference[]): Promise<void> {
    const { uid, resourceVersion } = object.metadata;
    const body = { metadata: { uid, resourceVersion, ownerReferences: kept.length === 0 ? null : kept } };
    await this.#context.client.patch(id.resource, parseKey(id.key), { type: "merge", body }).catch(unlessGone);
  }

  async #removeFinalizer(id: ObjectId, object: Stored, name: string): Promise<undefined> {
    const { uid, resourceVersion, finalizers = [] } = object.metadata;
    const kept = finalizers.filter((finalizer) => finalizer !== name);
    const body = { metadata: { uid, resourceVersion, finalizers: kept.length === 0 ? null : kept } };
    await this.#context.client.patch(id.resource, parseKey(id.key), { type: "merge", body }).catch(unlessGone);
  }
}

function unlessGone(err: unknown): void {
  if (!isNotFound(err)) throw err;
}
