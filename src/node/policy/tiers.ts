// The tiers around the NetworkPolicies as chains: Admin before them, Baseline where none of them isolates. Pure.
//
// Pods that the same policies select share a chain, as with NetworkPolicies: what others are subject to costs their packets nothing. What is
// accepted returns to the hook's chain, where the other direction is judged; what is passed goes to the chain of what comes next.
import type { ClusterPolicy, ClusterRule, ClusterTier, Direction } from "#netpol";
import { type Chain, goto, hasFlags, type Rule, type Statement } from "#nft";
import { clusterComment, clusterRuleId } from "./compile-cluster-rule.ts";
import { type CompiledRule, digest } from "./compile-rule.ts";
import { refuse } from "./layout.ts";

export interface TierGroup {
  readonly chain: string;
  readonly direction: Direction;
  /** In the order in which they are asked. */
  readonly policies: readonly ClusterPolicy[];
  /** The chain of what comes after the tier; undefined where there is nothing. */
  readonly next: string | undefined;
}

/** The group of a pod that these policies of one tier select; `next` where none of them has a rule for the direction. */
export function tierGroup(
  { tier, direction, next }: { readonly tier: ClusterTier; readonly direction: Direction; readonly next: string | undefined },
  selecting: readonly ClusterPolicy[],
  versions: ReadonlyMap<string, number> | undefined,
): TierGroup | undefined {
  const policies = selecting.filter((policy) => policy.tier === tier && rulesFor(policy, direction).length > 0);
  if (policies.length === 0) return undefined;
  const content = policies.map((policy) => contentOf(policy, direction, versions)).join(" ");
  return { chain: `${direction}-${tier}-${digest(`${content} ${next ?? ""}`)}`, direction, policies, next };
}

const contents = new WeakMap<ClusterPolicy, Map<Direction, string>>();

/** See compile.ts: a chain is named by what it says. */
function contentOf(policy: ClusterPolicy, direction: Direction, versions: ReadonlyMap<string, number> | undefined): string {
  const own = contents.get(policy) ?? new Map<Direction, string>();
  contents.set(policy, own);
  let content = own.get(direction);
  if (content === undefined) {
    content = `${policy.name} ${digest(JSON.stringify([rulesFor(policy, direction), policy.subjects]))}`;
    own.set(direction, content);
  }
  if (versions === undefined || versions.size === 0) return content;
  return `${content} ${policy.rules.map((rule) => versions.get(clusterRuleId(policy, rule)) ?? 0).join(".")}`;
}

export function rulesFor(policy: ClusterPolicy, direction: Direction): ClusterRule[] {
  return policy.rules.filter((rule) => rule.direction === direction);
}

export function tierChain({ chain, direction, policies, next }: TierGroup, rules: ReadonlyMap<string, CompiledRule>): Chain {
  const toNext: Statement = next === undefined ? RETURN : goto(next);
  const out: Rule[] = [];
  let hasDenied = false;
  for (const policy of policies) {
    for (const rule of rulesFor(policy, direction)) {
      const id = clusterRuleId(policy, rule);
      const verdict = { accept: RETURN, deny: goto(denyChain(id)), pass: toNext }[rule.action];
      if (rule.action === "deny" && !hasDenied) {
        hasDenied = true;
        // Where there is no connection nobody can tell who is asking whom for what: it might be what is denied from here on.
        out.push({ statements: [hasFlags("state", "invalid", "untracked"), verdict], comment: clusterComment(policy, rule) });
      }
      for (const { statements, ...given } of rules.get(id)?.rules ?? []) out.push({ ...given, statements: [...statements, verdict] });
    }
  }
  return { name: chain, rules: next === undefined ? out : [...out, { statements: [toNext] }] };
}

const RETURN: Statement = { kind: "verdict", verdict: { kind: "return" } };

function denyChain(id: string): string {
  return `deny-${id}`;
}

/** Where the Deny rules of a group lead: who listens to refusals sees the rule by the name of its chain. */
export function denyChains({ direction, policies }: TierGroup): Chain[] {
  return policies.flatMap((policy) =>
    rulesFor(policy, direction).flatMap((rule): Chain[] => {
      const name = denyChain(clusterRuleId(policy, rule));
      return rule.action === "deny" ? [{ name, rules: refuse(name, clusterComment(policy, rule)) }] : [];
    }),
  );
}
