// NetworkPolicies, Ingresses and IngressClasses: `pkg/apis/networking/validation/validation.go`.
import type {
  HTTPIngressPath,
  Ingress,
  IngressBackend,
  IngressClass,
  IPBlock,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from "kubernetes-types/networking/v1";
import { type Prefix, prefixContains, tryParseAddr, tryParsePrefix } from "#ip";
import { validateLabelSelector } from "./metadata.ts";
import {
  isCidr,
  isDns1035Label,
  isDns1123Subdomain,
  isDomainPrefixedKey,
  isPortName,
  isPortNumber,
  isWildcardDns1123Subdomain,
} from "./names.ts";
import type { Problems } from "./problems.ts";
import { validatePortNumberOrName } from "./service.ts";

const POLICY_TYPES: readonly string[] = ["Ingress", "Egress"];

export function validateNetworkPolicy(problems: Problems, { spec }: NetworkPolicy): void {
  if (spec === undefined) return;
  validateLabelSelector(problems, "spec.podSelector", spec.podSelector);
  for (const [i, { ports = [], from = [] }] of (spec.ingress ?? []).entries()) {
    const at = `spec.ingress[${i}]`;
    for (const [j, port] of ports.entries()) validatePolicyPort(problems, `${at}.ports[${j}]`, port);
    for (const [j, peer] of from.entries()) validatePeer(problems, `${at}.from[${j}]`, peer);
  }
  for (const [i, { ports = [], to = [] }] of (spec.egress ?? []).entries()) {
    const at = `spec.egress[${i}]`;
    for (const [j, port] of ports.entries()) validatePolicyPort(problems, `${at}.ports[${j}]`, port);
    for (const [j, peer] of to.entries()) validatePeer(problems, `${at}.to[${j}]`, peer);
  }
  const types = spec.policyTypes ?? [];
  if (types.length > 2) problems.invalid("spec.policyTypes", types, "may not specify more than two policyTypes");
  // One of them twice is content with.
  else
    for (const [i, type] of types.entries())
      if (!POLICY_TYPES.includes(type)) problems.notSupported(`spec.policyTypes[${i}]`, type, POLICY_TYPES);
}

function validatePolicyPort(problems: Problems, path: string, { protocol, port, endPort }: NetworkPolicyPort): void {
  problems.optionalOneOf(`${path}.protocol`, protocol, ["TCP", "UDP", "SCTP"]);
  if (port !== undefined) validatePortNumberOrName(problems, `${path}.port`, port);
  if (endPort === undefined) return;
  const at = `${path}.endPort`;
  if (port === undefined) problems.invalid(at, endPort, "may not be specified when `port` is not specified");
  else if (typeof port === "string") problems.invalid(at, endPort, "may not be specified when `port` is non-numeric");
  else {
    if (endPort < port) problems.invalid(at, endPort, "must be greater than or equal to `port`");
    problems.invalidEach(at, endPort, isPortNumber(endPort));
  }
}

function validatePeer(problems: Problems, path: string, { podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeer): void {
  if (podSelector !== undefined) validateLabelSelector(problems, `${path}.podSelector`, podSelector);
  if (namespaceSelector !== undefined) validateLabelSelector(problems, `${path}.namespaceSelector`, namespaceSelector);
  if (ipBlock !== undefined) validateIpBlock(problems, `${path}.ipBlock`, ipBlock);
  const selects = podSelector !== undefined || namespaceSelector !== undefined;
  if (!selects && ipBlock === undefined) problems.required(path, "must specify a peer");
  else if (selects && ipBlock !== undefined) problems.forbidden(path, "may not specify both ipBlock and another peer");
}

function validateIpBlock(problems: Problems, path: string, { cidr, except = [] }: IPBlock): void {
  if (!cidr) {
    problems.required(`${path}.cidr`);
    return;
  }
  const outer = legacyCidr(cidr);
  if (outer === undefined) {
    problems.invalidEach(`${path}.cidr`, cidr, isCidr(cidr));
    return;
  }
  for (const [i, range] of except.entries()) {
    const at = `${path}.except[${i}]`;
    const inner = legacyCidr(range);
    if (inner === undefined) problems.invalidEach(at, range, isCidr(range));
    else if (!(prefixContains(outer, inner.addr) && inner.bits > outer.bits)) {
      problems.invalid(at, range, "must be a strict subset of `cidr`");
    }
  }
}

/**
 * With leading zeros, which are decimal, and with bits beyond the prefix length: fields that are older than the strict rules take both
 * (`IsValidCIDRForLegacyField`; StrictIPCIDRValidation is off in Kubernetes 1.33).
 */
function legacyCidr(text: string): Prefix | undefined {
  const plain = text.replace(/\/0+(?=\d)/, "/");
  return tryParsePrefix(plain.includes(":") ? plain : plain.replaceAll(/(^|\.)0+(?=\d)/g, "$1"));
}

export function validateIngress(problems: Problems, { spec = {} }: Ingress): void {
  const rules = spec.rules ?? [];
  if (rules.length === 0 && spec.defaultBackend === undefined) {
    problems.invalid("spec", rules, "either `defaultBackend` or `rules` must be specified");
  }
  if (spec.defaultBackend !== undefined) validateBackend(problems, "spec.defaultBackend", spec.defaultBackend);
  if (spec.ingressClassName !== undefined)
    problems.invalidEach("spec.ingressClassName", spec.ingressClassName, isDns1123Subdomain(spec.ingressClassName));
  for (const [i, { hosts = [] }] of (spec.tls ?? []).entries()) {
    for (const [j, host] of hosts.entries()) problems.invalidEach(`spec.tls[${i}].hosts[${j}]`, host, hostProblems(host));
  }
  for (const [i, { host, http }] of rules.entries()) {
    const at = `spec.rules[${i}]`;
    if (host) {
      if (tryParseAddr(host) !== undefined) problems.invalid(`${at}.host`, host, "must be a DNS name, not an IP address");
      else problems.invalidEach(`${at}.host`, host, hostProblems(host));
    }
    if (http === undefined) continue;
    if ((http.paths ?? []).length === 0) problems.required(`${at}.http.paths`);
    for (const [j, path] of (http.paths ?? []).entries()) validateHttpPath(problems, `${at}.http.paths[${j}]`, path);
  }
}

function hostProblems(host: string): string[] {
  return host.includes("*") ? isWildcardDns1123Subdomain(host) : isDns1123Subdomain(host);
}

const FORBIDDEN_IN_PATHS: readonly string[] = ["//", "/./", "/../", "%2f", "%2F"];
const FORBIDDEN_AT_END: readonly string[] = ["/..", "/."];

function validateHttpPath(problems: Problems, path: string, { path: value = "", pathType, backend }: HTTPIngressPath): void {
  if (!pathType) problems.required(`${path}.pathType`, "pathType must be specified");
  else if (pathType === "Exact" || pathType === "Prefix") {
    if (!value.startsWith("/")) problems.invalid(`${path}.path`, value, "must be an absolute path");
    for (const part of FORBIDDEN_IN_PATHS) if (value.includes(part)) problems.invalid(`${path}.path`, value, `must not contain '${part}'`);
    for (const end of FORBIDDEN_AT_END) if (value.endsWith(end)) problems.invalid(`${path}.path`, value, `cannot end with '${end}'`);
  } else if (pathType === "ImplementationSpecific") {
    if (value !== "" && !value.startsWith("/")) problems.invalid(`${path}.path`, value, "must be an absolute path");
  } else problems.notSupported(`${path}.pathType`, pathType, ["Exact", "ImplementationSpecific", "Prefix"]);
  validateBackend(problems, `${path}.backend`, backend ?? {});
}

function validateBackend(problems: Problems, path: string, { service, resource }: IngressBackend): void {
  if (service !== undefined && resource !== undefined) {
    problems.invalid(path, "", "cannot set both resource and service backends");
    return;
  }
  if (resource !== undefined) {
    if (!resource.kind) problems.required(`${path}.resource.kind`);
    if (!resource.name) problems.required(`${path}.resource.name`);
    return;
  }
  if (service === undefined) {
    problems.required(path, "resource or service backend is required");
    return;
  }
  if (!service.name) problems.required(`${path}.service.name`);
  else problems.invalidEach(`${path}.service.name`, service.name, isDns1035Label(service.name));
  const { name, number } = service.port ?? {};
  if (name && number) problems.invalid(path, "", "cannot set both port name & port number");
  else if (name) problems.invalidEach(`${path}.service.port.name`, name, isPortName(name));
  else if (number) problems.invalidEach(`${path}.service.port.number`, number, isPortNumber(number));
  else problems.required(path, "port name or number is required");
}

export function validateIngressClass(problems: Problems, { spec = {} }: IngressClass): void {
  const { controller = "", parameters } = spec;
  if (controller === "") problems.required("spec.controller");
  else if (controller.length > 250) problems.tooLong("spec.controller", 250);
  else problems.invalidEach("spec.controller", controller, isDomainPrefixedKey(controller));
  if (parameters === undefined) return;
  const path = "spec.parameters";
  if (!parameters.kind) problems.required(`${path}.kind`, "kind is required");
  if (!parameters.name) problems.required(`${path}.name`, "name is required");
  problems.oneOf(`${path}.scope`, parameters.scope, ["Cluster", "Namespace"]);
  if (parameters.scope === "Namespace" && !parameters.namespace) {
    problems.required(`${path}.namespace`, "`parameters.scope` is set to 'Namespace'");
  } else if (parameters.scope === "Cluster" && parameters.namespace !== undefined) {
    problems.forbidden(`${path}.namespace`, "`parameters.scope` is set to 'Cluster'");
  }
}

export function validateIngressClassUpdate(problems: Problems, { spec }: IngressClass, old: IngressClass): void {
  problems.immutable("spec.controller", spec?.controller, old.spec?.controller);
}
