// Whether an entry of a rule is about one end of a flow, or about its port. Pure.
import { addrEquals, prefixContains } from "#ip";
import type { Flow, FlowEnd, World } from "./judge-types.ts";
import { isPeer, selects } from "./select.ts";
import type { Block, PeerTerm, Placed, PortTerm, RuleTerms } from "./terms.ts";
import type { Direction, PodFacts, Policy } from "./types.ts";

/** Policies are about pods with an address of their own. */
export function subjectOf(end: FlowEnd): PodFacts | undefined {
  return end.pod?.isPeer === true ? end.pod : undefined;
}

/** Whose policies count, and who is at the other end. */
export function endsOf(flow: Flow, direction: Direction): { readonly own: FlowEnd; readonly other: FlowEnd } {
  return direction === "egress" ? { own: flow.from, other: flow.to } : { own: flow.to, other: flow.from };
}

export function isItself({ from, to }: Pick<Flow, "from" | "to">): boolean {
  return addrEquals(from.addr, to.addr);
}

/** Sorted by key. */
export function isolatingPolicies(world: World, pod: PodFacts, direction: Direction): Policy[] {
  const own = [...(world.policies.get(pod.namespace)?.values() ?? [])];
  const isolating = own.filter((policy) => policy.isolates.includes(direction) && selects(policy, pod));
  return isolating.sort((a, b) => (a.key < b.key ? -1 : 1));
}

export function isInBlock({ cidr, except }: Block, end: FlowEnd): boolean {
  return prefixContains(cidr, end.addr) && !except.some((hole) => prefixContains(hole, end.addr));
}

export function matchesPeer(world: World, policy: Policy, term: PeerTerm, end: FlowEnd): boolean {
  if (term.kind === "block") return isInBlock(term.block, end);
  const pod = subjectOf(end);
  return term.kind === "pods" && pod !== undefined && isPeer(term.selector, policy.namespace, pod, world.cluster.namespaces);
}

/** The number that a name means at the destination; undefined where it has no such port. */
export function portOfName(term: Extract<PortTerm, { kind: "name" }>, destination: FlowEnd): number | undefined {
  return subjectOf(destination)?.ports.find(({ name, protocol }) => name === term.name && protocol === term.protocol)?.port;
}

export function matchesPort(term: PortTerm, { protocol, port, to }: Flow): boolean {
  if (term.kind === "nothing") return false;
  if (term.kind === "name") return term.protocol === protocol && port !== undefined && portOfName(term, to) === port;
  const { first, last } = term.interval;
  return term.interval.protocol === protocol && (port === undefined ? first === 0 && last === 65_535 : first <= port && port <= last);
}

export interface RuleMatch {
  readonly peer: Placed<PeerTerm> | undefined;
  readonly port: Placed<PortTerm> | undefined;
}

/** The first entries that allow it; undefined where the rule does not. */
export function matchRule(world: World, policy: Policy, rule: RuleTerms, flow: Flow): RuleMatch | undefined {
  const { other } = endsOf(flow, rule.direction);
  const peer = rule.peers?.find((term) => matchesPeer(world, policy, term, other));
  if (rule.peers !== undefined && peer === undefined) return undefined;
  const port = rule.ports?.find((term) => matchesPort(term, flow));
  return rule.ports !== undefined && port === undefined ? undefined : { peer, port };
}
