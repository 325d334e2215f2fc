// One rule of a ClusterNetworkPolicy: the sets and conditions of a NetworkPolicy's rule, without the verdict, which tiers.ts knows. Pure.
import { FAMILIES, type Family } from "#ip";
import { type ClusterPolicy, type ClusterRule, countsForClusterNames, isClusterPeer, isNodePeer, type PodFacts } from "#netpol";
import { concat, type Element, inSet } from "#nft";
import {
  ALWAYS,
  atNumbers,
  type CompiledRule,
  type Condition,
  combine,
  comment,
  digest,
  fill,
  type IndexedCluster,
  inBlocks,
  namedElements,
  RuleSets,
  sharedPods,
} from "./compile-rule.ts";
import { addrType, DESTINATION_PORT, destinationOf, PROTOCOL, sourceOf } from "./layout.ts";
import { addrElement, type Keyed, type LiveSet } from "./live-set.ts";
import { scopeOf } from "./scope.ts";

export interface ClusterRuleInput {
  readonly policy: ClusterPolicy;
  readonly rule: ClusterRule;
  readonly cluster: IndexedCluster;
  /** Another one gives its sets other names: see parts.ts. */
  readonly version: number;
  /** Sets of peers by name: rules that mean the same pods have one. New ones are put in. */
  readonly shared: Map<string, LiveSet>;
}

type RuleId = Pick<ClusterRule, "direction" | "index">;

/** A name has no slash, so it is no NetworkPolicy's key. */
export function clusterRuleId(policy: Pick<ClusterPolicy, "name">, { direction, index }: RuleId): string {
  return `${direction}-${digest(policy.name)}-${index}`;
}

/** How the kernel's rules name it: `ClusterNetworkPolicy NAME egress[0]`. */
export function clusterComment(policy: Pick<ClusterPolicy, "name">, rule: RuleId): string {
  return comment(`ClusterNetworkPolicy ${policy.name}`, rule);
}

export function compileClusterRule(input: ClusterRuleInput): CompiledRule {
  const { policy, rule, version } = input;
  const note = clusterComment(policy, rule);
  const sets = new RuleSets({ id: clusterRuleId(policy, rule), version, comment: note });
  const peers = compilePeers(input, sets);
  const ports = compilePorts(input, sets);
  return { sets: sets.sets, live: sets.live, rules: combine(peers, ports).map((statements) => ({ statements, comment: note })) };
}

function compilePeers({ rule, cluster, version, shared }: ClusterRuleInput, sets: RuleSets): readonly Condition[] {
  if (rule.peers === undefined) return ALWAYS;
  const { selectors, blocks, nodes } = rule.peers;
  const conditions: Condition[] = [];
  const isPeer = (pod: PodFacts): boolean => isClusterPeer(rule, pod, cluster.namespaces);
  const fresh: LiveSet[] = [];
  for (const family of FAMILIES) {
    const peer = rule.direction === "ingress" ? sourceOf(family) : destinationOf(family);
    if (selectors.length > 0) {
      const { live, isNew } = sharedPods({ selectors, namespace: "", family, version, isPeer }, shared);
      if (isNew) fresh.push(live);
      sets.use(live);
      conditions.push({ family, statements: [inSet(peer, live.set.name)] });
    }
    if (nodes.length > 0) {
      const name = sets.name(`nodes${family}`, nodes);
      sets.fixed({ name, key: [addrType(family)], elements: nodeElements(rule, cluster, family) });
      conditions.push({ family, statements: [inSet(peer, name)] });
    }
    conditions.push(...inBlocks(blocks?.[family] ?? [], { family, peer }, sets));
  }
  fill(fresh, podsOf(selectors, cluster));
  return conditions;
}

function nodeElements(rule: ClusterRule, { nodes = [] }: IndexedCluster, family: Family): Element[] {
  const found = new Map<string, Element>();
  for (const node of nodes) {
    if (!isNodePeer(rule, node)) continue;
    for (const { text, element } of node.addrs.filter((addr) => addr.family === family).map(addrElement)) found.set(text, element);
  }
  return [...found.values()];
}

type Selectors = NonNullable<ClusterRule["peers"]>["selectors"];

/** At least those that one of the selectors selects, each once. */
function podsOf(selectors: Selectors, { index, pods, namespaces }: IndexedCluster): Iterable<PodFacts> {
  if (selectors.length === 0) return [];
  if (index === undefined) return pods.values();
  return new Set(selectors.flatMap((selector) => [...index.candidates(selector, "", namespaces)]));
}

function compilePorts({ policy, rule, cluster }: ClusterRuleInput, sets: RuleSets): readonly Condition[] {
  if (rule.ports === undefined) return ALWAYS;
  const { numbers, names } = rule.ports;
  const conditions = atNumbers(numbers, sets);
  if (names.length === 0) return conditions;
  const subjects = policy.subjects === undefined ? [] : [policy.subjects];
  const selectors = rule.direction === "ingress" ? subjects : (rule.peers?.selectors ?? []);
  const scopes = selectors.map((selector) => scopeOf(selector, ""));
  const live: LiveSet[] = [];
  for (const family of FAMILIES) {
    const name = sets.name(`names${family}`, [names, selectors]);
    const elementsOf = (pod: PodFacts): Keyed[] =>
      countsForClusterNames(policy, rule, pod, cluster.namespaces) ? namedElements(pod, names, family) : [];
    live.push(sets.follow({ name, key: [addrType(family), "inet_proto", "inet_service"] }, scopes, elementsOf));
    conditions.push({ family, statements: [inSet(concat(destinationOf(family), PROTOCOL, DESTINATION_PORT), name)] });
  }
  fill(live, podsOf(selectors, cluster));
  return conditions;
}
