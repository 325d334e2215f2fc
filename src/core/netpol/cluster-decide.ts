// What the tiers around the NetworkPolicies say of a flow. Pure.
import { addrEquals, compareAddrs } from "#ip";
import type { Interval } from "#nft";
import { compareClusterPolicies, parseClusterPolicy } from "./cluster-parse.ts";
import { countsForClusterNames, isClusterPeer, isNodePeer, selectsPod } from "./cluster-select.ts";
import type { ClusterPolicy, ClusterRule, ClusterTier } from "./cluster-types.ts";
import type { Flow, FlowEnd, RulePlace, World } from "./judge-types.ts";
import { endsOf, subjectOf } from "./match.ts";
import type { PortSet } from "./port-sets.ts";
import { EVERYTHING, portSet } from "./port-sets.ts";
import { peerField } from "./terms.ts";
import type { Direction, PodFacts } from "./types.ts";

export interface ClusterStep {
  readonly policy: ClusterPolicy;
  readonly rule: ClusterRule;
}

/** The rules that are about the pod in the direction, in the order in which they are asked. */
export function clusterSteps(
  world: World,
  subject: PodFacts,
  { tier, direction }: { tier: ClusterTier; direction: Direction },
): ClusterStep[] {
  const own = (world.clusterPolicies ?? []).filter(
    (policy) => policy.tier === tier && selectsPod(policy, subject, world.cluster.namespaces),
  );
  return own
    .toSorted(compareClusterPolicies)
    .flatMap((policy) => policy.rules.filter((rule) => rule.direction === direction).map((rule) => ({ policy, rule })));
}

export function matchesClusterPeer(world: World, { peers, ...rule }: ClusterRule, end: FlowEnd): boolean {
  if (peers === undefined) return true;
  const pod = subjectOf(end);
  if (pod !== undefined && isClusterPeer({ ...rule, peers }, pod, world.cluster.namespaces)) return true;
  if (peers.blocks?.[end.addr.family].some((interval) => isWithin(interval, end)) === true) return true;
  const nodes = [...(world.cluster.nodes?.values() ?? [])].filter(({ addrs }) => addrs.some((addr) => addrEquals(addr, end.addr)));
  return nodes.some((node) => isNodePeer({ ...rule, peers }, node));
}

function isWithin({ first, last }: Interval, { addr }: FlowEnd): boolean {
  if (typeof first !== "object" || !("family" in first) || typeof last !== "object" || !("family" in last)) return false;
  return compareAddrs(first, addr) <= 0 && compareAddrs(addr, last) <= 0;
}

/** The ports that the rule is about at the destination. */
export function clusterPorts(world: World, { policy, rule }: ClusterStep, destination: FlowEnd): PortSet {
  if (rule.ports === undefined) return EVERYTHING;
  const pod = subjectOf(destination);
  const counts = pod !== undefined && countsForClusterNames(policy, rule, pod, world.cluster.namespaces);
  const named = rule.ports.names.flatMap(({ name, protocol }) => {
    const port = counts ? pod.ports.find((own) => own.name === name && own.protocol === protocol)?.port : undefined;
    return port === undefined ? [] : [{ protocol, first: port, last: port }];
  });
  return portSet([...rule.ports.numbers, ...named]);
}

function isAbout(world: World, step: ClusterStep, flow: Flow): boolean {
  const { other } = endsOf(flow, step.rule.direction);
  if (!matchesClusterPeer(world, step.rule, other)) return false;
  const { ranges, other: isOther } = clusterPorts(world, step, flow.to);
  const own = ranges.get(flow.protocol);
  const { port } = flow;
  if (port === undefined) return step.rule.ports === undefined && isOther;
  return own === undefined ? isOther : own.some(({ first, last }) => first <= port && port <= last);
}

/** The first rule of the tier that is about the flow. */
export function firstOf(world: World, flow: Flow, at: { tier: ClusterTier; direction: Direction }): ClusterStep | undefined {
  const subject = subjectOf(endsOf(flow, at.direction).own);
  return subject === undefined ? undefined : clusterSteps(world, subject, at).find((step) => isAbout(world, step, flow));
}

const TIERS = { admin: "Admin", baseline: "Baseline" } as const;
const ACTIONS = { accept: "Accept", deny: "Deny", pass: "Pass" } as const;

export function clusterPlace(world: World, { policy, rule }: ClusterStep, flow: Flow): RulePlace {
  const { direction, index, action } = rule;
  const path = `spec.${direction}[${index}]`;
  const field = peerField(direction);
  const isAboutOnly = (only: (raw: Entry) => Entry): boolean => {
    const entry = only(rawOf(policy, direction)[index] ?? {});
    const alone = parseAlone(policy, direction, entry);
    return alone !== undefined && isAbout(world, { policy, rule: alone }, flow);
  };
  const raw = rawOf(policy, direction)[index];
  const peer = indexWhere(rule.peers && raw?.[field], (one) => isAboutOnly((entry) => ({ ...entry, [field]: [one] })));
  const port = indexWhere(rule.ports && raw?.protocols, (one) => isAboutOnly((entry) => ({ ...entry, protocols: [one] })));
  return {
    policy: { kind: "ClusterNetworkPolicy", key: policy.name },
    tier: TIERS[policy.tier],
    action: ACTIONS[action],
    rule: index,
    ...(peer !== undefined && { peer }),
    ...(port !== undefined && { port, portPath: `${path}.protocols[${port}]` }),
    path: peer === undefined ? path : `${path}.${field}[${peer}]`,
  };
}

type Entry = Readonly<Record<string, unknown>> & { readonly from?: unknown; readonly to?: unknown; readonly protocols?: unknown };

function rawOf({ spec }: ClusterPolicy, direction: Direction): readonly Entry[] {
  const list: unknown = spec?.[direction];
  return Array.isArray(list) ? (list as readonly Entry[]) : [];
}

function indexWhere(list: unknown, matches: (entry: unknown) => boolean): number | undefined {
  const found = Array.isArray(list) ? list.findIndex(matches) : -1;
  return found === -1 ? undefined : found;
}

/** The rule as if it had only these entries. */
function parseAlone(policy: ClusterPolicy, direction: Direction, entry: Entry): ClusterRule | undefined {
  const metadata = { name: policy.name, uid: "", resourceVersion: "", creationTimestamp: "" };
  const spec = { ...policy.spec, ingress: [], egress: [], [direction]: [entry] } as unknown as NonNullable<ClusterPolicy["spec"]>;
  return parseClusterPolicy({ apiVersion: "policy.networking.k8s.io/v1alpha2", kind: "ClusterNetworkPolicy", metadata, spec }).rules[0];
}
