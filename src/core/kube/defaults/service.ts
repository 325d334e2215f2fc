import type { Service, ServiceSpec } from "kubernetes-types/core/v1";

/** Three hours. */
const AFFINITY_SECONDS = 10_800;

/** Clears the `readonly` that the types put on `status`: it is read-only for users, not for the API. */
type Writable<T> = { -readonly [K in keyof T]: T[K] };

export function serviceDefaults(service: Writable<Service>): void {
  service.spec ??= {};
  service.status ??= {};
  service.status.loadBalancer ??= {};
  const { spec } = service;
  spec.type ||= "ClusterIP";
  affinityDefaults(spec);
  for (const port of spec.ports ?? []) {
    port.protocol ||= "TCP";
    port.targetPort ||= port.port;
  }
  policyDefaults(spec);
  if (spec.type !== "LoadBalancer") return;
  spec.allocateLoadBalancerNodePorts ??= true;
  for (const ingress of service.status.loadBalancer.ingress ?? []) if (ingress.ip) ingress.ipMode ??= "VIP";
}

function affinityDefaults(spec: ServiceSpec): void {
  spec.sessionAffinity ||= "None";
  if (spec.sessionAffinity === "None") {
    delete spec.sessionAffinityConfig;
  } else if (spec.sessionAffinity === "ClientIP") {
    const clientIP = spec.sessionAffinityConfig?.clientIP;
    if (clientIP?.timeoutSeconds === undefined) spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: AFFINITY_SECONDS } };
  }
}

function policyDefaults(spec: ServiceSpec): void {
  const external =
    spec.type === "NodePort" || spec.type === "LoadBalancer" || (spec.type === "ClusterIP" && (spec.externalIPs ?? []).length > 0);
  if (external) spec.externalTrafficPolicy ||= "Cluster";
  if (spec.type !== "ExternalName") spec.internalTrafficPolicy ??= "Cluster";
}
