// Which rules nearly allow a flow, and what each lacks. Pure.

import type { Decided } from "./decide.ts";
import { type Broken, clusterFixOf, fixOf } from "./fixes.ts";
import type { Flow, Lack, NearMiss, RulePlace, World } from "./judge-types.ts";
import { type Missing, missingOfPeer, missingOfPort } from "./lacks.ts";
import { endsOf } from "./match.ts";
import { type Placed, type RuleTerms, termsOf } from "./terms.ts";
import type { Policy } from "./types.ts";
import { endText } from "./words.ts";

interface Candidate {
  readonly rank: number;
  readonly broken: Broken;
  readonly miss: NearMiss;
}

/** The nearest first; of as near ones by policy and rule. */
export function nearMissesOf(world: World, flow: Flow, decided: Decided, limit: number): NearMiss[] {
  const { isolating, direction } = decided;
  if (decided.decidedBy.by === "rule") return [deniedMiss(world, flow, decided, decided.decidedBy)];
  const candidates = isolating.flatMap((policy) => {
    const rules = termsOf(policy).filter((rule) => rule.direction === direction);
    return rules.length === 0 ? [emptyPolicy(policy, flow, decided)] : rules.map((rule) => nearRule(world, flow, { policy, rule }));
  });
  const nearest = candidates.toSorted((a, b) => a.rank - b.rank).slice(0, limit);
  return nearest.map(({ broken, miss }) => {
    const fix = fixOf(world, flow, broken);
    return fix === undefined ? miss : { ...miss, fix };
  });
}

/** A rule denies it: one before it that accepts would not. */
function deniedMiss(world: World, flow: Flow, { direction }: Decided, place: RulePlace): NearMiss {
  const { policy, path, action = "Deny", tier = "Admin" } = place;
  const actual = endText(endsOf(flow, direction).other);
  const text = `${tier} tier: ${policy.key} has ${action} for it at ${path}`;
  const fix = clusterFixOf(world, flow, { direction, place });
  const lacks: Lack[] = [{ what: "peer", expected: "an Accept or Pass before it", actual, path, text }];
  return { policy, path: `spec.${direction}[${place.rule}]`, matched: [], lacks, ...(fix !== undefined && { fix }) };
}

/** Less near than any rule that has one thing right. */
const EMPTY_RANK = 2;

function emptyPolicy(policy: Policy, flow: Flow, { direction }: Decided): Candidate {
  const actual = endText(endsOf(flow, direction).other);
  const path = `spec.${direction}`;
  const text = `it has no ${direction} rule`;
  return {
    rank: EMPTY_RANK,
    broken: { policy, direction, rule: undefined, peer: undefined, port: undefined },
    miss: {
      policy: { kind: "NetworkPolicy", key: policy.key },
      path,
      matched: [],
      lacks: [{ what: "peer", expected: "nobody", actual, path, text }],
    },
  };
}

function nearRule(world: World, flow: Flow, { policy, rule }: { policy: Policy; rule: RuleTerms }): Candidate {
  const { other } = endsOf(flow, rule.direction);
  const peer = best(rule.peers, (term) => missingOfPeer(world, policy, term, other));
  const port = best(rule.ports, (term) => missingOfPort(term, flow));
  const lacks = [...(peer?.missing.lacks ?? []), ...(port?.missing.lacks ?? [])];
  const isLacking = (found: typeof peer): Missing | undefined => ((found?.missing.lacks.length ?? 0) > 0 ? found?.missing : undefined);
  return {
    rank: lacks.length,
    broken: { policy, direction: rule.direction, rule, peer: isLacking(peer), port: isLacking(port) },
    miss: {
      policy: { kind: "NetworkPolicy", key: policy.key },
      path: rule.path,
      ...(peer !== undefined && { peer: peer.index }),
      ...(port !== undefined && { port: port.index }),
      matched: [...(peer?.missing.matched ?? []), ...(port?.missing.matched ?? [])],
      lacks,
    },
  };
}

/** The entry that lacks least; of as good ones that with the right protocol, then the first. */
function best<T extends Placed<object>>(
  terms: readonly T[] | undefined,
  look: (term: T) => Missing,
): { index: number; missing: Missing } | undefined {
  const cost = ({ lacks }: Missing): number => lacks.reduce((sum, { what }) => sum + (what === "protocol" ? 1.5 : 1), 0);
  const found = terms?.map((term) => ({ index: term.index, missing: look(term) }));
  return found?.reduce((a, b) => (cost(b.missing) < cost(a.missing) ? b : a));
}
