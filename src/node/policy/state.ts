// What is known of the cluster, and what a change makes of the compiled rules.

import type { ClusterNetworkPolicy, Stored } from "#kube";
import {
  type ClusterPolicy,
  type ClusterRule,
  compareClusterPolicies,
  type NetworkPolicy,
  type NodeFacts,
  type PodFacts,
  type Policy,
  parseClusterPolicy,
  parsePolicy,
  sameFacts,
  selects,
} from "#netpol";
import type { Chain } from "#nft";
import type { CompileInput, GroupMemo } from "./compile.ts";
import { clusterRuleId } from "./compile-cluster-rule.ts";
import { ruleId } from "./compile-rule.ts";
import { KnownRules } from "./known-rules.ts";
import { PodIndex } from "./scope.ts";
import type { LocalPod, Subject } from "./types.ts";

interface Local {
  readonly pod: LocalPod;
  /** The last that was known of it: a pod that is gone from the API keeps its policies as long as it runs. */
  facts: PodFacts | undefined;
}

export class PolicyState {
  readonly #nodeName: string;
  /** As the API has them. */
  readonly #reported = new Map<string, PodFacts>();
  readonly #locals = new Map<string, Local>();
  readonly pods: Map<string, PodFacts> = new Map();
  readonly namespaces: Map<string, Readonly<Record<string, string>>> = new Map();
  readonly policies: Map<string, Map<string, Policy>> = new Map();
  readonly known: KnownRules = new KnownRules();
  readonly #clusterPolicies = new Map<string, ClusterPolicy>();
  readonly #nodes = new Map<string, NodeFacts>();
  readonly #index = new PodIndex();
  readonly #versions = new Map<string, number>();
  readonly #chains = new Map<string, Chain>();
  /** For `compile`, of the pods of this node. */
  groups: GroupMemo = new WeakMap();
  /** More has changed than which pods are in which sets. */
  isRestructured = true;

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  subjects(): Subject[] {
    return [...this.#locals.values()].map(({ pod, facts }) => ({ addrs: pod.addrs, facts }));
  }

  /** What is compiled from is this state itself, as it is at the time. */
  compileInput(): CompileInput {
    const { policies, pods, namespaces, known } = this;
    const cluster = { pods, namespaces, index: this.#index, nodes: [...this.#nodes.values()] };
    const clusterPolicies = [...this.#clusterPolicies.values()].sort(compareClusterPolicies);
    return {
      subjects: this.subjects(),
      policies,
      clusterPolicies,
      cluster,
      known,
      versions: this.#versions,
      chains: this.#chains,
      shared: this.known.shared,
    };
  }

  /** The rules that have these sets get others in their place, whatever they hold: see parts.ts. */
  renew(sets: ReadonlySet<string>): void {
    for (const id of this.known.ownersOf(sets)) {
      this.#versions.set(id, (this.#versions.get(id) ?? 0) + 1);
      this.known.delete(id);
    }
    this.groups = new WeakMap();
    this.isRestructured = true;
  }

  knows({ namespace, name, uid }: LocalPod): boolean {
    return this.#reported.get(`${namespace}/${name}`)?.uid === uid;
  }

  connect(pod: LocalPod): void {
    const key = `${pod.namespace}/${pod.name}`;
    const facts = this.#reported.get(key);
    this.#locals.set(pod.containerId, { pod, facts: facts?.uid === pod.uid ? facts : undefined });
    // It may have been one before, and policies have changed since.
    if (facts !== undefined) this.groups.delete(facts);
    this.isRestructured = true;
    this.#refresh(key);
  }

  /** Whether there was such a pod. */
  disconnect(containerId: string): boolean {
    const local = this.#locals.get(containerId);
    if (local === undefined) return false;
    this.#locals.delete(containerId);
    this.isRestructured = true;
    this.#refresh(`${local.pod.namespace}/${local.pod.name}`);
    return true;
  }

  /** These return whether anything has changed. */
  setPod(facts: PodFacts): boolean {
    if (sameFacts(this.#reported.get(facts.key), facts)) return false;
    this.#reported.set(facts.key, facts);
    for (const local of this.#locals.values()) {
      if (local.pod.uid !== facts.uid) continue;
      local.facts = facts;
      this.isRestructured = true;
    }
    this.#refresh(facts.key);
    return true;
  }

  removePod(key: string): boolean {
    this.#reported.delete(key);
    this.#refresh(key);
    return true;
  }

  setNamespace(name: string, labels: Readonly<Record<string, string>> | undefined): boolean {
    const before = this.namespaces.get(name);
    if (JSON.stringify(before) === JSON.stringify(labels)) return false;
    const pods = [...this.#index.inNamespace(name)];
    for (const pod of pods) this.known.removePod(pod, before);
    if (labels === undefined) this.namespaces.delete(name);
    else this.namespaces.set(name, labels);
    for (const pod of pods) this.known.addPod(pod, labels);
    // Subjects of NetworkPolicies are of their own namespace, whatever its labels; those of others are not.
    if (this.#clusterPolicies.size > 0) this.isRestructured = true;
    return true;
  }

  setPolicy(object: Stored<NetworkPolicy>): Policy {
    const policy = parsePolicy(object);
    this.removePolicy(policy);
    const own = this.policies.get(policy.namespace) ?? new Map<string, Policy>();
    this.policies.set(policy.namespace, own.set(policy.key, policy));
    this.#concern(policy);
    return policy;
  }

  removePolicy({ key, namespace }: Pick<Policy, "key" | "namespace">): void {
    const own = this.policies.get(namespace);
    const old = own?.get(key);
    if (own === undefined || old === undefined) return;
    for (const rule of old.rules) this.known.delete(ruleId(old, rule));
    own.delete(key);
    this.#concern(old);
    if (own.size === 0) this.policies.delete(namespace);
  }

  /** A policy that selects no pod of this node makes no difference here. */
  #concern(policy: Policy): void {
    for (const { facts } of this.#locals.values()) {
      if (facts === undefined || !selects(policy, facts)) continue;
      this.groups.delete(facts);
      this.isRestructured = true;
    }
  }

  setClusterPolicy(object: Stored<ClusterNetworkPolicy>): ClusterPolicy {
    const policy = parseClusterPolicy(object);
    this.removeClusterPolicy(policy.name);
    this.#clusterPolicies.set(policy.name, policy);
    this.isRestructured = true;
    return policy;
  }

  removeClusterPolicy(name: string): void {
    const old = this.#clusterPolicies.get(name);
    if (old === undefined) return;
    for (const rule of old.rules) this.known.delete(clusterRuleId(old, rule));
    this.#clusterPolicies.delete(name);
    this.isRestructured = true;
  }

  /** Whether a rule is about nodes. */
  get asksForNodes(): boolean {
    return [...this.#clusterPolicies.values()].some(({ rules }) => rules.some(isAboutNodes));
  }

  /** Undefined: there is no such node. Returns whether anything has changed. */
  setNode(name: string, facts: NodeFacts | undefined): boolean {
    if (sameFacts(this.#nodes.get(name), facts)) return false;
    if (facts === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, facts);
    for (const policy of this.#clusterPolicies.values()) {
      for (const rule of policy.rules.filter(isAboutNodes)) {
        this.known.delete(clusterRuleId(policy, rule));
        this.isRestructured = true;
      }
    }
    return true;
  }

  get policyCount(): number {
    return [...this.policies.values()].reduce((sum, own) => sum + own.size, this.#clusterPolicies.size);
  }

  /** The pod as a peer: of this node's pods the addresses are known before the API has them, and until the pod is disconnected. */
  #effective(key: string): PodFacts | undefined {
    const facts = this.#reported.get(key);
    if (facts?.nodeName !== this.#nodeName) return facts;
    const addrs = [...this.#locals.values()].filter(({ pod }) => pod.uid === facts.uid).flatMap(({ pod }) => pod.addrs);
    return { ...facts, addrs };
  }

  #refresh(key: string): void {
    const before = this.pods.get(key);
    const after = this.#effective(key);
    if (sameFacts(before, after)) return;
    const namespace = this.namespaces.get((before ?? after)?.namespace ?? "");
    if (before !== undefined) this.known.removePod(before, namespace);
    if (after === undefined) this.pods.delete(key);
    else this.pods.set(key, after);
    this.#index.replace(before, after);
    if (after !== undefined) this.known.addPod(after, namespace);
  }
}

function isAboutNodes({ peers }: ClusterRule): boolean {
  return peers !== undefined && peers.nodes.length > 0;
}
