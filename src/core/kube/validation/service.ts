// Services: `pkg/apis/core/validation/validation.go` ValidateService. Runs after addresses and node ports have been allocated.
import type { Service, ServicePort, ServiceSpec } from "kubernetes-types/core/v1";
import { tryParseAddr } from "#ip";
import { validateLabels } from "./metadata.ts";
import {
  isCidr,
  isDns1123Label,
  isDns1123Subdomain,
  isNonSpecialIp,
  isPortName,
  isPortNumber,
  isQualifiedName,
  NOT_AN_IP,
} from "./names.ts";
import type { Problems } from "./problems.ts";
import { validateAddressFields, validateAddressUpdate } from "./service-addresses.ts";

const PROTOCOLS: readonly string[] = ["SCTP", "TCP", "UDP"];
const TYPES: readonly string[] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const DISTRIBUTIONS: readonly string[] = ["PreferClose", "PreferSameNode", "PreferSameZone"];
const KUBELET_PORT = 10_250;
const MAX_AFFINITY_SECONDS = 86_400;

export function validateService(problems: Problems, { spec }: Service): void {
  if (spec === undefined) {
    problems.required("spec");
    return;
  }
  validateType(problems, spec);
  validatePorts(problems, spec);
  validateLabels(problems, "spec.selector", spec.selector);
  validateAffinity(problems, spec);
  validateAddressFields(problems, spec);
  for (const [i, ip] of (spec.externalIPs ?? []).entries()) problems.invalidEach(`spec.externalIPs[${i}]`, ip, isNonSpecialIp(ip));
  validateLoadBalancerFields(problems, spec);
  validateTrafficPolicies(problems, spec);
}

function validateType(problems: Problems, spec: ServiceSpec): void {
  problems.oneOf("spec.type", spec.type, TYPES);
  const headless = spec.clusterIPs?.[0] === "None" || spec.clusterIP === "None";
  if (headless && (spec.type === "LoadBalancer" || spec.type === "NodePort")) {
    problems.invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec.type} services`);
  }
  if ((spec.ports ?? []).length === 0 && !headless && spec.type !== "ExternalName") problems.required("spec.ports");
  if (spec.type !== "ExternalName") return;
  if ((spec.clusterIPs ?? []).length > 0 || spec.clusterIP)
    problems.forbidden("spec.clusterIPs", "may not be set when `type` is 'ExternalName'");
  if (!spec.externalName) problems.required("spec.externalName");
  // A trailing dot is how DNS writes a name that is complete.
  else problems.invalidEach("spec.externalName", spec.externalName, isDns1123Subdomain(spec.externalName.replace(/\.$/, "")));
}

function validatePorts(problems: Problems, spec: ServiceSpec): void {
  const ports = spec.ports ?? [];
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) validatePort(problems, `spec.ports[${i}]`, port, { needsName: ports.length > 1, names });
  const nodePorts = new Set<string>();
  const seen = new Set<string>();
  for (const [i, { port, protocol, nodePort }] of ports.entries()) {
    const path = `spec.ports[${i}]`;
    if (spec.type === "LoadBalancer" && port === KUBELET_PORT) {
      problems.invalid(path, port, `may not expose port ${port} externally since it is used by kubelet`);
    }
    if (nodePort) {
      if (spec.type === "ClusterIP") problems.forbidden(`${path}.nodePort`, "may not be used when `type` is 'ClusterIP'");
      else if (nodePorts.has(`${protocol}/${nodePort}`)) problems.duplicate(`${path}.nodePort`, nodePort);
      nodePorts.add(`${protocol}/${nodePort}`);
    }
    if (seen.has(`${protocol}/${port}`)) problems.duplicate(path, { port, protocol });
    seen.add(`${protocol}/${port}`);
  }
}

interface PortContext {
  readonly needsName: boolean;
  readonly names: Set<string>;
}

function validatePort(problems: Problems, path: string, port: ServicePort, { needsName, names }: PortContext): void {
  if (port.name) {
    problems.invalidEach(`${path}.name`, port.name, isDns1123Label(port.name));
    if (names.has(port.name)) problems.duplicate(`${path}.name`, port.name);
    names.add(port.name);
  } else if (needsName) problems.required(`${path}.name`);
  problems.invalidEach(`${path}.port`, port.port ?? 0, isPortNumber(port.port ?? 0));
  problems.oneOf(`${path}.protocol`, port.protocol, PROTOCOLS);
  validatePortNumberOrName(problems, `${path}.targetPort`, port.targetPort ?? 0);
  if (port.appProtocol !== undefined) problems.invalidEach(`${path}.appProtocol`, port.appProtocol, isQualifiedName(port.appProtocol));
  if (port.nodePort) problems.invalidEach(`${path}.nodePort`, port.nodePort, isPortNumber(port.nodePort));
}

export function validatePortNumberOrName(problems: Problems, path: string, port: number | string): void {
  problems.invalidEach(path, port, typeof port === "number" ? isPortNumber(port) : isPortName(port));
}

function validateAffinity(problems: Problems, spec: ServiceSpec): void {
  problems.oneOf("spec.sessionAffinity", spec.sessionAffinity, ["ClientIP", "None"]);
  const path = "spec.sessionAffinityConfig";
  if (spec.sessionAffinity === "None" && spec.sessionAffinityConfig !== undefined) {
    problems.forbidden(path, "must not be set when session affinity is None");
  }
  if (spec.sessionAffinity !== "ClientIP") return;
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (seconds === undefined) problems.required(`${path}.clientIP.timeoutSeconds`);
  else if (seconds <= 0 || seconds > MAX_AFFINITY_SECONDS) {
    problems.invalid(`${path}.clientIP.timeoutSeconds`, seconds, `must be greater than 0 and less than ${MAX_AFFINITY_SECONDS}`);
  }
}

function validateLoadBalancerFields(problems: Problems, spec: ServiceSpec): void {
  const balanced = spec.type === "LoadBalancer";
  const only = "may only be used when `type` is 'LoadBalancer'";
  const ranges = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0 && !balanced) problems.forbidden("spec.loadBalancerSourceRanges", only);
  else for (const [i, range] of ranges.entries()) problems.invalidEach(`spec.loadBalancerSourceRanges[${i}]`, range, isCidr(range.trim()));
  if (balanced) {
    if (spec.allocateLoadBalancerNodePorts === undefined) problems.required("spec.allocateLoadBalancerNodePorts");
  } else if (spec.allocateLoadBalancerNodePorts !== undefined) problems.forbidden("spec.allocateLoadBalancerNodePorts", only);
  if (spec.loadBalancerClass === undefined) return;
  if (balanced) problems.invalidEach("spec.loadBalancerClass", spec.loadBalancerClass, isQualifiedName(spec.loadBalancerClass));
  else problems.forbidden("spec.loadBalancerClass", only);
}

function validateTrafficPolicies(problems: Problems, spec: ServiceSpec): void {
  const external =
    spec.type === "NodePort" || spec.type === "LoadBalancer" || (spec.type === "ClusterIP" && (spec.externalIPs ?? []).length > 0);
  const policies = ["Cluster", "Local"];
  if (external) problems.oneOf("spec.externalTrafficPolicy", spec.externalTrafficPolicy, policies);
  else if (spec.externalTrafficPolicy) {
    problems.invalid("spec.externalTrafficPolicy", spec.externalTrafficPolicy, "may only be set for externally-accessible services");
  }
  const checked = spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
  if (checked) problems.notNegative("spec.healthCheckNodePort", spec.healthCheckNodePort);
  else if (spec.healthCheckNodePort) {
    const detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    problems.invalid("spec.healthCheckNodePort", spec.healthCheckNodePort, detail);
  }
  if (spec.type === "ExternalName") problems.optionalOneOf("spec.internalTrafficPolicy", spec.internalTrafficPolicy, policies);
  else problems.oneOf("spec.internalTrafficPolicy", spec.internalTrafficPolicy, policies);
  problems.optionalOneOf("spec.trafficDistribution", trafficDistribution(spec), DISTRIBUTIONS);
}

function trafficDistribution(spec: ServiceSpec): string | undefined {
  const { trafficDistribution: value } = spec as { trafficDistribution?: string };
  return value;
}

/** ValidateLoadBalancerStatus. */
function validateLoadBalancerStatus(problems: Problems, { spec, status }: Service): void {
  const ingress = status?.loadBalancer?.ingress ?? [];
  const path = "status.loadBalancer.ingress";
  if (ingress.length > 0 && spec?.type !== "LoadBalancer") {
    problems.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'");
    return;
  }
  for (const [i, { ip, ipMode, hostname }] of ingress.entries()) {
    const at = `${path}[${i}]`;
    if (ip && tryParseAddr(ip) === undefined) problems.invalid(`${at}.ip`, ip, NOT_AN_IP);
    if (ipMode !== undefined && !ip) problems.forbidden(`${at}.ipMode`, "may not be specified when `ip` is not set");
    else if (ipMode !== undefined) problems.oneOf(`${at}.ipMode`, ipMode, ["Proxy", "VIP"]);
    if (!hostname) continue;
    problems.invalidEach(`${at}.hostname`, hostname, isDns1123Subdomain(hostname));
    if (tryParseAddr(hostname) !== undefined) problems.invalid(`${at}.hostname`, hostname, "must be a DNS name, not an IP address");
  }
}

export function validateServiceUpdate(problems: Problems, service: Service, old: Service): void {
  const { spec } = service;
  // What was stored before, or outlives another type, is not what this writer is asked about.
  if (JSON.stringify(service.status?.loadBalancer) !== JSON.stringify(old.status?.loadBalancer))
    validateLoadBalancerStatus(problems, service);
  if (spec === undefined || old.spec === undefined) return;
  validateAddressUpdate(problems, spec, old.spec);
  const before = old.spec.healthCheckNodePort;
  const stays =
    spec.type === "LoadBalancer" &&
    spec.externalTrafficPolicy === "Local" &&
    old.spec.type === "LoadBalancer" &&
    old.spec.externalTrafficPolicy === "Local";
  if (before && stays && spec.healthCheckNodePort !== before) problems.forbidden("spec.healthCheckNodePort", "field is immutable");
  if (spec.type === "LoadBalancer" && old.spec.type === "LoadBalancer" && spec.loadBalancerClass !== old.spec.loadBalancerClass) {
    problems.invalid("spec.loadBalancerClass", spec.loadBalancerClass ?? null, "may not change once set");
  }
}
