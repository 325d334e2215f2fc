// Which endpoints may answer for a Service, by the prose of the API (core/v1 ServiceSpec, discovery/v1 Endpoint; KEP-1669, KEP-2086,
// KEP-2433). Shares nothing with how Services are compiled, and is in no haste.
import type { Node, Service, ServicePort } from "kubernetes-types/core/v1";
import type { Endpoint, EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Addr, type Family, formatAddr, parseAddr, parsePrefix, prefixContains } from "#ip";
import type { Stored } from "#kube";

export interface ServiceEndpoint {
  readonly addr: Addr;
  readonly port: number;
}

export interface ServiceAt {
  readonly service: Stored<Service>;
  readonly port: ServicePort;
  readonly kind: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalIP";
}

export interface ServiceObjects {
  readonly services: readonly Stored<Service>[];
  readonly endpointSlices: readonly Stored<EndpointSlice>[];
}

interface Asked {
  readonly addr: Addr;
  readonly protocol: string;
  readonly port: number;
}

function isAt(text: string | undefined, addr: Addr): boolean {
  return text !== undefined && text !== "" && formatAddr(parseAddr(text)) === formatAddr(addr);
}

/** The Service port that a client on `node` finds there. */
export function serviceAt({ services }: ServiceObjects, node: Stored<Node>, { addr, protocol, port }: Asked): ServiceAt | undefined {
  for (const service of services) {
    const { spec, status } = service;
    for (const one of spec?.ports ?? []) {
      if ((one.protocol ?? "TCP") !== protocol) continue;
      const isOwn = (node.status?.addresses ?? []).some(({ address }) => isAt(address, addr));
      if (isOwn && one.nodePort === port && hasFamily(service, addr.family)) return { service, port: one, kind: "NodePort" };
      if (one.port !== port) continue;
      if (spec?.clusterIPs?.some((text) => isAt(text, addr)) === true) return { service, port: one, kind: "ClusterIP" };
      if (status?.loadBalancer?.ingress?.some(({ ip }) => isAt(ip, addr)) === true) return { service, port: one, kind: "LoadBalancer" };
      if (spec?.externalIPs?.some((text) => isAt(text, addr)) === true) return { service, port: one, kind: "ExternalIP" };
    }
  }
  return undefined;
}

function hasFamily({ spec }: Service, family: Family): boolean {
  return spec?.clusterIPs?.some((text) => text.includes(":") === (family === 6)) === true;
}

export function isClusterIp({ services }: ServiceObjects, addr: Addr): boolean {
  return services.some(({ spec }) => spec?.clusterIPs?.some((text) => isAt(text, addr)) === true);
}

export interface Client {
  readonly addr: Addr;
  /** A pod of the node, or the node itself. */
  readonly isInside: boolean;
}

/** Those that may get the client's connection, or what it hears of there being none. */
export function endpointsFor(
  { endpointSlices }: ServiceObjects,
  node: Stored<Node>,
  at: ServiceAt,
  { addr, isInside }: Client,
): readonly ServiceEndpoint[] | "refused" | "silence" {
  const all = endpointsOf(endpointSlices, at, addr.family);
  const anywhere = usable(all);
  const isLocal = (at.kind === "ClusterIP" ? at.service.spec?.internalTrafficPolicy : at.service.spec?.externalTrafficPolicy) === "Local";
  // What comes from inside goes to an external address as if from outside to all (externalTrafficPolicy).
  const onlyHere = isLocal && !(isInside && at.kind !== "ClusterIP");
  const candidates = onlyHere ? usable(all.filter(({ endpoint }) => endpoint.nodeName === node.metadata.name)) : near(all, node);
  // Without any endpoint: refused. With some that the policy does not let it have: nothing (KEP-2086).
  if (candidates.length === 0) return onlyHere && anywhere.length > 0 ? "silence" : "refused";
  if (at.kind === "LoadBalancer" && !mayUse(at.service, addr)) return "silence";
  return candidates.map((one) => ({ addr: parseAddr(one.endpoint.addresses[0] ?? ""), port: one.port }));
}

interface Found {
  readonly endpoint: Endpoint;
  readonly port: number;
}

function endpointsOf(slices: readonly Stored<EndpointSlice>[], { service, port }: ServiceAt, family: Family): Found[] {
  const { name, namespace } = service.metadata;
  return slices
    .filter(({ metadata }) => metadata.namespace === namespace && metadata.labels?.["kubernetes.io/service-name"] === name)
    .filter(({ addressType }) => addressType === `IPv${family}`)
    .flatMap(({ endpoints, ports = [] }) => {
      const target = ports.find((one) => one.name === port.name && (one.protocol ?? "TCP") === (port.protocol ?? "TCP"))?.port;
      return target === undefined ? [] : endpoints.map((endpoint) => ({ endpoint, port: target }));
    });
}

/** Unknown is ready; what serves is what is ready unless told (discovery/v1 EndpointConditions). */
function isReady({ endpoint }: Found): boolean {
  return endpoint.conditions?.ready ?? true;
}

function isLeaving(one: Found): boolean {
  return (one.endpoint.conditions?.serving ?? isReady(one)) && (one.endpoint.conditions?.terminating ?? false);
}

/** Those that are ready; when there are none, those that still serve while they terminate (KEP-1669). */
function usable(all: readonly Found[]): readonly Found[] {
  const ready = all.filter(isReady);
  return ready.length > 0 ? ready : all.filter(isLeaving);
}

/** Hints count when all that are ready have one, the node has a zone, and one of them is for it (KEP-2433). */
function near(all: readonly Found[], node: Node): readonly Found[] {
  const ready = all.filter(isReady);
  const zone = node.metadata?.labels?.["topology.kubernetes.io/zone"];
  const zonesOf = ({ endpoint }: Found): string[] => (endpoint.hints?.forZones ?? []).map(({ name }) => name);
  if (zone !== undefined && ready.every((one) => zonesOf(one).length > 0)) {
    const here = ready.filter((one) => zonesOf(one).includes(zone));
    if (here.length > 0) return here;
  }
  return usable(all);
}

/** Ranges of one family say nothing about the other. */
function mayUse({ spec }: Service, addr: Addr): boolean {
  const ranges = (spec?.loadBalancerSourceRanges ?? [])
    .map((text) => parsePrefix(text))
    .filter((range) => range.addr.family === addr.family);
  return ranges.length === 0 || ranges.some((range) => prefixContains(range, addr));
}
