// What is known of the cluster, and which compiled rules a change makes invalid.

import type { Stored } from "#kube";
import { dependsOn, type NetworkPolicy, type PodFacts, type Policy, parsePolicy, sameFacts } from "#netpol";
import type { CompiledRule } from "./compile-rule.ts";
import { ruleId } from "./compile-rule.ts";
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
  readonly known: Map<string, CompiledRule> = new Map();

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  subjects(): Subject[] {
    return [...this.#locals.values()].map(({ pod, facts }) => ({ addrs: pod.addrs, facts }));
  }

  knows({ namespace, name, uid }: LocalPod): boolean {
    return this.#reported.get(`${namespace}/${name}`)?.uid === uid;
  }

  connect(pod: LocalPod): void {
    const key = `${pod.namespace}/${pod.name}`;
    const facts = this.#reported.get(key);
    this.#locals.set(pod.containerId, { pod, facts: facts?.uid === pod.uid ? facts : undefined });
    this.#refresh(key);
  }

  /** Whether there was such a pod. */
  disconnect(containerId: string): boolean {
    const local = this.#locals.get(containerId);
    if (local === undefined) return false;
    this.#locals.delete(containerId);
    this.#refresh(`${local.pod.namespace}/${local.pod.name}`);
    return true;
  }

  /** These return whether anything has changed. */
  setPod(facts: PodFacts): boolean {
    if (sameFacts(this.#reported.get(facts.key), facts)) return false;
    this.#reported.set(facts.key, facts);
    for (const local of this.#locals.values()) if (local.pod.uid === facts.uid) local.facts = facts;
    this.#refresh(facts.key);
    return true;
  }

  removePod(key: string): boolean {
    this.#reported.delete(key);
    this.#refresh(key);
    return true;
  }

  setNamespace(name: string, labels: Readonly<Record<string, string>> | undefined): boolean {
    if (JSON.stringify(this.namespaces.get(name)) === JSON.stringify(labels)) return false;
    if (labels === undefined) this.namespaces.delete(name);
    else this.namespaces.set(name, labels);
    this.known.clear();
    return true;
  }

  setPolicy(object: Stored<NetworkPolicy>): Policy {
    const policy = parsePolicy(object);
    this.removePolicy(policy);
    const own = this.policies.get(policy.namespace) ?? new Map<string, Policy>();
    this.policies.set(policy.namespace, own.set(policy.key, policy));
    return policy;
  }

  removePolicy({ key, namespace }: Pick<Policy, "key" | "namespace">): void {
    const own = this.policies.get(namespace);
    const old = own?.get(key);
    if (own === undefined || old === undefined) return;
    for (const rule of old.rules) this.known.delete(ruleId(old, rule));
    own.delete(key);
    if (own.size === 0) this.policies.delete(namespace);
  }

  get policyCount(): number {
    return [...this.policies.values()].reduce((sum, own) => sum + own.size, 0);
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
    if (after === undefined) this.pods.delete(key);
    else this.pods.set(key, after);
    this.#invalidate([before, after].filter((pod) => pod !== undefined));
  }

  #invalidate(pods: readonly PodFacts[]): void {
    if (this.known.size === 0) return;
    for (const own of this.policies.values()) {
      for (const policy of own.values()) {
        for (const rule of policy.rules) {
          const id = ruleId(policy, rule);
          if (this.known.has(id) && pods.some((pod) => dependsOn(policy, rule, pod, this.namespaces))) this.known.delete(id);
        }
      }
    }
  }
}
