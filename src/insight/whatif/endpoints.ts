// EndpointSlices as the controller will make them, for Services that a change concerns; all others keep what they have. Pure.
import type { Pod, Service, ServicePort } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Addr, type Family, formatAddr } from "#ip";
import { matchLabels, type Stored, selectorOfMap } from "#kube";
import { type PodFacts, podFacts } from "#netpol";
import { type Objects, worldOf } from "./objects.ts";

/** Where a new Service stands until it is given an address: blocks that nobody uses (RFC 1112 §4, RFC 6666). */
const UNKNOWN: Readonly<Record<Family, (n: number) => string>> = {
  4: (n) => `240.0.${n >> 8}.${n & 255}`,
  6: (n) => `100::${n.toString(16)}`,
};

interface ShadowServices {
  readonly services: Map<string, Stored<Service>>;
  readonly slices: Map<string, Stored<EndpointSlice>>;
}

export function refreshSlices(live: Objects, shadow: Objects & ShadowServices): string[] {
  const notes: string[] = [];
  for (const [key] of live.services) if (!shadow.services.has(key)) dropSlices(shadow.slices, key);
  const world = worldOf(shadow);
  const known = families(world.pods);
  const pods = [live, shadow].map(byNamespace);
  let unknown = 0;
  for (const [key, service] of shadow.services) {
    const given = withAddresses(service, () => ++unknown, known);
    if (given !== service) {
      shadow.services.set(key, given);
      notes.push(`Service "${key}" has no ClusterIP yet: what is said of it is about its name`);
    }
    const selector = service.spec?.selector;
    if (selector === undefined || Object.keys(selector).length === 0) continue;
    const own = pods.map((all) => all.get(service.metadata.namespace ?? "") ?? []);
    const [before, after] = [live, shadow].map((objects, i) => describe(own[i] ?? [], objects.services.get(key), selector));
    if (before === after) continue;
    dropSlices(shadow.slices, key);
    for (const slice of slicesOf(given, own[1] ?? [], world.pods))
      shadow.slices.set(`${slice.metadata.namespace}/${slice.metadata.name}`, slice);
  }
  return notes;
}

function dropSlices(slices: Map<string, Stored<EndpointSlice>>, service: string): void {
  for (const [key, { metadata }] of slices) {
    if (`${metadata.namespace}/${metadata.labels?.["kubernetes.io/service-name"]}` === service) slices.delete(key);
  }
}

function families(pods: ReadonlyMap<string, PodFacts>): Family[] {
  const found = new Set([...pods.values()].flatMap(({ addrs }) => addrs.map(({ family }) => family)));
  return found.size === 0 ? [4] : ([4, 6] as const).filter((family) => found.has(family));
}

function withAddresses(service: Stored<Service>, next: () => number, known: readonly Family[]): Stored<Service> {
  const { type, clusterIP, ipFamilyPolicy, ipFamilies } = service.spec ?? {};
  if (clusterIP !== undefined && clusterIP !== "") return service;
  if (type === "ExternalName") return service;
  const wanted =
    ipFamilies?.map((text): Family => (text === "IPv6" ? 6 : 4)) ??
    (ipFamilyPolicy === undefined || ipFamilyPolicy === "SingleStack" ? known.slice(0, 1) : known);
  const clusterIPs = wanted.map((family) => UNKNOWN[family](next()));
  return { ...service, spec: { ...service.spec, clusterIP: clusterIPs[0] ?? "", clusterIPs } };
}

function byNamespace({ pods }: Objects): Map<string, Stored<Pod>[]> {
  return Map.groupBy(pods.values(), ({ metadata }) => metadata.namespace ?? "");
}

/** Of the pods of the Service's namespace. */
function selected(pods: readonly Stored<Pod>[], selector: Readonly<Record<string, string>>): Stored<Pod>[] {
  const parsed = selectorOfMap(selector);
  return pods.filter(
    ({ metadata, status }) => matchLabels(parsed, metadata.labels) && status?.phase !== "Succeeded" && status?.phase !== "Failed",
  );
}

/** What the endpoints of a Service depend on. */
function describe(all: readonly Stored<Pod>[], service: Stored<Service> | undefined, selector: Readonly<Record<string, string>>): string {
  if (service === undefined) return "";
  const pods = selected(all, selector).map(({ metadata, spec, status }) => [
    metadata.name,
    status?.podIPs,
    isReady(status),
    (spec?.containers ?? []).flatMap(({ ports = [] }) => ports),
  ]);
  return JSON.stringify([service.spec?.ports, service.spec?.selector, service.spec?.publishNotReadyAddresses, pods]);
}

function isReady(status: Pod["status"]): boolean {
  return (status?.conditions ?? []).some(({ type, status: value }) => type === "Ready" && value === "True");
}

function slicesOf(service: Stored<Service>, all: readonly Stored<Pod>[], facts: ReadonlyMap<string, PodFacts>): Stored<EndpointSlice>[] {
  const { name, namespace = "" } = service.metadata;
  const pods = selected(all, service.spec?.selector ?? {});
  const addrsOf = (pod: Stored<Pod>): readonly Addr[] => facts.get(`${namespace}/${pod.metadata.name}`)?.addrs ?? [];
  return ([4, 6] as const).flatMap((family) => {
    const groups = Map.groupBy(pods, (pod) => JSON.stringify(portsFor(service.spec?.ports ?? [], pod)));
    return [...groups].map(
      ([ports, group], i): Stored<EndpointSlice> => ({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: {
          name: `${name}-shadow-${family}-${i}`,
          namespace,
          uid: `${name} ${family} ${i}`,
          resourceVersion: "",
          creationTimestamp: "",
          labels: { "kubernetes.io/service-name": name },
        },
        addressType: family === 4 ? "IPv4" : "IPv6",
        ports: JSON.parse(ports) as NonNullable<EndpointSlice["ports"]>,
        endpoints: group.flatMap((pod) => {
          const addr = addrsOf(pod).find((own) => own.family === family);
          if (addr === undefined) return [];
          const ready = service.spec?.publishNotReadyAddresses === true || isReady(pod.status);
          const { nodeName } = pod.spec ?? {};
          return [
            {
              addresses: [formatAddr(addr)],
              conditions: { ready, serving: ready, terminating: false },
              ...(nodeName !== undefined && { nodeName }),
            },
          ];
        }),
      }),
    );
  });
}

/** A name without a port in this pod leaves the port out. */
function portsFor(ports: readonly ServicePort[], pod: Stored<Pod>): NonNullable<EndpointSlice["ports"]> {
  return ports.flatMap(({ name, protocol = "TCP", port, targetPort = port }) => {
    const number = typeof targetPort === "number" ? targetPort : namedPort(pod, targetPort, protocol);
    return number === undefined ? [] : [{ ...(name !== undefined && { name }), protocol, port: number }];
  });
}

function namedPort(pod: Stored<Pod>, name: string, protocol: string): number | undefined {
  const number = { TCP: 6, UDP: 17, SCTP: 132 }[protocol];
  return podFacts(pod).ports.find((own) => own.name === name && own.protocol === number)?.port;
}
