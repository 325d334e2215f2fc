import { formatKey, parseKey } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import { SERVICE_NAME, writePlan } from "../endpointslice/plan.ts";
import { isDeleting } from "../endpointslice/reconcile.ts";
import { OwnWrites } from "../own-writes.ts";
import { computeMirror, isMirror, isMirrored } from "./compute.ts";

/** Keeps the slices that mirror Endpoints which users made. A key is that of the Endpoints, which is that of the Service. */
export async function startEndpointSliceMirroring(context: ControllerContext): Promise<void> {
  const { services, endpoints, endpointSlices } = context.informers;
  const ownWrites = new OwnWrites(endpointSlices);
  await whenSynced([services, endpoints, endpointSlices]);

  async function sync(key: string): Promise<undefined> {
    if (!ownWrites.settled(key)) return;
    const current = endpoints.get(key);
    const service = services.get(key);
    const { namespace, name } = parseKey(key);
    const existing = endpointSlices
      .list(namespace)
      .filter((slice) => isMirror(slice) && slice.metadata.labels?.[SERVICE_NAME] === name && !isDeleting(slice));
    const isWanted = current !== undefined && isMirrored(current, service);
    const plan = isWanted ? computeMirror(current, existing) : { create: [], update: [], remove: existing };
    await writePlan({ client: context.client, ownWrites, key }, plan);
    if (!isWanted) ownWrites.forget(key);
  }

  const queue = startQueue(context, { name: "endpointslicemirroring", run: sync });
  endpoints.subscribe((change) => queue.add(change.key));
  services.subscribe((change) => queue.add(change.key));
  endpointSlices.subscribe(({ object }) => {
    const name = isMirror(object) ? object.metadata.labels?.[SERVICE_NAME] : undefined;
    if (name !== undefined) queue.add(formatKey({ namespace: object.metadata.namespace, name }));
  });
}
