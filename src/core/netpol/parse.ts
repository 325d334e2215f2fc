// From a NetworkPolicy to what it means. Pure.
//
// Nothing here throws: a part that cannot be understood allows nothing, and is told of. So a policy isolates what it selects, whatever else
// is wrong with it.
import type { NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { errorMessage } from "#base";
import { keyOf, type Stored, selectorOf } from "#kube";
import { type Block, decompose, parseCidr } from "./blocks.ts";
import { protocolNumber } from "./facts.ts";
import type { Direction, NetworkPolicy, PeerSelector, Policy, PolicyRule, PortInterval } from "./types.ts";

const LAST_PORT = 65_535;

/** Collects what is wrong, in the API's words for the place. */
type Report = (problem: string) => void;

export function parsePolicy(object: Stored<NetworkPolicy>): Policy {
  const problems: string[] = [];
  const report: Report = (problem) => problems.push(problem);
  const spec: NetworkPolicySpec = object.spec ?? { podSelector: {} };
  const isolates = directionsOf(spec);
  const rules = [
    ...(spec.ingress ?? []).map((rule, index) => parseRule({ direction: "ingress", index, peers: rule.from, ports: rule.ports }, report)),
    ...(spec.egress ?? []).map((rule, index) => parseRule({ direction: "egress", index, peers: rule.to, ports: rule.ports }, report)),
  ].filter(({ direction }) => isolates.includes(direction));
  return {
    key: keyOf(object),
    namespace: object.metadata.namespace ?? "",
    subjects: parseSubjects(spec, report),
    isolates,
    rules,
    problems,
    spec,
  };
}

/** `policyTypes` counts where it is given; without it ingress, and egress where there is an egress rule (networking/v1 types.go). */
function directionsOf({ policyTypes = [], egress = [] }: NetworkPolicySpec): Direction[] {
  const types = policyTypes.length > 0 ? policyTypes : egress.length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
  return (["ingress", "egress"] as const).filter((direction) => types.some((type) => type.toLowerCase() === direction));
}

/** One that cannot be understood selects all pods of the namespace: rather too closed than open. */
function parseSubjects({ podSelector }: NetworkPolicySpec, report: Report): Policy["subjects"] {
  try {
    return selectorOf(podSelector ?? {}) ?? [];
  } catch (err) {
    report(`spec.podSelector: ${errorMessage(err)}`);
    return [];
  }
}

interface RawRule {
  readonly direction: Direction;
  readonly index: number;
  readonly peers: readonly NetworkPolicyPeer[] | undefined;
  readonly ports: readonly NetworkPolicyPort[] | undefined;
}

function parseRule({ direction, index, peers = [], ports = [] }: RawRule, report: Report): PolicyRule {
  const at = `spec.${direction}[${index}]`;
  return {
    direction,
    index,
    peers: peers.length === 0 ? undefined : parsePeers(peers, at, report),
    ports: ports.length === 0 ? undefined : parsePorts(ports, at, report),
  };
}

/** What one entry of `from` or `to` says. */
export type PeerTerm =
  | { readonly kind: "pods"; readonly selector: PeerSelector }
  | { readonly kind: "block"; readonly block: Block }
  | { readonly kind: "nothing"; readonly problem: string };

export function parsePeer({ ipBlock, podSelector, namespaceSelector }: NetworkPolicyPeer): PeerTerm {
  try {
    if (ipBlock !== undefined) return { kind: "block", block: parseBlock(ipBlock) };
    if (podSelector === undefined && namespaceSelector === undefined) return { kind: "nothing", problem: "is empty, and matches nothing" };
    return { kind: "pods", selector: { pods: selectorOf(podSelector ?? {}) ?? [], namespaces: selectorOf(namespaceSelector) } };
  } catch (err) {
    return { kind: "nothing", problem: `matches nothing: ${errorMessage(err)}` };
  }
}

function parsePeers(peers: readonly NetworkPolicyPeer[], at: string, report: Report): NonNullable<PolicyRule["peers"]> {
  const selectors: PeerSelector[] = [];
  const blocks: Block[] = [];
  for (const [i, peer] of peers.entries()) {
    const term = parsePeer(peer);
    if (term.kind === "pods") selectors.push(term.selector);
    else if (term.kind === "block") blocks.push(term.block);
    else report(`${at}: peer ${i} ${term.problem}`);
  }
  return { selectors, blocks: blocks.length === 0 ? undefined : { 4: decompose(blocks, 4), 6: decompose(blocks, 6) } };
}

function parseBlock({ cidr, except = [] }: NonNullable<NetworkPolicyPeer["ipBlock"]>): Block {
  const parse = (text: string): Block["cidr"] => {
    const prefix = parseCidr(text);
    if (prefix === undefined) throw new TypeError(`"${text}" is not an address block`);
    return prefix;
  };
  return { cidr: parse(cidr), except: except.map(parse) };
}

/** What one entry of `ports` says. */
export type PortTerm =
  | { readonly kind: "numbers"; readonly interval: PortInterval }
  | { readonly kind: "name"; readonly protocol: number; readonly name: string }
  | { readonly kind: "nothing"; readonly problem: string };

export function parsePort({ protocol: protocolName, port, endPort }: NetworkPolicyPort): PortTerm {
  const protocol = protocolNumber(protocolName);
  if (protocol === undefined) return { kind: "nothing", problem: `protocol "${protocolName}" is not TCP, UDP or SCTP` };
  if (port === undefined) return { kind: "numbers", interval: { protocol, first: 0, last: LAST_PORT } };
  if (typeof port === "string") return { kind: "name", protocol, name: port };
  if (endPort !== undefined && endPort < port) return { kind: "nothing", problem: `endPort ${endPort} is below port ${port}` };
  return { kind: "numbers", interval: { protocol, first: port, last: endPort ?? port } };
}

function parsePorts(ports: readonly NetworkPolicyPort[], at: string, report: Report): NonNullable<PolicyRule["ports"]> {
  const numbers: PortInterval[] = [];
  const names: { name: string; protocol: number }[] = [];
  for (const [i, port] of ports.entries()) {
    const term = parsePort(port);
    if (term.kind === "numbers") numbers.push(term.interval);
    else if (term.kind === "name") names.push({ protocol: term.protocol, name: term.name });
    else report(`${at}: port ${i} matches nothing: ${term.problem}`);
  }
  return { numbers: mergePorts(numbers), names };
}

/** Sorted, with what overlaps or touches made one. */
export function mergePorts(intervals: readonly PortInterval[]): PortInterval[] {
  const out: PortInterval[] = [];
  for (const interval of intervals.toSorted((a, b) => a.protocol - b.protocol || a.first - b.first)) {
    const before = out.at(-1);
    if (before === undefined || before.protocol !== interval.protocol || interval.first > before.last + 1) out.push(interval);
    else if (interval.last > before.last) out[out.length - 1] = { ...before, last: interval.last };
  }
  return out;
}
