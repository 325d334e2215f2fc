import { formatMicroTime } from "#base";
import { isNotFound } from "#client";
import { ENDPOINTS, parseKey } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import { isManaged } from "../endpointslice/compute.ts";
import { OwnWrites } from "../own-writes.ts";
import { affectedServices, selectedPods } from "../selecting-services.ts";
import { computeEndpoints, MANAGED_BY, OUR_NAME } from "./compute.ts";

// Nothing that is in a hurry reads Endpoints: after a write, what changes within this time becomes the next one.
const PAUSE_MS = 100;

/** Keeps the Endpoints of every Service that has a selector. */
export async function startEndpoints(context: ControllerContext): Promise<void> {
  const { client, clock } = context;
  const { services, pods, endpoints } = context.informers;
  const ownWrites = new OwnWrites(endpoints);
  const changedMs = new Map<string, number>();
  const writtenMs = new Map<string, number>();
  await whenSynced([services, pods, endpoints]);

  async function sync(key: string): Promise<undefined> {
    const service = services.get(key);
    const triggeredMs = changedMs.get(key);
    changedMs.delete(key);
    if (service === undefined) return await remove(key);
    if (!isManaged(service) || !ownWrites.settled(key)) return;
    const triggerTime = triggeredMs === undefined ? undefined : formatMicroTime(triggeredMs);
    const current = endpoints.get(key);
    const wanted = computeEndpoints({ service, pods: selectedPods(service, pods), current, triggerTime });
    if (wanted === undefined) return;
    const written = await (current === undefined ? client.create(ENDPOINTS, wanted) : client.update(ENDPOINTS, wanted));
    ownWrites.wrote(key, written.metadata.resourceVersion);
    writtenMs.set(key, clock.now());
  }

  /** Endpoints have no owner: a user may make them before the Service, or without one. These went with their Service. */
  async function remove(key: string): Promise<undefined> {
    ownWrites.forget(key);
    writtenMs.delete(key);
    if (endpoints.get(key) === undefined) return;
    await client.delete(ENDPOINTS, parseKey(key)).catch((err: unknown) => {
      if (!isNotFound(err)) throw err;
    });
  }

  const queue = startQueue(context, { name: "endpoints", run: sync, concurrency: 4 });
  const soon = (key: string): void => {
    if (changedMs.has(key)) return;
    changedMs.set(key, clock.now());
    const waitMs = (writtenMs.get(key) ?? 0) + PAUSE_MS - clock.now();
    if (waitMs > 0) queue.addAfter(key, waitMs);
    else queue.add(key);
  };
  services.subscribe((change) => soon(change.key));
  pods.subscribe((change) => affectedServices(change, services).forEach(soon));
  endpoints.subscribe(({ key, object }) => {
    const isOurs = object.metadata.labels?.[MANAGED_BY] === OUR_NAME;
    // With our label and without a Service: its Service was deleted while we were away.
    if (services.get(key) !== undefined || isOurs) queue.add(key);
  });
}
