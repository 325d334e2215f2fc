// From what is to be in the slices of one owner to what is to be written; and writing it.
import { isDeepStrictEqual } from "node:util";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { OwnerReference } from "kubernetes-types/meta/v1";
import { type Client, isNotFound } from "#client";
import { ENDPOINT_SLICES, type Stored } from "#kube";
import type { OwnWrites } from "../own-writes.ts";
import type { AddressType } from "./endpoint.ts";
import { type Packed, type PortGroup, packSlices } from "./pack.ts";

export const SERVICE_NAME = "kubernetes.io/service-name";
export const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
export const HEADLESS = "service.kubernetes.io/headless";
export const TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time";

export interface SlicePlan {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly Stored<EndpointSlice>[];
  readonly remove: readonly Stored<EndpointSlice>[];
}

/** Whose slices they are, and what of it they carry. */
export interface SliceOwner {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly reference: OwnerReference;
  readonly labels: Readonly<Record<string, string>>;
  /** What is written with a change of the content; a slice's other annotations stay. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** `existing`: the owner's slices of this address type. */
export function planFamily(
  owner: SliceOwner,
  type: AddressType,
  groups: readonly PortGroup[],
  existing: readonly Stored<EndpointSlice>[],
): SlicePlan {
  const packs = existing.map(({ metadata, ports = [], endpoints }) => ({ id: metadata.name, ports, endpoints: endpoints ?? [] }));
  const plan = packSlices(groups, packs);
  const update: Stored<EndpointSlice>[] = [];
  const remove: Stored<EndpointSlice>[] = [];
  for (const slice of existing) {
    const packed = plan.update.get(slice.metadata.name);
    if (plan.remove.includes(slice.metadata.name)) remove.push(slice);
    else if (packed !== undefined) update.push(updated(owner, slice, packed));
    else if (!isDeepStrictEqual({ ...owner.labels }, { ...slice.metadata.labels })) {
      update.push({ ...slice, metadata: { ...slice.metadata, labels: { ...owner.labels } } });
    }
  }
  return { create: plan.create.map((packed) => created(owner, type, packed)), update, remove };
}

function created(owner: SliceOwner, type: AddressType, packed: Packed): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: `${owner.name}-`,
      ...(owner.namespace === undefined ? {} : { namespace: owner.namespace }),
      labels: { ...owner.labels },
      annotations: { ...owner.annotations },
      ownerReferences: [owner.reference],
    },
    addressType: type,
    ports: [...packed.ports],
    endpoints: [...packed.endpoints],
  };
}

function updated(owner: SliceOwner, slice: Stored<EndpointSlice>, packed: Packed): Stored<EndpointSlice> {
  const annotations = { ...slice.metadata.annotations, ...owner.annotations };
  const metadata = { ...slice.metadata, labels: { ...owner.labels }, annotations };
  return { ...slice, metadata, ports: [...packed.ports], endpoints: [...packed.endpoints] };
}

export interface SliceWriter {
  readonly client: Client;
  readonly ownWrites: OwnWrites;
  /** The owner's, for `ownWrites`. */
  readonly key: string;
}

/** What comes before what goes, so that no endpoint is missing in between. */
export async function writePlan(writer: SliceWriter, plan: SlicePlan): Promise<void> {
  const { client, ownWrites, key } = writer;
  const wrote = (slice: Stored<EndpointSlice>): void => ownWrites.wrote(key, slice.metadata.resourceVersion);
  await Promise.all([
    ...plan.create.map(async (slice) => wrote(await client.create(ENDPOINT_SLICES, slice))),
    ...plan.update.map(async (slice) => wrote(await client.update(ENDPOINT_SLICES, slice))),
  ]);
  await Promise.all(plan.remove.map((slice) => removeSlice(writer, slice)));
}

export async function removeSlice({ client, ownWrites, key }: SliceWriter, slice: Stored<EndpointSlice>): Promise<void> {
  const { name, namespace, uid } = slice.metadata;
  try {
    await client.delete(ENDPOINT_SLICES, { name, namespace }, { uid });
    ownWrites.deleted(key, { name, namespace }, uid);
  } catch (err) {
    if (!isNotFound(err)) throw err;
  }
}
