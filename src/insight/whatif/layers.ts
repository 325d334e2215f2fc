// Policies of both kinds in one shape. Pure.
import type { ClusterNetworkPolicy, Stored } from "#kube";
import { type ClusterRule, type Policy, type PolicyRule, parseClusterPolicy } from "#netpol";
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
    problems: policy.problems,
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

const ofCluster = new WeakMap<Stored<ClusterNetworkPolicy>, LayeredPolicy>();

/** The same object for the same object of the API. */
export function clusterLayerOf(object: Stored<ClusterNetworkPolicy>): LayeredPolicy {
  const known = ofCluster.get(object);
  if (known !== undefined) return known;
  const { name, tier, priority, subjects, rules, problems } = parseClusterPolicy(object);
  const made: LayeredPolicy = {
    ref: { kind: "ClusterNetworkPolicy", key: name },
    tier: tier === "admin" ? "Admin" : "Baseline",
    priority,
    subjects: subjects === undefined ? [] : [{ kind: "pods", ...subjects }],
    isolates: [],
    rules: rules.map(clusterRuleOf),
    problems,
  };
  ofCluster.set(object, made);
  return made;
}

const ACTIONS = { accept: "Accept", deny: "Deny", pass: "Pass" } as const;

function clusterRuleOf({ direction, index, action, peers, ports }: ClusterRule): LayeredRule {
  const terms = (): Term[] => [
    ...(peers?.selectors ?? []).map((selector) => ({ kind: "pods" as const, ...selector })),
    ...(peers?.blocks === undefined ? [] : [{ kind: "blocks" as const, intervals: peers.blocks }]),
    ...(peers?.nodes ?? []).map((nodes) => ({ kind: "nodes" as const, nodes })),
  ];
  return {
    direction,
    path: `spec.${direction}[${index}]`,
    action: ACTIONS[action],
    peers: peers === undefined ? undefined : terms(),
    ports,
    namesOfSelected: true,
  };
}

const TIERS: readonly LayeredPolicy["tier"][] = ["Admin", "NetworkPolicy", "Baseline"];

/** In the order in which they are asked; of equal priority by name, as the nodes do it. */
export function inOrder(policies: readonly LayeredPolicy[]): LayeredPolicy[] {
  return policies.toSorted(
    (a, b) => TIERS.indexOf(a.tier) - TIERS.indexOf(b.tier) || a.priority - b.priority || (a.ref.key < b.ref.key ? -1 : 1),
  );
}
