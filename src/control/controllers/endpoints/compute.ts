// The older form of a Service's endpoints: one object, one IP family (kubernetes `pkg/controller/endpoint`, `pkg/api/v1/endpoints/util.go`).
// kubectl before 1.31 and some controllers still read it.
import { isDeepStrictEqual } from "node:util";
import type { EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service } from "kubernetes-types/core/v1";
import type { Stored } from "#kube";
import { type AddressType, hasEndpoint, isHeadless, podAddress, resolvePorts } from "../endpointslice/endpoint.ts";
import { isPodReady } from "../pod-state.ts";

const HEADLESS = "service.kubernetes.io/headless";
export const MANAGED_BY = "endpoints.kubernetes.io/managed-by";
export const OUR_NAME = "endpoint-controller";
const OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity";
const TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time";
const MAX_ADDRESSES = 1000;

export interface EndpointsInput {
  readonly service: Stored<Service>;
  readonly pods: readonly Stored<Pod>[];
  readonly current: Stored<Endpoints> | undefined;
  readonly triggerTime: string | undefined;
}

/** What is to be written; undefined when `current` says it all. */
export function computeEndpoints(input: EndpointsInput): Endpoints | undefined {
  const { service, current } = input;
  const { subsets, isTruncated } = truncate(computeSubsets(service, input.pods));
  const { name, namespace, labels = {} } = service.metadata;
  const wantedLabels = { ...labels, [MANAGED_BY]: OUR_NAME, ...(isHeadless(service) ? { [HEADLESS]: "" } : {}) };
  const { [OVER_CAPACITY]: overCapacity, ...annotations } = current?.metadata.annotations ?? {};
  const isSame =
    current !== undefined &&
    isDeepStrictEqual(current.subsets ?? [], subsets) &&
    isDeepStrictEqual({ ...current.metadata.labels }, wantedLabels) &&
    (overCapacity !== undefined) === isTruncated;
  if (isSame) return undefined;
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: {
      ...current?.metadata,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: wantedLabels,
      annotations: {
        ...annotations,
        ...(input.triggerTime === undefined ? {} : { [TRIGGER_TIME]: input.triggerTime }),
        ...(isTruncated ? { [OVER_CAPACITY]: "truncated" } : {}),
      },
    },
    ...(subsets.length === 0 ? {} : { subsets }),
  };
}

function primaryFamily(service: Service): AddressType {
  const { ipFamilies, clusterIP = "" } = service.spec ?? {};
  const family = ipFamilies?.[0] ?? (clusterIP.includes(":") ? "IPv6" : "IPv4");
  return family === "IPv6" ? "IPv6" : "IPv4";
}

/** One subset per set of ports, each in the order that API writes always have, so that equal content is equal text. */
function computeSubsets(service: Stored<Service>, pods: readonly Stored<Pod>[]): EndpointSubset[] {
  const groups = new Map<string, { ports: EndpointPort[]; ready: EndpointAddress[]; notReady: EndpointAddress[] }>();
  const showsAll = service.spec?.publishNotReadyAddresses === true;
  for (const pod of pods) {
    const ip = podAddress(pod, primaryFamily(service));
    if (ip === undefined || !hasEndpoint(pod) || (pod.metadata.deletionTimestamp !== undefined && !showsAll)) continue;
    const ports = portsOf(service, pod);
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, ready: [], notReady: [] };
    groups.set(key, group);
    group[showsAll || isPodReady(pod) ? "ready" : "notReady"].push(addressOf(service, pod, ip));
  }
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { ports, ready, notReady }]) => ({
      ...(ready.length === 0 ? {} : { addresses: ready.sort(byIp) }),
      ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady.sort(byIp) }),
      ...(ports.length === 0 ? {} : { ports }),
    }));
}

/** Unnamed ports have no name here, where EndpointSlices have an empty one. */
function portsOf(service: Service, pod: Pod): EndpointPort[] {
  const ports = resolvePorts(service, pod).map(({ name, port = 0, protocol = "TCP", appProtocol }) => ({
    ...(name === undefined || name === "" ? {} : { name }),
    port,
    protocol,
    ...(appProtocol === undefined ? {} : { appProtocol }),
  }));
  return ports.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function addressOf(service: Stored<Service>, pod: Stored<Pod>, ip: string): EndpointAddress {
  const { name, namespace = "", uid } = pod.metadata;
  const { hostname, subdomain, nodeName } = pod.spec ?? {};
  const hasName = hostname !== undefined && hostname !== "" && subdomain === service.metadata.name;
  return {
    ip,
    ...(hasName ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

function byIp(a: EndpointAddress, b: EndpointAddress): number {
  return a.ip < b.ip ? -1 : 1;
}

/** An object of many thousand addresses would be too big to store: ready ones are kept first. */
function truncate(subsets: EndpointSubset[]): { subsets: EndpointSubset[]; isTruncated: boolean } {
  const count = (field: "addresses" | "notReadyAddresses"): number =>
    subsets.reduce((sum, subset) => sum + (subset[field]?.length ?? 0), 0);
  if (count("addresses") + count("notReadyAddresses") <= MAX_ADDRESSES) return { subsets, isTruncated: false };
  let ready = MAX_ADDRESSES;
  let notReady = Math.max(0, MAX_ADDRESSES - count("addresses"));
  const kept = subsets.map((subset) => {
    const addresses = subset.addresses?.slice(0, ready) ?? [];
    const notReadyAddresses = subset.notReadyAddresses?.slice(0, notReady) ?? [];
    ready -= addresses.length;
    notReady -= notReadyAddresses.length;
    return {
      ...(addresses.length === 0 ? {} : { addresses }),
      ...(notReadyAddresses.length === 0 ? {} : { notReadyAddresses }),
      ...(subset.ports === undefined ? {} : { ports: subset.ports }),
    };
  });
  return { subsets: kept.filter((subset) => subset.addresses !== undefined || subset.notReadyAddresses !== undefined), isTruncated: true };
}
