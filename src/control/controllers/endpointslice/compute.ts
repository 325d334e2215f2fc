import type { Pod, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { SERVICES, type Stored } from "#kube";
import { ownerReference } from "../owners.ts";
import { type AddressType, hasEndpoint, isHeadless, makeEndpoint, podAddress, resolvePorts } from "./endpoint.ts";
import { groupByPorts } from "./pack.ts";
import { HEADLESS, MANAGED_BY, planFamily, SERVICE_NAME, type SlicePlan, TRIGGER_TIME } from "./plan.ts";

const OUR_NAME = "endpointslice-controller.k8s.io";

const RESERVED: ReadonlySet<string> = new Set([SERVICE_NAME, MANAGED_BY, HEADLESS]);

/** Slices that someone else manages are never touched. */
export function isOurs(slice: EndpointSlice): boolean {
  return slice.metadata?.labels?.[MANAGED_BY] === OUR_NAME;
}

/** Whether the controller makes slices for this Service: without a selector, its user does. */
export function isManaged(service: Service): boolean {
  return service.spec?.selector !== undefined && Object.keys(service.spec.selector).length > 0;
}

export interface SliceInput {
  readonly service: Stored<Service>;
  /** The pods that its selector matches. */
  readonly pods: readonly Stored<Pod>[];
  /** Our slices of this Service. */
  readonly existing: readonly Stored<EndpointSlice>[];
  readonly zoneOf: (nodeName: string) => string | undefined;
  /** When the change came about that leads to what is written now, as a MicroTime. */
  readonly triggerTime?: string | undefined;
}

export function computeSlices(input: SliceInput): SlicePlan {
  const types = addressTypes(input.service);
  const create: EndpointSlice[] = [];
  const update: Stored<EndpointSlice>[] = [];
  const remove = input.existing.filter((slice) => !types.some((type) => type === slice.addressType));
  for (const type of types) {
    const plan = computeFamily(input, type);
    create.push(...plan.create);
    update.push(...plan.update);
    remove.push(...plan.remove);
  }
  return { create, update, remove };
}

/** One kind of slice per IP family of the Service; none where its name stands for another one. */
function addressTypes(service: Service): AddressType[] {
  if (service.spec?.type === "ExternalName") return [];
  const { ipFamilies, clusterIPs = [] } = service.spec ?? {};
  const families = ipFamilies ?? clusterIPs.filter((ip) => ip !== "None").map((ip) => (ip.includes(":") ? "IPv6" : "IPv4"));
  return families.length === 0 ? ["IPv4"] : families.map((family) => (family === "IPv6" ? "IPv6" : "IPv4"));
}

function computeFamily(input: SliceInput, type: AddressType): SlicePlan {
  const { service, pods, zoneOf } = input;
  const entries = pods.filter(hasEndpoint).flatMap((pod) => {
    const address = podAddress(pod, type);
    if (address === undefined) return [];
    const zone = zoneOf(pod.spec?.nodeName ?? "");
    return [{ ports: resolvePorts(service, pod), endpoint: makeEndpoint({ service, pod, address, zone }) }];
  });
  const existing = input.existing.filter((slice) => slice.addressType === type);
  const { name, namespace } = service.metadata;
  const owner = {
    name,
    namespace,
    reference: ownerReference(SERVICES, service),
    labels: labelsOf(service),
    annotations: input.triggerTime === undefined ? {} : { [TRIGGER_TIME]: input.triggerTime },
  };
  return planFamily(owner, type, groupByPorts(entries), existing);
}

function labelsOf(service: Stored<Service>): Record<string, string> {
  const copied = Object.entries(service.metadata.labels ?? {}).filter(([name]) => !RESERVED.has(name));
  return {
    ...Object.fromEntries(copied),
    [SERVICE_NAME]: service.metadata.name,
    [MANAGED_BY]: OUR_NAME,
    ...(isHeadless(service) ? { [HEADLESS]: "" } : {}),
  };
}
