import type { Endpoints, Service, ServicePort } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { Ingress, IngressClass } from "kubernetes-types/networking/v1";
import {
  CLUSTER_NETWORK_POLICIES,
  ENDPOINT_SLICES,
  ENDPOINTS,
  INGRESS_CLASSES,
  INGRESSES,
  IP_ADDRESSES,
  type IPAddress,
  NETWORK_POLICIES,
  SERVICE_CIDRS,
  SERVICES,
} from "../resources.ts";
import { formatLabelSelector } from "../selectors.ts";
import { AGE, ageOf, column, formatLabels, NAME, nameOf, orNone, type PrinterEntry, printerFor, SELECTOR, someOf } from "./printer.ts";

/** Lists of endpoints and hosts show this many. */
const MAX_LISTED = 3;

export const NETWORK_PRINTERS: readonly PrinterEntry[] = [
  printerFor(SERVICES, {
    columns: [
      NAME,
      column("Type", "How the Service is reached: ClusterIP, NodePort, LoadBalancer or ExternalName."),
      column("Cluster-IP", "The Service's first address inside the cluster."),
      column("External-IP", "Addresses that reach the Service from outside."),
      column("Port(s)", "The ports, each with its node port and protocol."),
      AGE,
      SELECTOR,
    ],
    cells: (s, now) => [
      nameOf(s),
      s.spec?.type ?? "",
      orNone(s.spec?.clusterIPs?.[0] ?? s.spec?.clusterIP),
      externalIp(s),
      orNone((s.spec?.ports ?? []).map(formatPort).join(",")),
      ageOf(s, now),
      formatLabels(s.spec?.selector),
    ],
  }),
  printerFor(ENDPOINTS, {
    columns: [NAME, column("Endpoints", "Addresses and ports of the pods behind the Service."), AGE],
    cells: (e, now) => [nameOf(e), orNone(someOf(endpointsOf(e), MAX_LISTED)), ageOf(e, now)],
  }),
  printerFor(ENDPOINT_SLICES, {
    columns: [
      NAME,
      column("AddressType", "IPv4, IPv6 or FQDN."),
      column("Ports", "The ports of every endpoint in the slice."),
      column("Endpoints", "The addresses in the slice."),
      AGE,
    ],
    cells: (s, now) => [nameOf(s), s.addressType, slicePorts(s), sliceEndpoints(s), ageOf(s, now)],
  }),
  printerFor(NETWORK_POLICIES, {
    columns: [NAME, column("Pod-Selector", "Labels of the pods that the policy is for."), AGE],
    cells: (p, now) => [nameOf(p), formatLabelSelector(p.spec?.podSelector), ageOf(p, now)],
  }),
  printerFor(CLUSTER_NETWORK_POLICIES, {
    columns: [
      NAME,
      column("Tier", "Admin: asked before NetworkPolicies; Baseline: after them."),
      column("Priority", "The lower one is asked first."),
      AGE,
    ],
    cells: (p, now) => [nameOf(p), p.spec?.tier ?? "", String(p.spec?.priority ?? ""), ageOf(p, now)],
  }),
  printerFor(INGRESSES, {
    columns: [
      NAME,
      column("Class", "The ingress class that serves it."),
      column("Hosts", "The host names that the rules are for."),
      column("Address", "Where the ingress is reached."),
      column("Ports", "80, and 443 with TLS."),
      AGE,
    ],
    cells: (i, now) => [
      nameOf(i),
      orNone(i.spec?.ingressClassName),
      hostsOf(i),
      ingressPoints(i.status?.loadBalancer?.ingress),
      (i.spec?.tls ?? []).length > 0 ? "80, 443" : "80",
      ageOf(i, now),
    ],
  }),
  printerFor(INGRESS_CLASSES, {
    columns: [
      NAME,
      column("Controller", "The controller that serves the class."),
      column("Parameters", "The object with the controller's parameters."),
      AGE,
    ],
    cells: (c, now) => [nameOf(c), c.spec?.controller ?? "", parametersOf(c), ageOf(c, now)],
  }),
  printerFor(SERVICE_CIDRS, {
    columns: [NAME, column("CIDRs", "The ranges, at most one per IP family."), AGE],
    cells: (c, now) => [nameOf(c), (c.spec?.cidrs ?? []).join(","), ageOf(c, now)],
  }),
  printerFor(IP_ADDRESSES, {
    columns: [NAME, column("ParentRef", "The object that has the address."), AGE],
    cells: (a, now) => [nameOf(a), parentOf(a), ageOf(a, now)],
  }),
];

/** `services/default/kubernetes`, with the group after the resource: `gateways.gateway.networking.k8s.io/ns/name`. */
function parentOf({ spec }: IPAddress): string {
  if (spec?.parentRef === undefined) return "";
  const { group = "", resource, namespace = "", name } = spec.parentRef;
  return [group === "" ? resource : `${resource}.${group}`, namespace, name].filter((part) => part !== "").join("/");
}

function ingressPoints(points: readonly { readonly ip?: string; readonly hostname?: string }[] | undefined): string {
  return (points ?? [])
    .map((point) => point.ip || (point.hostname ?? ""))
    .filter((text) => text !== "")
    .join(",");
}

function externalIp(service: Service): string {
  const spec = service.spec ?? {};
  const given = spec.externalIPs ?? [];
  switch (spec.type) {
    case "ClusterIP":
    case "NodePort":
      return orNone(given.join(","));
    case "LoadBalancer": {
      const points = ingressPoints(service.status?.loadBalancer?.ingress);
      const all = [...(points === "" ? [] : [points]), ...given].join(",");
      return all === "" ? "<pending>" : all;
    }
    case "ExternalName":
      return spec.externalName ?? "";
    default:
      return "<unknown>";
  }
}

function formatPort(port: ServicePort): string {
  const node = port.nodePort === undefined || port.nodePort === 0 ? "" : `:${port.nodePort}`;
  return `${port.port}${node}/${port.protocol ?? "TCP"}`;
}

function hostPort(ip: string, port: number): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function endpointsOf(endpoints: Endpoints): string[] {
  return (endpoints.subsets ?? []).flatMap(({ addresses = [], ports = [] }) => {
    if (ports.length === 0) return addresses.map((address) => address.ip);
    return ports.flatMap((port) => addresses.map((address) => hostPort(address.ip, port.port)));
  });
}

function slicePorts(slice: EndpointSlice): string {
  const ports = (slice.ports ?? []).map((port) => (port.port === undefined ? "*" : String(port.port)));
  return ports.length === 0 ? "<unset>" : someOf(ports, MAX_LISTED);
}

function sliceEndpoints(slice: EndpointSlice): string {
  const addresses = (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses);
  return addresses.length === 0 ? "<unset>" : someOf(addresses, MAX_LISTED);
}

function hostsOf(ingress: Ingress): string {
  const hosts = (ingress.spec?.rules ?? []).map((rule) => rule.host ?? "").filter((host) => host !== "");
  return hosts.length === 0 ? "*" : someOf(hosts, MAX_LISTED);
}

function parametersOf(ingressClass: IngressClass): string {
  const parameters = ingressClass.spec?.parameters;
  if (parameters === undefined) return "<none>";
  const group = parameters.apiGroup === undefined ? "" : `.${parameters.apiGroup}`;
  return `${parameters.kind}${group}/${parameters.name}`;
}
