// A feature's Service and EndpointSlices, as the API would have them.
import type { Service, ServicePort } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { endpointOf, external, type Given, type Place, vip } from "./features.ts";
import type { Protocol } from "./peers.ts";
import { addrOf } from "./topology.ts";

const nameOf = ({ n, family }: Place): string => `s${n}-ipv${family}`;

export function serviceOf(given: Given, place: Place, protocols: readonly Protocol[]): Service {
  const { type = "ClusterIP", labels = {}, ipMode } = given;
  const ports = protocols.map(
    (protocol): ServicePort => ({
      name: protocol.toLowerCase(),
      protocol,
      port: given.port ?? 80,
      targetPort: "serve",
      ...((type === "NodePort" || type === "LoadBalancer") && { nodePort: 30_000 + place.n + (given.nodePortOffset ?? 0) }),
    }),
  );
  const ip = ipMode === "Proxy" ? addrOf("balancer", place.family) : external(place);
  const addresses = type === "ExternalName" ? { externalName: "example.com" } : { clusterIP: vip(place), clusterIPs: [vip(place)] };
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      namespace: "default",
      name: nameOf(place),
      uid: nameOf(place),
      creationTimestamp: "2025-01-01T00:00:00Z",
      labels: { ...labels },
    },
    spec: { type, ...addresses, ports, ...given.spec?.(place) },
    status: { loadBalancer: { ...(type === "LoadBalancer" && { ingress: [{ ip, ...(ipMode && { ipMode }) }] }) } },
  };
}

export function slicesOf(given: Given, place: Place, protocols: readonly Protocol[]): EndpointSlice[] {
  const metadata = (suffix: string): NonNullable<EndpointSlice["metadata"]> => ({
    namespace: "default",
    name: `${nameOf(place)}-${suffix}`,
    uid: `${nameOf(place)}-${suffix}`,
    labels: { "kubernetes.io/service-name": nameOf(place) },
  });
  const ports = protocols.map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: given.targetPort ?? 8080 }));
  const slice = { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", ports } as const;
  const own = given.endpoints.map(
    (endpoints, i): EndpointSlice => ({
      ...slice,
      metadata: metadata(String(i)),
      addressType: `IPv${place.family}`,
      endpoints: endpoints.map((endpoint) => endpointOf(endpoint, place.family)),
    }),
  );
  const names: EndpointSlice = {
    ...slice,
    metadata: metadata("fqdn"),
    addressType: "FQDN",
    endpoints: [{ addresses: ["a.example.com"], conditions: { ready: true } }],
  };
  return given.fqdn === true ? [...own, names] : own;
}
