// What a Service's type says of its fields, and what happens to them when an update leaves them out or changes the type.
// After `pkg/registry/core/service/{strategy,storage/alloc}.go` (dropTypeDependentFields, patchAllocatedValues, normalizeClusterIPs).
import type { Service, ServicePort, ServiceSpec } from "kubernetes-types/core/v1";
import type { Writable } from "../registry/version.ts";

export const HEADLESS = "None";

export function needsClusterIp(spec: ServiceSpec): boolean {
  return spec.type !== "ExternalName";
}

export function isHeadless(spec: ServiceSpec): boolean {
  return spec.clusterIPs?.[0] === HEADLESS || spec.clusterIP === HEADLESS;
}

export function needsNodePorts(spec: ServiceSpec): boolean {
  return spec.type === "NodePort" || (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);
}

export function needsHealthCheckPort(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

function isExternal(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer" || spec.type === "NodePort" || (needsClusterIp(spec) && (spec.externalIPs ?? []).length > 0);
}

/** Fields that an older type needed and the new one does not go away, unless the user changed them: then validation says so. */
export function dropTypeDependentFields(service: Writable<Service>, old: Service): void {
  const { spec } = service;
  const before = old.spec;
  if (spec === undefined || before === undefined) return;
  const drop = (needs: (s: ServiceSpec) => boolean, ...fields: (keyof ServiceSpec)[]): void => {
    if (!needs(before) || needs(spec)) return;
    for (const field of fields) if (JSON.stringify(spec[field]) === JSON.stringify(before[field])) delete spec[field];
  };
  drop(needsClusterIp, "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy");
  drop(needsHealthCheckPort, "healthCheckNodePort");
  drop(isLoadBalancer, "allocateLoadBalancerNodePorts", "loadBalancerClass");
  drop(isExternal, "externalTrafficPolicy");
  if (needsNodePorts(before) && !needsNodePorts(spec) && sameNodePorts(spec, before))
    for (const port of spec.ports ?? []) delete port.nodePort;
  if (isLoadBalancer(before) && !isLoadBalancer(spec)) service.status = { ...service.status, loadBalancer: {} };
}

function isLoadBalancer(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer";
}

function sameNodePorts(a: ServiceSpec, b: ServiceSpec): boolean {
  const ports = (spec: ServiceSpec): string =>
    (spec.ports ?? [])
      .flatMap((port) => port.nodePort ?? [])
      .sort((x, y) => x - y)
      .join();
  return ports(a) === ports(b);
}

/** Clients that send back an object without what was allocated for it keep what they have. */
export function patchAllocatedValues(spec: ServiceSpec, before: ServiceSpec): void {
  if (needsClusterIp(before) && needsClusterIp(spec)) {
    if (!hasText(spec.clusterIP) && before.clusterIP !== undefined) spec.clusterIP = before.clusterIP;
    if ((spec.clusterIPs ?? []).length === 0 && before.clusterIPs !== undefined && spec.clusterIP === before.clusterIP) {
      spec.clusterIPs = [...before.clusterIPs];
    }
  }
  if (needsNodePorts(before) && needsNodePorts(spec)) patchNodePorts(spec, before);
  const check = before.healthCheckNodePort;
  if (needsHealthCheckPort(before) && needsHealthCheckPort(spec) && check !== undefined) spec.healthCheckNodePort ??= check;
}

/** Ports are the same when protocol and port are, as long as no other port has the node port by now. */
function patchNodePorts(spec: ServiceSpec, before: ServiceSpec): void {
  const id = ({ protocol, port }: ServicePort): string => `${protocol ?? "TCP"}/${port}`;
  const known = new Map((before.ports ?? []).map((port) => [id(port), port.nodePort]));
  const used = new Set((spec.ports ?? []).flatMap((port) => port.nodePort ?? []));
  for (const port of spec.ports ?? []) {
    const nodePort = known.get(id(port));
    if ((port.nodePort ?? 0) !== 0 || nodePort === undefined || used.has(nodePort)) continue;
    port.nodePort = nodePort;
  }
}

/** `clusterIP` and `clusterIPs[0]` are one value in two places; whoever changed one of them changed both. */
export function normalizeClusterIps(spec: ServiceSpec, before: ServiceSpec | undefined): void {
  if (before === undefined) {
    if (hasText(spec.clusterIP) && (spec.clusterIPs ?? []).length === 0 && spec.clusterIP !== undefined) spec.clusterIPs = [spec.clusterIP];
    return;
  }
  const sameList = (spec.clusterIPs ?? []).join() === (before.clusterIPs ?? []).join();
  if (spec.clusterIP === before.clusterIP || !sameList) return;
  if (!hasText(spec.clusterIP)) delete spec.clusterIPs;
  else if (spec.clusterIP !== undefined) spec.clusterIPs = [spec.clusterIP, ...(before.clusterIPs ?? []).slice(1)];
}

function hasText(text: string | undefined): boolean {
  return text !== undefined && text !== "";
}
