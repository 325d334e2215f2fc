// Services and EndpointSlices in a few words, for tests and benchmarks.
import type { Service, ServiceSpec } from "kubernetes-types/core/v1";
import type { Endpoint, EndpointSlice } from "kubernetes-types/discovery/v1";
import { parseAddr, parsePrefix } from "#ip";
import type { ClusterCidrs, ProxyNode } from "./types.ts";

export const NODE: ProxyNode = { name: "node-1", addresses: [parseAddr("172.18.0.11"), parseAddr("fd00:18::11")] };

export const CIDRS: ClusterCidrs = {
  podCidrs: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")],
  serviceCidrs: [parsePrefix("10.96.0.0/16"), parsePrefix("fd00:10:96::/112")],
};

export interface PortSpec {
  readonly name?: string;
  readonly port: number;
  readonly protocol?: "TCP" | "UDP" | "SCTP";
  readonly nodePort?: number;
  readonly targetPort?: number;
}

export function service(name: string, clusterIPs: readonly string[], ports: readonly PortSpec[], spec: Partial<ServiceSpec> = {}): Service {
  const type = ports.some(({ nodePort }) => nodePort !== undefined) ? "NodePort" : "ClusterIP";
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "default", name, creationTimestamp: "2025-01-01T00:00:00Z" },
    spec: {
      type,
      clusterIP: clusterIPs[0] ?? "",
      clusterIPs: [...clusterIPs],
      ports: ports.map((port) => ({ ...port })),
      ...spec,
    },
  };
}

/** An endpoint as `address[@node][!state]`: states are notready, terminating (serving), dead (terminating, not serving). */
export function endpoint(text: string): Endpoint {
  const match = /^([^@!]+)(?:@([^!]+))?(?:!(\w+))?$/.exec(text);
  const [, address = "", nodeName, state] = match ?? [];
  const conditions = {
    ready: state === undefined,
    serving: state === undefined || state === "terminating",
    terminating: state === "terminating" || state === "dead",
  };
  return { addresses: [address], conditions, ...(nodeName !== undefined && { nodeName }) };
}

/** A slice of `name`; its ports are those of `ports` at their target ports. */
export function slice(name: string, endpoints: readonly string[], ports: readonly PortSpec[], suffix = "1"): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { namespace: "default", name: `${name}-${suffix}`, labels: { "kubernetes.io/service-name": name } },
    addressType: endpoints.some((text) => text.includes(":")) ? "IPv6" : "IPv4",
    endpoints: endpoints.map(endpoint),
    ports: ports.map(({ name: portName, port, protocol, targetPort }) => ({
      ...(portName !== undefined && { name: portName }),
      port: targetPort ?? port,
      protocol: protocol ?? "TCP",
    })),
  };
}
