// From the pods of a node and the policies of the cluster to the table that should be. Pure.

import { type Addr, FAMILIES, formatAddr } from "#ip";
import { type ClusterPolicy, type Direction, type PodFacts, type Policy, selects, selectsPod } from "#netpol";
import type { Chain, Element, NftSet, SetHeader, Table, Verdict } from "#nft";
import { clusterRuleId, compileClusterRule } from "./compile-cluster-rule.ts";
import { type CompiledRule, compileRule, digest, type IndexedCluster, ruleId } from "./compile-rule.ts";
import { type Established, isolationMap, refuse, selfSet, skeletonChains, TABLE, UNKNOWN_CHAIN } from "./layout.ts";
import type { LiveSet } from "./live-set.ts";
import { denyChains, rulesFor, type TierGroup, tierChain, tierGroup } from "./tiers.ts";
import type { Subject } from "./types.ts";

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

export interface CompileInput {
  readonly subjects: Iterable<Subject>;
  /** By namespace. */
  readonly policies: ReadonlyMap<string, ReadonlyMap<string, Policy>>;
  /** In the order of `compareClusterPolicies`. Default: none. */
  readonly clusterPolicies?: readonly ClusterPolicy[];
  readonly cluster: IndexedCluster;
  /**
   * Rules that have been compiled and still hold, by id; the caller takes out those that say something else, and keeps their live sets up to
   * date. New ones are put in, those that no pod needs are taken out.
   */
  readonly known: Map<string, CompiledRule>;
  /** By rule, where it is not 0: see parts.ts. */
  readonly versions?: ReadonlyMap<string, number>;
  /** Chains of groups as they were written, by name, which says all of it; brought up to date as `known` is. */
  readonly chains?: Map<string, Chain>;
  /** Sets that rules share, by name; `known` keeps them up to date. */
  readonly shared?: Map<string, LiveSet>;
  /** What has been found for pods and still holds; the caller takes out those of whom it no longer does. New ones are put in. */
  readonly groups?: GroupMemo;
  /** Default: cut. */
  readonly established?: Established;
}

export interface Desired {
  readonly table: Table;
  readonly isolatedPods: number;
  readonly selectorGroups: number;
  /** The NetworkPolicies of which none allows what a chain refuses, by its name. */
  readonly refusing: ReadonlyMap<string, readonly string[]>;
}

interface Group {
  readonly chain: string;
  readonly direction: Direction;
  readonly policies: readonly Policy[];
}

/** For each direction the group of the NetworkPolicies that isolate the pod. */
export type GroupMemo = WeakMap<PodFacts, Map<Direction, Group | undefined>>;

interface Groups {
  readonly policies: Map<string, Group>;
  readonly tiers: Map<string, TierGroup>;
}

/**
 * Pods that the same policies isolate share one chain per direction. A set, chain or rule that has not changed is the same object as last time, so
 * that finding the difference costs as much as the change.
 */
export function compile(input: CompileInput): Desired {
  const { subjects, established = "cut" } = input;
  const groups: Groups = { policies: new Map(), tiers: new Map() };
  const elements = new Elements();
  let isolatedPods = 0;
  for (const { addrs, facts } of subjects) {
    let isIsolated = false;
    const selecting = facts === undefined ? [] : selectingOf(facts, input);
    for (const direction of DIRECTIONS) {
      const chain = facts === undefined ? UNKNOWN_CHAIN : chainOf({ direction, facts, selecting }, input, groups);
      if (chain === undefined) continue;
      isIsolated = true;
      for (const addr of addrs) elements.put(isolationMap(direction, addr.family), addr, { key: [addr], data: jumpVerdict(chain) });
    }
    if (!isIsolated) continue;
    isolatedPods++;
    for (const addr of addrs) elements.put(selfSet(addr.family), addr, { key: [addr, addr] });
  }
  const rules = rulesOf(groups, input);
  const sets = FAMILIES.flatMap((family) =>
    [selfSet(family), ...DIRECTIONS.map((direction) => isolationMap(direction, family))].map((header) => elements.of(header)),
  );
  const [inner, base] = SKELETONS[established];
  const table: Table = {
    ...TABLE,
    comment: "NetworkPolicy, by Fairlead",
    sets: [...sets, ...setsOf(rules.values())],
    chains: [...inner, ...groupChains(groups, rules, input.chains), ...base],
  };
  const refusing = new Map([...groups.policies.values()].map(({ chain, policies }) => [chain, policies.map(({ key }) => key)]));
  return { table, isolatedPods, selectorGroups: groups.policies.size + groups.tiers.size, refusing };
}

const SKELETONS: Readonly<Record<Established, readonly [readonly Chain[], readonly Chain[]]>> = {
  cut: skeleton("cut"),
  keep: skeleton("keep"),
};

function skeleton(established: Established): [Chain[], Chain[]] {
  const chains = skeletonChains(established);
  const unknown: Chain = { name: UNKNOWN_CHAIN, rules: refuse(UNKNOWN_CHAIN, "isolated"), comment: "pods that the API does not know" };
  return [[...chains.filter(({ base }) => base === undefined), unknown], chains.filter(({ base }) => base !== undefined)];
}

/** Each once: rules that mean the same have sets of one name, and of the same content. */
function setsOf(rules: Iterable<CompiledRule>): Iterable<NftSet> {
  const found = new Map<string, NftSet>();
  for (const { sets } of rules) for (const set of sets) if (!found.has(set.name)) found.set(set.name, set);
  return found.values();
}

function selectingOf(pod: PodFacts, { clusterPolicies = [], cluster }: CompileInput): ClusterPolicy[] {
  return clusterPolicies.filter((policy) => selectsPod(policy, pod, cluster.namespaces));
}

interface Judged {
  readonly direction: Direction;
  readonly facts: PodFacts;
  /** The ClusterNetworkPolicies that select the pod. */
  readonly selecting: readonly ClusterPolicy[];
}

/** The chain that a pod's packets are judged by first; undefined where nothing is about them. Baseline is for whom no NetworkPolicy isolates. */
function chainOf({ direction, facts, selecting }: Judged, input: CompileInput, groups: Groups): string | undefined {
  const isolated = groupOf(direction, facts, input, groups.policies);
  if (selecting.length === 0) return isolated;
  const inTier = (tier: ClusterPolicy["tier"], next: string | undefined): string | undefined => {
    const group = tierGroup({ tier, direction, next }, selecting, input.versions);
    if (group !== undefined && !groups.tiers.has(group.chain)) groups.tiers.set(group.chain, group);
    return group?.chain ?? next;
  };
  return inTier("admin", isolated ?? inTier("baseline", undefined));
}

function isolating(direction: Direction, pod: PodFacts, policies: CompileInput["policies"]): Policy[] {
  const found: Policy[] = [];
  for (const policy of policies.get(pod.namespace)?.values() ?? []) {
    if (policy.isolates.includes(direction) && selects(policy, pod)) found.push(policy);
  }
  return found;
}

const contents = new WeakMap<Policy, Map<Direction, string>>();

/**
 * Chains are named by what they say: one that says something else is another, and can be written before a single step leads packets
 * there.
 */
function contentOf(policy: Policy, direction: Direction, versions: CompileInput["versions"]): string {
  const own = contents.get(policy) ?? new Map<Direction, string>();
  contents.set(policy, own);
  let content = own.get(direction);
  if (content === undefined) {
    const rules = policy.rules.filter((rule) => rule.direction === direction);
    content = `${policy.key} ${digest(JSON.stringify([rules, policy.subjects]))}`;
    own.set(direction, content);
  }
  if (versions === undefined || versions.size === 0) return content;
  return `${content} ${policy.rules.map((rule) => versions.get(ruleId(policy, rule)) ?? 0).join(".")}`;
}

/** The name of the group's chain; undefined where nothing isolates. */
function groupOf(direction: Direction, pod: PodFacts, input: CompileInput, groups: Map<string, Group>): string | undefined {
  const known = input.groups?.get(pod) ?? new Map<Direction, Group | undefined>();
  input.groups?.set(pod, known);
  if (!known.has(direction)) known.set(direction, findGroup(direction, pod, input));
  const group = known.get(direction);
  if (group !== undefined && !groups.has(group.chain)) groups.set(group.chain, group);
  return group?.chain;
}

function findGroup(direction: Direction, pod: PodFacts, { policies, versions }: CompileInput): Group | undefined {
  const own = isolating(direction, pod, policies).sort((a, b) => (a.key < b.key ? -1 : 1));
  if (own.length === 0) return undefined;
  const chain = `${direction}-${digest(own.map((policy) => contentOf(policy, direction, versions)).join(" "))}`;
  return { chain, direction, policies: own };
}

function rulesOf(groups: Groups, { cluster, known, versions, shared = new Map() }: CompileInput): Map<string, CompiledRule> {
  const rules = new Map<string, CompiledRule>();
  for (const { direction, policies } of groups.policies.values()) {
    for (const policy of policies) {
      for (const rule of policy.rules) {
        const id = ruleId(policy, rule);
        if (rule.direction !== direction || rules.has(id)) continue;
        const made = known.get(id) ?? compileRule({ policy, rule, cluster, shared, version: versions?.get(id) ?? 0 });
        rules.set(id, made);
      }
    }
  }
  for (const { direction, policies } of groups.tiers.values()) {
    for (const policy of policies) {
      for (const rule of rulesFor(policy, direction)) {
        const id = clusterRuleId(policy, rule);
        if (rules.has(id)) continue;
        rules.set(id, known.get(id) ?? compileClusterRule({ policy, rule, cluster, shared, version: versions?.get(id) ?? 0 }));
      }
    }
  }
  // What no pod of this node needs is forgotten: nobody would notice its changes.
  for (const id of known.keys()) if (!rules.has(id)) known.delete(id);
  for (const [id, rule] of rules) if (!known.has(id)) known.set(id, rule);
  return rules;
}

function groupChains(groups: Groups, rules: ReadonlyMap<string, CompiledRule>, written = new Map<string, Chain>()): Chain[] {
  const tiers = [...groups.tiers.values()];
  const denied = new Map(tiers.flatMap(denyChains).map((chain) => [chain.name, written.get(chain.name) ?? chain]));
  const chains = [
    ...[...groups.policies.values()].map((group) => written.get(group.chain) ?? groupChain(group, rules)),
    ...denied.values(),
    ...tiers.map((group) => written.get(group.chain) ?? tierChain(group, rules)),
  ];
  written.clear();
  for (const chain of chains) written.set(chain.name, chain);
  return chains;
}

function groupChain({ chain, direction, policies }: Group, rules: ReadonlyMap<string, CompiledRule>): Chain {
  const own = policies.flatMap((policy) => policy.rules.filter((rule) => rule.direction === direction).map((rule) => ruleId(policy, rule)));
  return { name: chain, rules: [...own.flatMap((id) => rules.get(id)?.rules ?? []), ...refuse(chain, "isolated")] };
}

function jumpVerdict(chain: string): Verdict {
  return { kind: "jump", chain };
}

/** Elements of the sets, by set and address: of two pods with one address the later one counts. */
class Elements {
  readonly #sets = new Map<string, Map<string, Element>>();

  put({ name }: SetHeader, addr: Addr, element: Element): void {
    const own = this.#sets.get(name) ?? new Map<string, Element>();
    this.#sets.set(name, own.set(formatAddr(addr), element));
  }

  of(header: SetHeader): NftSet {
    return { ...header, elements: [...(this.#sets.get(header.name)?.values() ?? [])] };
  }
}
