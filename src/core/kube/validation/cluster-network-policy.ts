// ClusterNetworkPolicies: the limits of their CRD (network-policy-api, config/crd/experimental), in the words of the API server's checks of
// custom resources. Selectors are checked as those of other kinds, which a CRD does not do; and domainNames are refused outside of Accept,
// as the API's prose has it.
import { tryParsePrefix } from "#ip";
import type {
  ClusterNetworkPolicy,
  ClusterNetworkPolicyPeer,
  ClusterNetworkPolicyPort,
  ClusterNetworkPolicyProtocol,
  NamespacedPods,
} from "../cluster-network-policy.ts";
import { validateLabelSelector } from "./metadata.ts";
import type { Problems } from "./problems.ts";

const MAX_PRIORITY = 1000;
/** Of rules, peers, protocols, networks and names. */
const MAX_ITEMS = 25;
const MAX_RULE_NAME = 100;
const MAX_CIDR = 43;
const LAST_PORT = 65_535;
const DOMAIN_NAME = /^(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$/;

export function validateClusterNetworkPolicy(problems: Problems, { spec }: ClusterNetworkPolicy): void {
  if (spec === undefined) {
    problems.required("spec");
    return;
  }
  problems.oneOf("spec.tier", spec.tier, ["Admin", "Baseline"]);
  number(problems, "spec.priority", spec.priority, [0, MAX_PRIORITY]);
  if (spec.subject === undefined) problems.required("spec.subject");
  else if (hasOneField(problems, "spec.subject", spec.subject)) validateSelectors(problems, "spec.subject", spec.subject);
  for (const direction of ["ingress", "egress"] as const) {
    const rules = spec[direction] ?? [];
    if (rules.length > MAX_ITEMS) problems.tooMany(`spec.${direction}`, rules.length, MAX_ITEMS);
    for (const [i, rule] of rules.entries()) validateRule(problems, `spec.${direction}[${i}]`, rule);
  }
}

interface Rule {
  readonly name?: string;
  readonly action: string;
  readonly from?: readonly ClusterNetworkPolicyPeer[];
  readonly to?: readonly ClusterNetworkPolicyPeer[];
  readonly protocols?: readonly ClusterNetworkPolicyProtocol[];
}

function validateRule(problems: Problems, path: string, { name = "", action, from, to, protocols }: Rule): void {
  if (name.length > MAX_RULE_NAME) problems.tooLong(`${path}.name`, MAX_RULE_NAME);
  problems.oneOf(`${path}.action`, action, ["Accept", "Deny", "Pass"]);
  const field = path.startsWith("spec.ingress") ? "from" : "to";
  const peers = from ?? to;
  if (peers === undefined) problems.required(`${path}.${field}`);
  else itemsOf(problems, `${path}.${field}`, peers);
  for (const [i, peer] of (peers ?? []).entries()) {
    const at = `${path}.${field}[${i}]`;
    if (hasOneField(problems, at, peer)) validatePeer(problems, at, peer);
    if (peer.domainNames !== undefined && action !== "Accept") {
      problems.forbidden(`${at}.domainNames`, "domainNames peers are only supported for Accept rules");
    }
  }
  if (protocols === undefined) return;
  itemsOf(problems, `${path}.protocols`, protocols);
  for (const [i, protocol] of protocols.entries()) validateProtocol(problems, `${path}.protocols[${i}]`, protocol);
  const hasNames = protocols.some(({ destinationNamedPort }) => destinationNamedPort !== undefined);
  const nameless = (peers ?? []).some(({ networks, nodes, domainNames }) => (networks ?? nodes ?? domainNames) !== undefined);
  if (hasNames && nameless) {
    const why =
      "networks/nodes/domainNames peer cannot be set with namedPorts since there are no namedPorts for networks/nodes/domainNames";
    problems.invalid(path, "object", why);
  }
}

function validatePeer(problems: Problems, path: string, peer: ClusterNetworkPolicyPeer): void {
  const { nodes, networks, domainNames } = peer;
  validateSelectors(problems, path, peer);
  if (nodes !== undefined) validateLabelSelector(problems, `${path}.nodes`, nodes);
  for (const [i, cidr] of setOf(problems, `${path}.networks`, networks).entries()) {
    const at = `${path}.networks[${i}]`;
    if (cidr.length > MAX_CIDR) problems.tooLong(at, MAX_CIDR);
    else if (tryParsePrefix(cidr) === undefined) problems.invalid(at, cidr, "Invalid CIDR format provided");
  }
  for (const [i, name] of setOf(problems, `${path}.domainNames`, domainNames).entries()) {
    const at = `${path}.domainNames[${i}]`;
    if (!DOMAIN_NAME.test(name)) problems.invalid(at, name, `${at} in body should match '${DOMAIN_NAME.source}'`);
  }
}

interface Selectors {
  readonly namespaces?: ClusterNetworkPolicyPeer["namespaces"];
  readonly pods?: NamespacedPods;
}

function validateSelectors(problems: Problems, path: string, { namespaces, pods }: Selectors): void {
  if (namespaces !== undefined) validateLabelSelector(problems, `${path}.namespaces`, namespaces);
  if (pods === undefined) return;
  validateLabelSelector(problems, `${path}.pods.namespaceSelector`, pods.namespaceSelector);
  if (pods.podSelector === undefined) problems.required(`${path}.pods.podSelector`);
  else validateLabelSelector(problems, `${path}.pods.podSelector`, pods.podSelector);
}

function validateProtocol(problems: Problems, path: string, protocol: ClusterNetworkPolicyProtocol): void {
  if (!hasOneField(problems, path, protocol)) return;
  for (const key of ["tcp", "udp", "sctp"] as const) {
    const own = protocol[key];
    if (own === undefined || !hasOneField(problems, `${path}.${key}`, own) || own.destinationPort === undefined) continue;
    validatePort(problems, `${path}.${key}.destinationPort`, own.destinationPort);
  }
}

function validatePort(problems: Problems, path: string, port: ClusterNetworkPolicyPort): void {
  if (!hasOneField(problems, path, port)) return;
  if (port.number !== undefined) number(problems, `${path}.number`, port.number, [1, LAST_PORT]);
  if (port.range === undefined) return;
  const { start, end } = port.range;
  number(problems, `${path}.range.start`, start, [1, LAST_PORT]);
  number(problems, `${path}.range.end`, end, [1, LAST_PORT]);
  if (start >= end) problems.invalid(`${path}.range`, "object", "Start port must be less than End port");
}

function number(problems: Problems, path: string, value: number | undefined, [least, most]: readonly [number, number]): void {
  if (value === undefined) problems.required(path);
  else if (value < least) problems.invalid(path, value, `${path} in body should be greater than or equal to ${least}`);
  else if (value > most) problems.invalid(path, value, `${path} in body should be less than or equal to ${most}`);
}

function itemsOf<T>(problems: Problems, path: string, items: readonly T[]): void {
  if (items.length > MAX_ITEMS) problems.tooMany(path, items.length, MAX_ITEMS);
  if (items.length === 0) problems.invalid(path, 0, `${path} in body should have at least 1 items`);
}

function setOf(problems: Problems, path: string, items: readonly string[] | undefined): readonly string[] {
  if (items === undefined) return [];
  itemsOf(problems, path, items);
  for (const [i, item] of items.entries()) if (items.indexOf(item) < i) problems.duplicate(`${path}[${i}]`, item);
  return items;
}

function hasOneField(problems: Problems, path: string, value: object): boolean {
  const count = Object.keys(value).length;
  if (count === 0) problems.invalid(path, 0, `${path} in body should have at least 1 properties`);
  if (count > 1) problems.tooMany(path, count, 1);
  return count === 1;
}
