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

function parsePeers(peers: readonly NetworkPolicyPeer[], at: string, report: Report): NonNullable<PolicyRule["peers"]> {
  const selectors: PeerSelector[] = [];
  const blocks: Block[] = [];
  for (const [i, { ipBlock, podSelector, namespaceSelector }] of peers.entries()) {
    try {
      if (ipBlock !== undefined) blocks.push(parseBlock(ipBlock));
      else if (podSelector !== undefined || namespaceSelector !== undefined) {
        selectors.push({ pods: selectorOf(podSelector ?? {}) ?? [], namespaces: selectorOf(namespaceSelector) });
      } else report(`${at}: peer ${i} is empty, and matches nothing`);
    } catch (err) {
      report(`${at}: peer ${i} matches nothing: ${errorMessage(err)}`);
    }
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

function parsePorts(ports: readonly NetworkPolicyPort[], at: string, report: Report): NonNullable<PolicyRule["ports"]> {
  const numbers: PortInterval[] = [];
  const names: { name: string; protocol: number }[] = [];
  for (const [i, { protocol: protocolName, port, endPort }] of ports.entries()) {
    const protocol = protocolNumber(protocolName);
    if (protocol === undefined) report(`${at}: port ${i} matches nothing: protocol "${protocolName}" is not TCP, UDP or SCTP`);
    else if (port === undefined) numbers.push({ protocol, first: 0, last: LAST_PORT });
    else if (typeof port === "string") names.push({ protocol, name: port });
    else if (endPort !== undefined && endPort < port) report(`${at}: port ${i} matches nothing: endPort ${endPort} is below port ${port}`);
    else numbers.push({ protocol, first: port, last: endPort ?? port });
  }
  return { numbers: mergePorts(numbers), names };
}

function mergePorts(intervals: readonly PortInterval[]): PortInterval[] {
  const out: PortInterval[] = [];
  for (const interval of intervals.toSorted((a, b) => a.protocol - b.protocol || a.first - b.first)) {
    const before = out.at(-1);
    if (before === undefined || before.protocol !== interval.protocol || interval.first > before.last + 1) out.push(interval);
    else if (interval.last > before.last) out[out.length - 1] = { ...before, last: interval.last };
  }
  return out;
}
