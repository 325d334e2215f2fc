// ServiceCIDRs: what a user adds becomes a range that Services get addresses from, and goes when no Service needs it any more.
// After `pkg/controlplane/controller/{defaultservicecidr,servicecidrs}`; KEP-1880. The one called `kubernetes` only shows the server's own ranges.
import { errorMessage, formatTime, type Logger } from "#base";
import { tryParsePrefix } from "#ip";
import { SERVICE_CIDRS, type ServiceCIDR, type Stored } from "#kube";
import { headObject, listObjects } from "../registry/access.ts";
import type { Registry, Strategy } from "../registry/types.ts";
import { updateObject } from "../registry/update.ts";
import type { ApiObject } from "../registry/version.ts";
import { SYSTEM_USER, WriteInProgress } from "../registry/write.ts";
import { notFound } from "../status.ts";
import type { AddressRanges } from "./address-ranges.ts";

export const DEFAULT_SERVICE_CIDR = "kubernetes";

const FINALIZER = "networking.k8s.io/service-cidr-finalizer";

export const SERVICE_CIDR_STRATEGY: Strategy<ServiceCIDR> = {
  hasGeneration: true,

  /** Held until no Service has an address of it. */
  prepareForCreate({ metadata }) {
    if (metadata === undefined || metadata.name === DEFAULT_SERVICE_CIDR) return;
    metadata.finalizers = [...new Set([...(metadata.finalizers ?? []), FINALIZER])];
  },
};

/** At start, before Services take their addresses again. */
export function loadServiceCidrs(registry: Registry, ranges: AddressRanges): void {
  for (const cidr of listObjects(registry, SERVICE_CIDRS)) applyRange(cidr.metadata.name, cidr, ranges);
}

function applyRange(name: string, cidr: Stored<ServiceCIDR> | undefined, ranges: AddressRanges): void {
  if (name === DEFAULT_SERVICE_CIDR) return;
  if (cidr === undefined) {
    ranges.remove(name);
    return;
  }
  const prefixes = (cidr.spec?.cidrs ?? []).flatMap((text) => tryParsePrefix(text) ?? []);
  ranges.set(name, prefixes);
  if (cidr.metadata.deletionTimestamp !== undefined) ranges.retire(name);
}

/** Keeps the ranges as the stored ServiceCIDRs say, and their conditions and finalizers as the ranges are. Returns what ends that. */
export function followServiceCidrs(registry: Registry, ranges: AddressRanges, logger: Logger): () => void {
  const reconcile = (name: string): void => {
    sync(registry, ranges, name).catch((err: unknown) => {
      logger.warn("cannot write what became of a ServiceCIDR", { name, err: errorMessage(err) });
    });
  };
  const leaving = (): readonly string[] =>
    listObjects(registry, SERVICE_CIDRS).flatMap(({ metadata }) => (metadata.deletionTimestamp === undefined ? [] : metadata.name));
  for (const cidr of listObjects(registry, SERVICE_CIDRS)) reconcile(cidr.metadata.name);
  ranges.onRelease(() => {
    for (const name of leaving()) reconcile(name);
  });
  return registry.store.watch(registry.served(SERVICE_CIDRS).table, {
    after: registry.store.revision,
    listener: (events) => {
      for (const { key } of events) reconcile(key);
    },
  });
}

async function sync(registry: Registry, ranges: AddressRanges, name: string): Promise<void> {
  const cidr = headObject(registry, SERVICE_CIDRS, { name });
  applyRange(name, cidr, ranges);
  if (cidr === undefined || name === DEFAULT_SERVICE_CIDR) return;
  const isLeaving = cidr.metadata.deletionTimestamp !== undefined;
  const isReady = cidr.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
  if (isReady === isLeaving || cidr.status?.conditions === undefined) await setReady(registry, name, !isLeaving);
  const holds = cidr.metadata.finalizers?.includes(FINALIZER) ?? false;
  if (!isLeaving || !holds || ranges.isNeeded(name)) return;
  await write(registry, name, "any", (object) => {
    object.metadata.finalizers = (object.metadata.finalizers ?? []).filter((finalizer) => finalizer !== FINALIZER);
  });
}

/** The condition Ready, with upstream's reasons. */
export async function setReady(registry: Registry, name: string, isReady: boolean): Promise<void> {
  const condition = {
    type: "Ready",
    status: isReady ? "True" : "False",
    reason: isReady ? "" : "Terminating",
    message: isReady ? "Kubernetes Service CIDR is ready" : "Services still have addresses of these ranges",
    lastTransitionTime: formatTime(registry.clock.now()),
  };
  await write(registry, name, "status", (object) => {
    object["status"] = { conditions: [condition] };
  });
}

async function write(registry: Registry, name: string, part: "status" | "any", change: (object: ApiObject) => void): Promise<void> {
  const wanted = (old: ApiObject | undefined): ApiObject => {
    if (old === undefined) throw notFound(SERVICE_CIDRS, name);
    const object = structuredClone(old);
    change(object);
    return object;
  };
  const progress = new WriteInProgress(registry, { user: SYSTEM_USER, dryRun: false, warnings: [] });
  await updateObject(registry, registry.served(SERVICE_CIDRS), { key: { name }, part, wanted }, progress);
}
