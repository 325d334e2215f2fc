// One direction of a flow: allowed or not, and by what. Pure.
import { formatParsedSelector, type LabelRequirement, type Labels } from "#kube";
import { clusterPlace, firstOf } from "./cluster-decide.ts";
import type { Decision, Flow, Isolation, RulePlace, World } from "./judge-types.ts";
import { endsOf, isItself, isolatingPolicies, matchRule, type RuleMatch, subjectOf } from "./match.ts";
import { type RuleTerms, termsOf } from "./terms.ts";
import type { Direction, PodFacts, Policy } from "./types.ts";

export interface Decided {
  readonly direction: Direction;
  readonly subject: PodFacts | undefined;
  readonly allowed: boolean;
  readonly passedBy: readonly RulePlace[];
  readonly decidedBy: Decision;
  /** Those that isolate the subject in the direction. */
  readonly isolating: readonly Policy[];
}

export function decide(world: World, flow: Flow, direction: Direction): Decided {
  const { own, other } = endsOf(flow, direction);
  const subject = subjectOf(own);
  const isolating = subject === undefined ? [] : isolatingPolicies(world, subject, direction);
  const passedBy: RulePlace[] = [];
  const as = (allowed: boolean, decidedBy: Decision): Decided => ({ direction, subject, allowed, passedBy, decidedBy, isolating });
  if (subject === undefined) return as(true, { by: "not a pod" });
  if (isItself(flow)) return as(true, { by: "origin", because: "itself" });
  if (other.isOwnNode === true) return as(true, { by: "origin", because: "own node" });
  for (const tier of isolating.length === 0 ? (["admin", "baseline"] as const) : (["admin"] as const)) {
    const step = firstOf(world, flow, { tier, direction });
    if (step === undefined) continue;
    const place = clusterPlace(world, step, flow);
    if (step.rule.action !== "pass") return as(step.rule.action === "accept", { by: "rule", ...place });
    passedBy.push(place);
  }
  if (isolating.length === 0) return as(true, { by: "nothing isolates" });
  for (const policy of isolating) {
    for (const rule of termsOf(policy)) {
      const match = rule.direction === direction ? matchRule(world, policy, rule, flow) : undefined;
      if (match !== undefined) return as(true, { by: "rule", ...placeOf(policy, rule, match) });
    }
  }
  return as(false, { by: "default deny", policies: isolating.map(({ key }) => ({ kind: "NetworkPolicy", key })) });
}

/** The verdict alone. */
export function isAllowed(world: World, flow: Flow): boolean {
  return decide(world, flow, "egress").allowed && decide(world, flow, "ingress").allowed;
}

function placeOf({ key }: Policy, { index, path }: RuleTerms, { peer, port }: RuleMatch): RulePlace {
  return {
    policy: { kind: "NetworkPolicy", key },
    rule: index,
    ...(peer !== undefined && { peer: peer.index }),
    ...(port !== undefined && { port: port.index, portPath: port.path }),
    path: peer?.path ?? path,
  };
}

export function isolationsOf({ isolating, subject }: Decided): Isolation[] {
  return isolating.map(({ key, subjects }) => ({
    policy: { kind: "NetworkPolicy", key },
    path: "spec.podSelector",
    because: subjects.map((term) => ({ term: formatTerm(term), label: labelText(subject?.labels ?? {}, term.key) })),
  }));
}

export function formatTerm(term: LabelRequirement): string {
  return formatParsedSelector([term]);
}

/** `app=web`, or `no app`. */
export function labelText(labels: Labels, key: string): string {
  return Object.hasOwn(labels, key) ? `${key}=${labels[key]}` : `no ${key}`;
}
