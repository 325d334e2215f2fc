import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { formatMicroTime, type WorkQueue } from "#base";
import type { Change } from "#client";
import { formatKey, keyOf, type Stored } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import { OwnWrites } from "../own-writes.ts";
import { isControlledBy } from "../owners.ts";
import { affectedServices, selectedPods } from "../selecting-services.ts";
import { computeSlices, isManaged, isOurs } from "./compute.ts";
import { removeSlice, SERVICE_NAME, writePlan } from "./plan.ts";

const ZONE = "topology.kubernetes.io/zone";

/** Keeps the EndpointSlices of every Service that has a selector. */
export async function startEndpointSlices(context: ControllerContext): Promise<void> {
  const { services, pods, nodes, endpointSlices } = context.informers;
  await whenSynced([services, pods, nodes, endpointSlices]);
  const controller = new EndpointSliceController(context);
  const queue = startQueue(context, { name: "endpointslice", run: (key) => controller.sync(key), concurrency: 8 });
  const trigger = (key: string): void => {
    controller.changed(key);
    queue.add(key);
  };
  services.subscribe((change) => trigger(change.key));
  pods.subscribe((change) => affectedServices(change, services).forEach(trigger));
  endpointSlices.subscribe((change) => enqueueOwner(queue, change));
  nodes.subscribe((change) => {
    const old = change.type === "set" ? change.old?.metadata.labels?.[ZONE] : undefined;
    if (change.object.metadata.labels?.[ZONE] === old) return;
    for (const service of services.list()) queue.add(keyOf(service));
  });
}

function enqueueOwner(queue: WorkQueue, change: Change<EndpointSlice>): void {
  const before = change.type === "set" ? change.old : undefined;
  for (const slice of [change.object, before]) {
    const name = slice !== undefined && isOurs(slice) ? slice.metadata.labels?.[SERVICE_NAME] : undefined;
    if (name !== undefined) queue.add(formatKey({ namespace: change.object.metadata.namespace, name }));
  }
}

class EndpointSliceController {
  readonly #context: ControllerContext;
  readonly #ownWrites: OwnWrites;
  /** When the first change came that is not written yet. */
  readonly #changedMs = new Map<string, number>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#ownWrites = new OwnWrites(context.informers.endpointSlices);
  }

  changed(key: string): void {
    if (!this.#changedMs.has(key)) this.#changedMs.set(key, this.#context.clock.now());
  }

  async sync(key: string): Promise<undefined> {
    const { services, pods, nodes, endpointSlices } = this.#context.informers;
    const service = services.get(key);
    // The slices of a Service that is gone are garbage: their owner is gone.
    if (service === undefined || !isManaged(service)) {
      this.#ownWrites.forget(key);
      this.#changedMs.delete(key);
      return;
    }
    // The slice's own event brings the key back.
    if (!this.#ownWrites.settled(key)) return;
    const changedMs = this.#changedMs.get(key);
    this.#changedMs.delete(key);
    const ours = endpointSlices
      .list(service.metadata.namespace)
      .filter((slice) => slice.metadata.labels?.[SERVICE_NAME] === service.metadata.name && isOurs(slice) && !isDeleting(slice));
    const plan = computeSlices({
      service,
      pods: selectedPods(service, pods),
      existing: ours.filter((slice) => isControlledBy(slice, service)),
      zoneOf: (name) => nodes.get(name)?.metadata.labels?.[ZONE],
      triggerTime: changedMs === undefined ? undefined : formatMicroTime(changedMs),
    });
    try {
      const writer = { client: this.#context.client, ownWrites: this.#ownWrites, key };
      await writePlan(writer, plan);
      // Of an earlier Service of this name; the garbage collector would find them a little later.
      await Promise.all(ours.filter((slice) => !isControlledBy(slice, service)).map((slice) => removeSlice(writer, slice)));
    } catch (err) {
      if (changedMs !== undefined) this.#changedMs.set(key, changedMs);
      throw err;
    }
  }
}

export function isDeleting(slice: Stored<EndpointSlice>): boolean {
  return slice.metadata.deletionTimestamp !== undefined;
}
