// From a ClusterNetworkPolicy to what it means. Pure.
//
// Nothing here throws. A rule with a part that cannot be understood fails closed, as the API asks of it for peers without a known field
// (clusternetworkpolicy_types.go): an Accept matches nothing, a Deny or a Pass denies everything. We do the same for ports and actions.
import { errorMessage } from "#base";
import {
  type ClusterNetworkPolicy,
  type ClusterNetworkPolicyPeer,
  type ClusterNetworkPolicyPort,
  type ClusterNetworkPolicyProtocol,
  type NamespacedPods,
  type Stored,
  selectorOf,
} from "#kube";
import { SCTP, TCP, UDP } from "#nft";
import { type Block, decompose, parseCidr } from "./blocks.ts";
import type { ClusterAction, ClusterPeers, ClusterPolicy, ClusterRule, NamespacedPodSelector } from "./cluster-types.ts";
import { mergePorts } from "./parse.ts";
import type { Direction, PortInterval } from "./types.ts";

const MAX_PRIORITY = 1000;
const LAST_PORT = 65_535;

/** Collects what is wrong, in the API's words for the place. */
type Report = (problem: string) => void;

/** Cannot be understood. */
class Unknown extends TypeError {}

export function parseClusterPolicy({ metadata, spec }: Stored<ClusterNetworkPolicy>): ClusterPolicy {
  const problems: string[] = [];
  const report: Report = (problem) => problems.push(problem);
  const rules = (direction: Direction, raw: readonly RawRule[] | undefined): ClusterRule[] =>
    listOf(raw).map((rule, index) => parseRule({ ...rule, direction, index }, report));
  return {
    name: metadata.name,
    ...parsePlace(spec, report),
    subjects: parseSubjects(spec?.subject, report),
    rules: [...rules("ingress", spec?.ingress), ...rules("egress", spec?.egress)],
    problems,
    spec,
  };
}

/** Before b: negative. The API leaves the order of two with one tier and priority open: ours is by name. */
export function compareClusterPolicies(a: ClusterPolicyPlace, b: ClusterPolicyPlace): number {
  if (a.tier !== b.tier) return a.tier === "admin" ? -1 : 1;
  return a.priority - b.priority || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

type ClusterPolicyPlace = Pick<ClusterPolicy, "tier" | "priority" | "name">;

/** Of what was not checked by an API server, too. */
function listOf<T>(value: readonly T[] | null | undefined): readonly T[] {
  return Array.isArray(value) ? value : [];
}

/** Whatever it is. */
function shown(value: unknown): string {
  return JSON.stringify(value) ?? "nothing";
}

/** A tier that we do not know is asked first: what it denies is denied. */
function parsePlace(spec: ClusterNetworkPolicy["spec"], report: Report): Pick<ClusterPolicy, "tier" | "priority"> {
  const { tier, priority } = spec ?? {};
  if (tier !== "Admin" && tier !== "Baseline") report(`spec.tier: ${shown(tier)} is not Admin or Baseline, and counts as Admin`);
  const isNumber = typeof priority === "number" && priority >= 0 && priority <= MAX_PRIORITY;
  if (!isNumber) report(`spec.priority: ${shown(priority)} is not between 0 and ${MAX_PRIORITY}, and counts as 0`);
  return { tier: tier === "Baseline" ? "baseline" : "admin", priority: isNumber ? priority : 0 };
}

/** Those that cannot be understood are nobody: who selects all would open to all what the policy accepts. */
function parseSubjects(
  subject: NonNullable<ClusterNetworkPolicy["spec"]>["subject"] | undefined,
  report: Report,
): ClusterPolicy["subjects"] {
  try {
    const selector = parseSelector(subject ?? {});
    if (selector !== undefined) return selector;
    report("spec.subject: has neither namespaces nor pods, and selects nobody");
  } catch (err) {
    report(`spec.subject: selects nobody: ${errorMessage(err)}`);
  }
  return undefined;
}

function parseSelector({
  namespaces,
  pods,
}: {
  namespaces?: ClusterNetworkPolicyPeer["namespaces"];
  pods?: NamespacedPods;
}): NamespacedPodSelector | undefined {
  if (pods) return { namespaces: selectorOf(pods.namespaceSelector ?? {}) ?? [], pods: selectorOf(pods.podSelector ?? {}) ?? [] };
  return namespaces ? { namespaces: selectorOf(namespaces) ?? [], pods: [] } : undefined;
}

interface RawRule {
  readonly name?: string;
  readonly action: string;
  readonly from?: readonly ClusterNetworkPolicyPeer[];
  readonly to?: readonly ClusterNetworkPolicyPeer[];
  readonly protocols?: readonly ClusterNetworkPolicyProtocol[];
}

interface PlacedRule extends RawRule {
  readonly direction: Direction;
  readonly index: number;
}

const ACTIONS: ReadonlyMap<string, ClusterAction> = new Map([
  ["Accept", "accept"],
  ["Deny", "deny"],
  ["Pass", "pass"],
]);

const NOBODY: ClusterPeers = { selectors: [], blocks: undefined, nodes: [], domains: [] };

function parseRule({ direction, index, name, action, from, to, protocols }: PlacedRule, report: Report): ClusterRule {
  const at = `spec.${direction}[${index}]`;
  const place = { direction, index, name };
  try {
    const known = ACTIONS.get(action);
    if (known === undefined) throw new Unknown(`the action ${shown(action)} is not Accept, Deny or Pass`);
    const rule = {
      ...place,
      action: known,
      peers: parsePeers(direction, listOf(direction === "ingress" ? from : to)),
      ports: listOf(protocols).length === 0 ? undefined : parseProtocols(listOf(protocols)),
    };
    if (rule.peers.domains.length > 0) {
      if (known !== "accept") throw new Unknown("domainNames are for Accept only");
      report(`${at}: domainNames match nothing: names are not enforced`);
    }
    return rule;
  } catch (err) {
    const isAccept = action === "Accept";
    report(`${at}: ${isAccept ? "accepts nothing" : "denies everything"}: ${errorMessage(err)}`);
    return { ...place, action: isAccept ? "accept" : "deny", peers: isAccept ? NOBODY : undefined, ports: undefined };
  }
}

/** Throws where there is none, and for one without a known field. */
function parsePeers(direction: Direction, peers: readonly ClusterNetworkPolicyPeer[]): ClusterPeers {
  if (peers.length === 0) throw new Unknown("it has no peers");
  const selectors: NamespacedPodSelector[] = [];
  const blocks: Block[] = [];
  const nodes: ClusterPeers["nodes"][number][] = [];
  const domains: string[] = [];
  for (const [i, peer] of peers.entries()) {
    const selector = parseSelector(peer);
    if (selector !== undefined) selectors.push(selector);
    else if (direction === "ingress") throw new Unknown(`peer ${i} has neither namespaces nor pods`);
    else if (peer.nodes) nodes.push(selectorOf(peer.nodes) ?? []);
    else if (peer.networks) blocks.push(...peer.networks.map(parseNetwork));
    else if (peer.domainNames) domains.push(...peer.domainNames.map((name) => name.toLowerCase().replace(/\.$/, "")));
    else throw new Unknown(`peer ${i} has none of namespaces, pods, nodes, networks and domainNames`);
  }
  return { selectors, blocks: blocks.length === 0 ? undefined : { 4: decompose(blocks, 4), 6: decompose(blocks, 6) }, nodes, domains };
}

function parseNetwork(text: string): Block {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Unknown(`"${text}" is not an address block`);
  return { cidr, except: [] };
}

function parseProtocols(protocols: readonly ClusterNetworkPolicyProtocol[]): NonNullable<ClusterRule["ports"]> {
  const numbers: PortInterval[] = [];
  const names: { name: string; protocol: number }[] = [];
  for (const [i, { tcp, udp, sctp, destinationNamedPort: name }] of protocols.entries()) {
    const own: readonly (readonly [number, typeof tcp])[] = [
      [TCP, tcp],
      [UDP, udp],
      [SCTP, sctp],
    ];
    const [given] = own.filter(([, value]) => value);
    if (given !== undefined) numbers.push({ protocol: given[0], ...parsePort(given[1]?.destinationPort, i) });
    else if (name) names.push(...own.map(([protocol]) => ({ name, protocol })));
    else throw new Unknown(`protocol ${i} has none of tcp, udp, sctp and destinationNamedPort`);
  }
  return { numbers: mergePorts(numbers), names };
}

function parsePort(port: ClusterNetworkPolicyPort | undefined, i: number): Pick<PortInterval, "first" | "last"> {
  const { number, range } = port ?? {};
  const isPort = (value: unknown): value is number => typeof value === "number" && value >= 1 && value <= LAST_PORT;
  if (isPort(number)) return { first: number, last: number };
  if (range && isPort(range.start) && isPort(range.end) && range.start <= range.end) return { first: range.start, last: range.end };
  throw new Unknown(`protocol ${i} has no port that can be understood`);
}
