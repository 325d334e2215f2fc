// What edits open besides: every pair of pods whose answer may change, before and after. Pure.
import { type Addr, addrEquals, type Family } from "#ip";
import { clusterPorts, clusterSteps, matchesClusterPeer } from "./cluster-decide.ts";
import { selectsPod } from "./cluster-select.ts";
import type { ClusterTier } from "./cluster-types.ts";
import { applyEdits } from "./edits.ts";
import type { Edit, Flow, FlowEnd, Opened, World } from "./judge-types.ts";
import { endsOf, isolatingPolicies, matchesPeer, portOfName, subjectOf } from "./match.ts";
import { EVERYTHING, intersectPorts, isEmptyPorts, NO_PORTS, type PortSet, portSet, subtractPorts, unionPorts } from "./port-sets.ts";
import { selects } from "./select.ts";
import { type RuleTerms, termsOf } from "./terms.ts";
import type { Direction, PodFacts, Policy } from "./types.ts";

type Ends = Pick<Flow, "from" | "to">;

/** All ports at which the one end may reach the other. */
export function allowedPorts(world: World, ends: Ends): PortSet {
  return intersectPorts(portsOfDirection(world, ends, "egress"), portsOfDirection(world, ends, "ingress"));
}

function portsOfDirection(world: World, ends: Ends, direction: Direction): PortSet {
  const { own, other } = endsOf({ ...ends, protocol: 0 }, direction);
  const subject = subjectOf(own);
  if (subject === undefined || addrEquals(own.addr, other.addr) || other.isOwnNode === true) return EVERYTHING;
  const admin = askTier(world, ends, { tier: "admin", direction }, EVERYTHING);
  if (isEmptyPorts(admin.open)) return admin.accepted;
  const isolating = isolatingPolicies(world, subject, direction);
  if (isolating.length > 0)
    return unionPorts(admin.accepted, intersectPorts(admin.open, portsOfPolicies(world, ends, { isolating, direction })));
  const baseline = askTier(world, ends, { tier: "baseline", direction }, admin.open);
  return unionPorts(admin.accepted, unionPorts(baseline.accepted, baseline.open));
}

/** `open`: what the tier leaves to those after it. */
function askTier(
  world: World,
  ends: Ends,
  at: { readonly tier: ClusterTier; readonly direction: Direction },
  asked: PortSet,
): { readonly accepted: PortSet; readonly open: PortSet } {
  const { own, other } = endsOf({ ...ends, protocol: 0 }, at.direction);
  let [rest, accepted, passed] = [asked, NO_PORTS, NO_PORTS];
  for (const step of own.pod === undefined ? [] : clusterSteps(world, own.pod, at)) {
    if (!matchesClusterPeer(world, step.rule, other)) continue;
    const ports = intersectPorts(rest, clusterPorts(world, step, ends.to));
    rest = subtractPorts(rest, ports);
    if (step.rule.action === "accept") accepted = unionPorts(accepted, ports);
    if (step.rule.action === "pass") passed = unionPorts(passed, ports);
  }
  return { accepted, open: unionPorts(rest, passed) };
}

function portsOfPolicies(
  world: World,
  ends: Ends,
  { isolating, direction }: { readonly isolating: readonly Policy[]; readonly direction: Direction },
): PortSet {
  const { other } = endsOf({ ...ends, protocol: 0 }, direction);
  let ports = NO_PORTS;
  for (const policy of isolating) {
    for (const rule of termsOf(policy)) {
      if (rule.direction !== direction) continue;
      const isPeer = rule.peers?.some((term) => matchesPeer(world, policy, term, other)) ?? true;
      if (isPeer) ports = unionPorts(ports, portsOfRule(rule, ends.to));
    }
  }
  return ports;
}

function portsOfRule({ ports }: RuleTerms, destination: FlowEnd): PortSet {
  if (ports === undefined) return EVERYTHING;
  return portSet(
    ports.flatMap((term) => {
      if (term.kind === "nothing") return [];
      if (term.kind === "numbers") return [term.interval];
      const port = portOfName(term, destination);
      return port === undefined ? [] : [{ protocol: term.protocol, first: port, last: port }];
    }),
  );
}

/** Without `flow` itself, in either family. Exact over the pods of the cluster that have addresses of their own. */
export function openedBy(world: World, edits: readonly Edit[], flow?: Flow): Opened[] {
  const after = applyEdits(world, edits);
  const opened = new Map<string, Opened>();
  const asked = flow === undefined ? undefined : portsOfFlow(flow);
  for (const [fromKey, toKey] of affectedPairs(world, after, edits)) {
    for (const family of [4, 6] as const) {
      const difference = differenceOf([world, after], [fromKey, toKey], family);
      const isAsked = flow?.from.pod?.key === fromKey && flow.to.pod?.key === toKey && asked !== undefined;
      note(opened, isAsked ? subtractPorts(difference, asked) : difference, { from: fromKey, to: toKey, family });
    }
  }
  return [...opened.values()].toSorted((a, b) => compare(a.from, b.from) || compare(a.to, b.to));
}

function portsOfFlow({ protocol, port }: Flow): PortSet {
  return port === undefined ? { ...NO_PORTS, other: true } : portSet([{ protocol, first: port, last: port }]);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function differenceOf([before, after]: readonly [World, World], [from, to]: readonly [string, string], family: Family): PortSet {
  const ends = (world: World): Ends | undefined => {
    const [a, b] = [endOf(world, from, family), endOf(world, to, family)];
    return a === undefined || b === undefined ? undefined : { from: a, to: b };
  };
  const [then, now] = [ends(before), ends(after)];
  return then === undefined || now === undefined ? NO_PORTS : subtractPorts(allowedPorts(after, now), allowedPorts(before, then));
}

function endOf({ cluster }: World, key: string, family: Family): FlowEnd | undefined {
  const pod = cluster.pods.get(key);
  const addr: Addr | undefined = pod?.addrs.find((own) => own.family === family);
  return pod === undefined || addr === undefined ? undefined : { pod, addr };
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

/** Of a rule only what its policy's own pods may do changes; of a label, what its pods may do and what others may with them. */
function* affectedPairs(world: World, after: World, edits: readonly Edit[]): Generator<readonly [string, string]> {
  const pods = [...world.cluster.pods.values()].filter(({ isPeer }) => isPeer);
  const changed = new Set(edits.flatMap((edit) => pods.filter((pod) => isAffected(world, after, edit, pod)).map(({ key }) => key)));
  for (const from of pods) {
    for (const to of pods) if (from.key !== to.key && (changed.has(from.key) || changed.has(to.key))) yield [from.key, to.key];
  }
}

function isAffected(world: World, after: World, edit: Edit, pod: PodFacts): boolean {
  if (edit.kind === "label") return edit.object === "Pod" ? pod.key === edit.name : pod.namespace === edit.name;
  const relabelled = after.cluster.pods.get(pod.key) ?? pod;
  if (edit.policy.kind === "ClusterNetworkPolicy") {
    const own = after.clusterPolicies?.find(({ name }) => name === edit.policy.key);
    const selected = (of: World, one: PodFacts): boolean => own !== undefined && selectsPod(own, one, of.cluster.namespaces);
    return selected(world, pod) || selected(after, relabelled);
  }
  const policyNow = after.policies.get(pod.namespace)?.get(edit.policy.key);
  return policyNow !== undefined && world.policies.has(pod.namespace) && (selects(policyNow, pod) || selects(policyNow, relabelled));
}
