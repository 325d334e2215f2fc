// What edits open besides: every pair of pods whose answer may change, before and after. Pure.
//
// Pods of which no policy could tell one from the other are one class, and pairs of classes are judged: replicas cost nothing.
import type { Addr, Family } from "#ip";
import { allowedPorts, type Ends } from "./allowed-ports.ts";
import { clusterSteps, matchesClusterPeer } from "./cluster-decide.ts";
import { applyEdits } from "./edits.ts";
import type { Edit, Flow, FlowEnd, Opened, World } from "./judge-types.ts";
import { isolatingPolicies, matchesPeer } from "./match.ts";
import { type PodClass, podClasses } from "./pod-classes.ts";
import { isEmptyPorts, NO_PORTS, type PortSet, portSet, subtractPorts } from "./port-sets.ts";
import { termsOf } from "./terms.ts";
import type { Direction, PodFacts } from "./types.ts";

const FAMILIES: readonly Family[] = [4, 6];

/** Without `flow` itself, in either family. Exact over the pods of the cluster that have addresses of their own. */
export function openedBy(world: World, edits: readonly Edit[], flow?: Flow): Opened[] {
  const after = applyEdits(world, edits);
  const opened = new Map<string, Opened>();
  for (const [from, to] of affectedPairs(world, after, edits)) {
    for (const family of FAMILIES) {
      const difference = differenceOf([world, after], examplesOf(world, from, to), family);
      if (!isEmptyPorts(difference)) noteAll(opened, { from, to, family, difference, flow });
    }
  }
  return [...opened.values()].toSorted((a, b) => compare(a.from, b.from) || compare(a.to, b.to));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

interface Difference {
  readonly from: PodClass;
  readonly to: PodClass;
  readonly family: Family;
  readonly difference: PortSet;
  readonly flow: Flow | undefined;
}

function noteAll(opened: Map<string, Opened>, { from, to, family, difference, flow }: Difference): void {
  for (const a of from.keys) {
    for (const b of to.keys) {
      if (a === b) continue;
      const isAsked = flow !== undefined && flow.from.pod?.key === a && flow.to.pod?.key === b;
      note(opened, isAsked ? subtractPorts(difference, portsOfFlow(flow)) : difference, { from: a, to: b, family });
    }
  }
}

function portsOfFlow({ protocol, port }: Flow): PortSet {
  return port === undefined ? { ...NO_PORTS, other: true } : portSet([{ protocol, first: port, last: port }]);
}

function note(opened: Map<string, Opened>, { ranges, other }: PortSet, at: { from: string; to: string; family: Family }): void {
  const put = (protocol: Opened["protocol"], first: number, last: number): void => {
    const key = [at.from, at.to, protocol, first, last].join(" ");
    const before = opened.get(key);
    opened.set(key, { from: at.from, to: at.to, families: [...(before?.families ?? []), at.family], protocol, first, last });
  };
  for (const [protocol, own] of ranges) for (const { first, last } of own) put(protocol, first, last);
  if (other) put("other", 0, 0);
}

function differenceOf([before, after]: readonly [World, World], [from, to]: readonly [PodFacts, PodFacts], family: Family): PortSet {
  const ends = (world: World): Ends | undefined => {
    const [a, b] = [endOf(world, from, family), endOf(world, to, family)];
    return a === undefined || b === undefined ? undefined : { from: a, to: b };
  };
  const [then, now] = [ends(before), ends(after)];
  return then === undefined || now === undefined ? NO_PORTS : subtractPorts(allowedPorts(after, now), allowedPorts(before, then));
}

function endOf({ cluster }: World, { key }: PodFacts, family: Family): FlowEnd | undefined {
  const pod = cluster.pods.get(key);
  const addr: Addr | undefined = pod?.addrs.find((own) => own.family === family);
  return pod === undefined || addr === undefined ? undefined : { pod, addr };
}

type Pair = readonly [PodClass, PodClass];

/** Two pods wherever there are two: what a pod says to itself is not judged. */
function examplesOf({ cluster }: World, from: PodClass, to: PodClass): readonly [PodFacts, PodFacts] {
  const another = from === to ? cluster.pods.get(to.keys[1] ?? "") : undefined;
  return [from.example, another ?? to.example];
}

/** Of a rule, what its policy's pods may do with those that the rule is about; of a label, what its pods may do and what others may with them. */
function affectedPairs(world: World, after: World, edits: readonly Edit[]): Set<Pair> {
  const classes = podClasses(world, after);
  const pairs = new Map<string, Pair>();
  const add = (from: PodClass, to: PodClass): unknown => pairs.set(`${from.id} ${to.id}`, [from, to]);
  for (const edit of edits) {
    if (edit.kind === "insert") {
      for (const [own, other] of pairsOfRule([world, after], classes, edit)) {
        if (directionOf(edit) === "ingress") add(other, own);
        else add(own, other);
      }
      continue;
    }
    const isRelabelled = ({ example: { key, namespace } }: PodClass): boolean => (edit.object === "Pod" ? key : namespace) === edit.name;
    for (const own of classes.filter(isRelabelled)) {
      for (const other of classes) {
        add(own, other);
        add(other, own);
      }
    }
  }
  return new Set(pairs.values());
}

type Insert = Extract<Edit, { kind: "insert" }>;

function directionOf({ path }: Insert): Direction {
  return path.startsWith("spec.egress") ? "egress" : "ingress";
}

/** Subjects of the policy, and those that its changed rule is about. */
function pairsOfRule([world, after]: readonly [World, World], classes: readonly PodClass[], edit: Insert): Pair[] {
  const isSubject = ({ example }: PodClass): boolean => [world, after].some((one) => isSubjectOf(one, example, edit));
  const isAbout = ({ example }: PodClass): boolean => FAMILIES.some((family) => isAboutEnd(after, edit, endOf(after, example, family)));
  const others = classes.filter(isAbout);
  return classes.filter(isSubject).flatMap((own) => others.map((other): Pair => [own, other]));
}

function isSubjectOf(world: World, { key }: PodFacts, edit: Insert): boolean {
  const pod = world.cluster.pods.get(key);
  const direction = directionOf(edit);
  if (pod === undefined) return false;
  if (edit.policy.kind === "NetworkPolicy")
    return isolatingPolicies(world, pod, direction).some((policy) => policy.key === edit.policy.key);
  const tiers = ["admin", "baseline"] as const;
  return tiers.some((tier) => clusterSteps(world, pod, { tier, direction }).some(({ policy }) => policy.name === edit.policy.key));
}

function isAboutEnd(after: World, { policy: { kind, key }, path }: Insert, end: FlowEnd | undefined): boolean {
  if (end === undefined) return false;
  const [, direction = "", index = ""] = /^spec\.(ingress|egress)\[(\d+)\]/.exec(path) ?? [];
  const isChanged = (rule: { readonly direction: Direction; readonly index: number }): boolean =>
    rule.direction === direction && rule.index === Number(index);
  if (kind === "ClusterNetworkPolicy") {
    const rules = after.clusterPolicies?.find(({ name }) => name === key)?.rules.filter(isChanged) ?? [];
    return rules.some((rule) => matchesClusterPeer(after, rule, end));
  }
  const policy = after.policies.get(key.split("/")[0] ?? "")?.get(key);
  if (policy === undefined) return false;
  return termsOf(policy)
    .filter(isChanged)
    .some(({ peers }) => peers?.some((term) => matchesPeer(after, policy, term, end)) ?? true);
}
