// The Endpoints that a user made for a Service without a selector, as EndpointSlices, which is where proxies look.
// After `pkg/controller/endpointslicemirroring/{reconciler,utils}.go`; KEP-752 (EndpointSliceMirroring controller).
import type { EndpointAddress, Endpoints, EndpointPort as OldPort, Service } from "kubernetes-types/core/v1";
import type { Endpoint, EndpointPort, EndpointSlice } from "kubernetes-types/discovery/v1";
import { ENDPOINTS, type Stored } from "#kube";
import { isManaged } from "../endpointslice/compute.ts";
import type { AddressType } from "../endpointslice/endpoint.ts";
import { groupByPorts } from "../endpointslice/pack.ts";
import { HEADLESS, MANAGED_BY, planFamily, SERVICE_NAME, type SliceOwner, type SlicePlan } from "../endpointslice/plan.ts";
import { ownerReference } from "../owners.ts";

const OUR_NAME = "endpointslicemirroring-controller.k8s.io";
const SKIP = "endpointslice.kubernetes.io/skip-mirror";
const LEADER = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
const MAX_PER_SUBSET = 1000;
const TYPES: readonly AddressType[] = ["IPv4", "IPv6"];

/** Slices that someone else manages are never touched. */
export function isMirror(slice: EndpointSlice): boolean {
  return slice.metadata?.labels?.[MANAGED_BY] === OUR_NAME;
}

/** Whether these Endpoints are to be seen as slices: not a leader's lock, and the Service leaves its endpoints to its user. */
export function isMirrored(endpoints: Endpoints, service: Service | undefined): boolean {
  const { labels = {}, annotations = {} } = endpoints.metadata ?? {};
  return service !== undefined && !isManaged(service) && labels[SKIP] !== "true" && annotations[LEADER] === undefined;
}

/** `existing`: our slices of these Endpoints. */
export function computeMirror(endpoints: Stored<Endpoints>, existing: readonly Stored<EndpointSlice>[]): SlicePlan {
  const create: EndpointSlice[] = [];
  const update: Stored<EndpointSlice>[] = [];
  const remove: Stored<EndpointSlice>[] = [];
  for (const type of TYPES) {
    const own = existing.filter((slice) => slice.addressType === type);
    const groups = groupByPorts(entriesOf(endpoints, type));
    // Without an address of this family there is nothing to show, not even an empty slice.
    const plan = groups.length === 0 ? { create: [], update: [], remove: own } : planFamily(ownerOf(endpoints), type, groups, own);
    create.push(...plan.create);
    update.push(...plan.update);
    remove.push(...plan.remove);
  }
  return { create, update, remove };
}

interface Entry {
  readonly ports: readonly EndpointPort[];
  readonly endpoint: Endpoint;
}

/** An address that is in a subset twice counts once, and then as ready. */
function entriesOf({ subsets = [] }: Endpoints, type: AddressType): Entry[] {
  return subsets.flatMap(({ addresses = [], notReadyAddresses = [], ports = [] }) => {
    const found = new Map<string, Entry>();
    const wanted = ports.map(portOf);
    const add = (address: EndpointAddress, ready: boolean): void => {
      if (address.ip.includes(":") !== (type === "IPv6") || found.has(address.ip) || found.size >= MAX_PER_SUBSET) return;
      found.set(address.ip, { ports: wanted, endpoint: endpointOf(address, ready) });
    };
    for (const address of addresses) add(address, true);
    for (const address of notReadyAddresses) add(address, false);
    return [...found.values()];
  });
}

function portOf({ name = "", port, protocol = "TCP", appProtocol }: OldPort): EndpointPort {
  return { name, port, protocol, ...(appProtocol === undefined ? {} : { appProtocol }) };
}

function endpointOf({ ip, hostname, nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === undefined || hostname === "" ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}

function ownerOf(endpoints: Stored<Endpoints>): SliceOwner {
  const { name, namespace, labels = {}, annotations = {} } = endpoints.metadata;
  const without = (all: Readonly<Record<string, string>>, left: string): Record<string, string> =>
    Object.fromEntries(Object.entries(all).filter(([key]) => key !== left));
  return {
    name,
    namespace,
    reference: ownerReference(ENDPOINTS, endpoints),
    labels: { ...without(labels, HEADLESS), [SERVICE_NAME]: name, [MANAGED_BY]: OUR_NAME },
    annotations: without(annotations, LAST_APPLIED),
  };
}
