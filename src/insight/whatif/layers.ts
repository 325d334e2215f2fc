// Policies of both kinds in one shape. Pure.
import type { Policy, PolicyRule } from "#netpol";
import type { LayeredPolicy, LayeredRule, Term } from "./types.ts";

const layered = new WeakMap<Policy, LayeredPolicy>();

/** The same object for the same policy. */
export function layerOf(policy: Policy): LayeredPolicy {
  const known = layered.get(policy);
  if (known !== undefined) return known;
  const made: LayeredPolicy = {
    ref: { kind: "NetworkPolicy", key: policy.key },
    tier: "NetworkPolicy",
    priority: 0,
    subjects: [{ kind: "pods", namespaces: policy.namespace, pods: policy.subjects }],
    isolates: policy.isolates,
    rules: policy.rules.map((rule) => ruleOf(policy, rule)),
  };
  layered.set(policy, made);
  return made;
}

function ruleOf(policy: Policy, { direction, index, peers, ports }: PolicyRule): LayeredRule {
  const terms = (): Term[] => [
    ...(peers?.selectors ?? []).map(({ pods, namespaces }) => ({
      kind: "pods" as const,
      pods,
      namespaces: namespaces ?? policy.namespace,
    })),
    ...(peers?.blocks === undefined ? [] : [{ kind: "blocks" as const, intervals: peers.blocks }]),
  ];
  return { direction, path: `spec.${direction}[${index}]`, action: "Accept", peers: peers === undefined ? undefined : terms(), ports };
}

const TIERS: readonly LayeredPolicy["tier"][] = ["Admin", "NetworkPolicy", "Baseline"];

/** In the order in which they are asked; of equal priority by name, as the nodes do it. */
export function inOrder(policies: readonly LayeredPolicy[]): LayeredPolicy[] {
  return policies.toSorted(
    (a, b) => TIERS.indexOf(a.tier) - TIERS.indexOf(b.tier) || a.priority - b.priority || (a.ref.key < b.ref.key ? -1 : 1),
  );
}
