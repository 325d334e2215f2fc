// The compiled rules that a node needs, and which of their sets a change of a pod is about. Pure.
import type { Labels } from "#kube";
import type { PodFacts } from "#netpol";
import type { NftSet } from "#nft";
import type { CompiledRule } from "./compile-rule.ts";
import type { LiveSet, Patch } from "./live-set.ts";
import { type Scope, scopesOf } from "./scope.ts";

export class KnownRules extends Map<string, CompiledRule> {
  readonly #byScope = new Map<Scope, Set<LiveSet>>();
  readonly #changed = new Set<LiveSet>();
  /** How many rules have it. */
  readonly #users = new Map<LiveSet, number>();
  /** By name, those that a rule more may use. */
  readonly shared: Map<string, LiveSet> = new Map();

  override set(id: string, rule: CompiledRule): this {
    this.delete(id);
    for (const live of rule.live) this.#use(live);
    return super.set(id, rule);
  }

  override delete(id: string): boolean {
    for (const live of this.get(id)?.live ?? []) this.#release(live);
    return super.delete(id);
  }

  override clear(): void {
    for (const id of [...this.keys()]) this.delete(id);
  }

  /** To be called with the labels that the namespace had when the pod was added. */
  removePod(pod: PodFacts, namespaceLabels: Labels | undefined): void {
    for (const live of this.#about(pod, namespaceLabels)) {
      live.remove(pod);
      this.#note(live);
    }
  }

  addPod(pod: PodFacts, namespaceLabels: Labels | undefined): void {
    for (const live of this.#about(pod, namespaceLabels)) {
      live.add(pod);
      this.#note(live);
    }
  }

  /** What the kernel has to be told of sets that it has; once. */
  takePatches(): Map<NftSet, Patch> {
    const out = new Map<NftSet, Patch>();
    for (const live of this.#changed) {
      const patch = live.take();
      if (patch.add.length + patch.remove.length > 0) out.set(live.set, patch);
    }
    this.#changed.clear();
    return out;
  }

  /** The rules that have one of the sets. */
  ownersOf(sets: ReadonlySet<string>): string[] {
    return [...this].flatMap(([id, rule]) => (rule.sets.some(({ name }) => sets.has(name)) ? [id] : []));
  }

  get elementCount(): number {
    let sum = 0;
    for (const { size } of this.#users.keys()) sum += size;
    return sum;
  }

  #use(live: LiveSet): void {
    const users = this.#users.get(live) ?? 0;
    this.#users.set(live, users + 1);
    if (users > 0) return;
    this.shared.set(live.set.name, live);
    this.#note(live);
    for (const scope of live.scopes) this.#byScope.set(scope, (this.#byScope.get(scope) ?? new Set<LiveSet>()).add(live));
  }

  #release(live: LiveSet): void {
    const users = (this.#users.get(live) ?? 1) - 1;
    if (users > 0) {
      this.#users.set(live, users);
      return;
    }
    this.#users.delete(live);
    this.#changed.delete(live);
    if (this.shared.get(live.set.name) === live) this.shared.delete(live.set.name);
    for (const scope of live.scopes) {
      const own = this.#byScope.get(scope);
      own?.delete(live);
      if (own?.size === 0) this.#byScope.delete(scope);
    }
  }

  /** Each once: a pod in two of a set's scopes is one pod. */
  #about(pod: PodFacts, namespaceLabels: Labels | undefined): Set<LiveSet> {
    const found = new Set<LiveSet>();
    if (this.size === 0) return found;
    for (const scope of scopesOf(pod, namespaceLabels)) for (const live of this.#byScope.get(scope) ?? []) found.add(live);
    return found;
  }

  #note(live: LiveSet): void {
    if (live.isChanged) this.#changed.add(live);
  }
}
