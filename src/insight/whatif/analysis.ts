// What of the policies does nothing: those that select nobody, peers that are nobody, rules that others make needless. Pure.
import type { Family } from "#ip";
import { formatParsedSelector } from "#kube";
import type { PolicyRef } from "#netpol";
import type { Partition } from "./atoms.ts";
import { policiesOf } from "./atoms.ts";
import { inOrder } from "./layers.ts";
import type { PortSet, PortSets } from "./ports.ts";
import type { Reach } from "./reach.ts";
import type { LayeredPolicy, LayeredRule, Term } from "./types.ts";

export interface Finding {
  readonly kind: "selects nobody" | "matches nobody" | "redundant" | "not understood";
  readonly policy: PolicyRef;
  /** `spec.ingress[0]`. */
  readonly path: string;
  readonly text: string;
}

const FAMILIES: readonly Family[] = [4, 6];
/** Subjects that are looked at for each rule: the first that needs it is enough, and most rules are needed. */
const SUBJECTS = 2000;

export function findingsOf(reach: Reach, partition: Partition, sets: PortSets): Finding[] {
  return inOrder(policiesOf(reach.matcher.world)).flatMap((policy): Finding[] => {
    const { ref, problems } = policy;
    const broken = problems.map((text): Finding => ({ kind: "not understood", policy: ref, path: text.split(":")[0] ?? "", text }));
    if (reach.matcher.subjects(policy).length === 0) {
      return [...broken, { kind: "selects nobody", policy: ref, path: "spec", text: "selects no pod: it does nothing" }];
    }
    return [...broken, ...policy.rules.flatMap((rule) => ruleFindings({ policy, rule }, { reach, partition, sets }))];
  });
}

interface Context {
  readonly reach: Reach;
  readonly partition: Partition;
  readonly sets: PortSets;
}

function ruleFindings({ policy, rule }: { readonly policy: LayeredPolicy; readonly rule: LayeredRule }, context: Context): Finding[] {
  const { reach } = context;
  const field = rule.direction === "ingress" ? "from" : "to";
  const nobody = (rule.peers ?? []).filter((term) => FAMILIES.every((family) => reach.matcher.of(term, family).length === 0));
  const empty = nobody.map((term): Finding => {
    const text = `a peer of ${rule.path}.${field} is nobody: ${formatTerm(term)}`;
    return { kind: "matches nobody", policy: policy.ref, path: rule.path, text };
  });
  if (rule.peers !== undefined && nobody.length === rule.peers.length) return empty;
  if (isNeeded({ policy, rule }, context)) return empty;
  return [
    ...empty,
    { kind: "redundant", policy: policy.ref, path: rule.path, text: `${rule.path} changes nothing: others decide all that it is about` },
  ];
}

/** Whether there is a packet that another answer would be given to, were the rule not there. */
function isNeeded(
  { policy, rule }: { readonly policy: LayeredPolicy; readonly rule: LayeredRule },
  { reach, partition, sets }: Context,
): boolean {
  for (const index of reach.matcher.subjects(policy).slice(0, SUBJECTS)) {
    const subject = partition.podAtoms[index];
    if (subject === undefined) continue;
    const others = reach.policiesOf(subject).flatMap((each) => (each.tier === policy.tier ? each.rules.map((own) => ({ own, each })) : []));
    const rivals = others.filter(
      ({ own, each }) => own !== rule && own.direction === rule.direction && isBefore(each, own, { policy, rule }),
    );
    for (const family of FAMILIES) {
      for (const peer of reach.matcher.peers(rule, family)) {
        const other = partition.atoms[peer];
        if (other === undefined || (other === subject && subject.pods.length === 1)) continue;
        const named = rule.direction === "ingress" ? subject : other;
        const taken = rivals.reduce<PortSet>((set, { own }) => {
          if (set === sets.all || !reach.matcher.peers(own, family).includes(peer)) return set;
          return sets.union(set, reach.portsOf(own, reach.matcher.facts(named)));
        }, sets.none);
        if (sets.subtract(reach.portsOf(rule, reach.matcher.facts(named)), taken) !== sets.none) return true;
      }
    }
  }
  return false;
}

/** NetworkPolicies add up, so any other rule counts; in a tier only what is asked before. */
function isBefore(
  each: LayeredPolicy,
  own: LayeredRule,
  { policy, rule }: { readonly policy: LayeredPolicy; readonly rule: LayeredRule },
): boolean {
  if (policy.tier === "NetworkPolicy") return true;
  if (each === policy) return policy.rules.indexOf(own) < policy.rules.indexOf(rule);
  return inOrder([each, policy])[0] === each;
}

function formatTerm(term: Term): string {
  if (term.kind === "blocks") return "no address";
  if (term.kind === "nodes") return `nodes ${formatParsedSelector(term.nodes)}`;
  const where =
    typeof term.namespaces === "string" ? `of ${term.namespaces}` : `of namespaces ${formatParsedSelector(term.namespaces) || "(all)"}`;
  return `pods ${formatParsedSelector(term.pods) || "(all)"} ${where}`;
}
