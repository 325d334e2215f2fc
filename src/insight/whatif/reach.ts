// Which packets policies let pass, for all pairs of atoms at once. Egress is judged for who begins a connection, ingress for who answers.
//
// A direction is computed once for all subjects that the same policies select: a vector with a set of ports for each atom at the other end.
// Pure.
import type { Family } from "#ip";
import type { Direction, PodFacts, PolicyRef } from "#netpol";
import type { Atom, Partition, PodAtom } from "./atoms.ts";
import { policiesOf } from "./atoms.ts";
import { inOrder } from "./layers.ts";
import { type AtomList, Matcher } from "./matcher.ts";
import type { PortSet, PortSets } from "./ports.ts";
import type { LayeredPolicy, LayeredRule, Reason } from "./types.ts";

/** For each atom at the other end, the ports that are allowed. */
export type Vector = Uint32Array;

/** The policies that select a pod, and what its named ports are: pods with equal profiles are judged alike. */
interface Profile {
  readonly policies: readonly LayeredPolicy[];
  /** Whose named ports count for ingress; undefined where no rule has names. */
  readonly named: PodFacts | undefined;
}

/** The steps of one rule, on the vectors of its tier. */
interface Judging {
  readonly allowed: Vector;
  /** What is not decided yet. */
  readonly left: Vector;
  readonly passed: Vector;
}

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** Which world, and what is remembered of it. */
export class Reach {
  readonly matcher: Matcher;
  readonly #sets: PortSets;
  readonly #partition: Partition;
  readonly #selecting = new Map<number, LayeredPolicy[]>();
  readonly #profiles = new Map<number, Record<Direction, { readonly id: string; readonly profile: Profile }>>();
  readonly #vectors = new Map<string, Vector>();
  /** The same, by the subject's index: asked for each pair. */
  readonly #ofAtoms: Record<Direction, Record<Family, (Vector | undefined)[]>> = { ingress: { 4: [], 6: [] }, egress: { 4: [], 6: [] } };
  readonly #ids = new Map<LayeredPolicy, number>();

  constructor(partition: Partition, which: number, sets: PortSets) {
    this.#partition = partition;
    this.#sets = sets;
    this.matcher = new Matcher(partition, which);
    for (const [i, policy] of inOrder(policiesOf(this.matcher.world)).entries()) {
      this.#ids.set(policy, i);
      for (const index of this.matcher.subjects(policy)) {
        const own = this.#selecting.get(index);
        if (own === undefined) this.#selecting.set(index, [policy]);
        else own.push(policy);
      }
    }
  }

  /** What policies of both ends allow from one atom to another. A pod and itself, a pod and its own node: nothing keeps those apart. */
  between(from: Atom, to: Atom, family: Family): PortSet {
    if (!this.matcher.has(from, family) || !this.matcher.has(to, family)) return this.#sets.none;
    const egress = from.kind === "pods" ? (this.vector(from, "egress", family)[to.index] ?? 0) : this.#sets.all;
    const ingress = to.kind === "pods" ? (this.vector(to, "ingress", family)[from.index] ?? 0) : this.#sets.all;
    return this.#sets.intersect(egress, ingress);
  }

  /** What the policies of the subject allow, by the other end. Equal profiles have the same object. */
  vector(subject: PodAtom, direction: Direction, family: Family): Vector {
    const ofAtoms = this.#ofAtoms[direction][family];
    const known = ofAtoms[subject.index];
    if (known !== undefined) return known;
    const vector = this.#vectorOf(subject, direction, family);
    ofAtoms[subject.index] = vector;
    return vector;
  }

  #vectorOf(subject: PodAtom, direction: Direction, family: Family): Vector {
    const { id, profile } = this.#profileOf(subject)[direction];
    const key = `${direction} ${family} ${id}`;
    const known = this.#vectors.get(key);
    if (known !== undefined) return known;
    const vector = this.#judge(profile, direction, family);
    this.#vectors.set(key, vector);
    return vector;
  }

  policiesOf(subject: PodAtom): readonly LayeredPolicy[] {
    return this.#selecting.get(subject.index) ?? [];
  }

  portsOf(rule: LayeredRule, destination: PodFacts | undefined): PortSet {
    if (rule.ports === undefined) return this.#sets.all;
    const named = rule.ports.names.flatMap(({ name, protocol }) =>
      (destination?.ports ?? [])
        .filter((own) => own.name === name && own.protocol === protocol)
        .map((own) => ({ protocol: own.protocol, first: own.port, last: own.port })),
    );
    return this.#sets.of([...rule.ports.numbers, ...named]);
  }

  /** Who decides about one packet in one direction. */
  reason({ subject, direction, other, family, point }: Question): Reason {
    if (!this.matcher.has(subject, family) || !this.matcher.has(other, family)) return { by: "absent" };
    const mine = this.policiesOf(subject);
    const namedOf = (rule: LayeredRule): PodFacts | undefined =>
      direction === "ingress" ? this.matcher.facts(subject) : this.#namedOf(rule, other);
    const isolating = mine.filter(({ isolates }) => isolates.includes(direction));
    const decide = (tier: LayeredPolicy["tier"]): Reason | undefined => {
      for (const { ref, rules } of mine.filter((policy) => policy.tier === tier)) {
        const rule = rules.find(
          (each) =>
            each.direction === direction &&
            this.matcher.peers(each, family).includes(other.index) &&
            this.#sets.has(this.portsOf(each, namedOf(each)), point),
        );
        if (rule === undefined) continue;
        return rule.action === "Pass" ? undefined : { by: "rule", direction, policy: ref, path: rule.path, action: rule.action };
      }
      return undefined;
    };
    const denied: Reason | undefined =
      isolating.length === 0 ? undefined : { by: "default deny", direction, policies: isolating.map(({ ref }): PolicyRef => ref) };
    return decide("Admin") ?? decide("NetworkPolicy") ?? denied ?? decide("Baseline") ?? { by: "nothing isolates", direction };
  }

  /** Whose named ports count for a rule of egress. */
  #namedOf(rule: LayeredRule, destination: Atom): PodFacts | undefined {
    const facts = this.matcher.facts(destination);
    if (rule.namesOfSelected !== true) return facts;
    const isSelected = rule.peers?.some((term) => term.kind === "pods" && this.matcher.of(term, 4).includes(destination.index));
    return isSelected === true ? facts : undefined;
  }

  #profileOf(subject: PodAtom): Record<Direction, { readonly id: string; readonly profile: Profile }> {
    const known = this.#profiles.get(subject.index);
    if (known !== undefined) return known;
    const [ingress, egress] = DIRECTIONS.map((direction) => {
      const policies = this.policiesOf(subject).filter(
        ({ isolates, rules }) => isolates.includes(direction) || rules.some((rule) => rule.direction === direction),
      );
      const hasNames = direction === "ingress" && policies.some(({ rules }) => rules.some(({ ports }) => (ports?.names.length ?? 0) > 0));
      const named = hasNames ? this.matcher.facts(subject) : undefined;
      const id = `${policies.map((policy) => this.#ids.get(policy)).join()} ${named === undefined ? "" : JSON.stringify(named.ports)}`;
      return { id, profile: { policies, named } };
    });
    const nothing = { id: "", profile: { policies: [], named: undefined } };
    const made = { ingress: ingress ?? nothing, egress: egress ?? nothing };
    this.#profiles.set(subject.index, made);
    return made;
  }

  #judge({ policies, named }: Profile, direction: Direction, family: Family): Vector {
    const { none, all } = this.#sets;
    const size = this.#partition.atoms.length;
    const judging: Judging = {
      allowed: new Uint32Array(size).fill(none),
      left: new Uint32Array(size).fill(none),
      passed: new Uint32Array(size).fill(none),
    };
    const { allowed, left, passed } = judging;
    for (const index of this.matcher.everyone(family)) left[index] = all;
    // What is passed leaves the tier, and is left for the next one.
    const apply = (tier: LayeredPolicy["tier"]): void => {
      const own = policies.filter((each) => each.tier === tier);
      if (own.length === 0) return;
      for (const policy of own) {
        for (const rule of policy.rules) if (rule.direction === direction) this.#apply(rule, { judging, named, family });
      }
      if (tier === "NetworkPolicy") return;
      for (let i = 0; i < size; i++) left[i] = this.#sets.union(left[i] ?? none, passed[i] ?? none);
      passed.fill(none);
    };
    apply("Admin");
    apply("NetworkPolicy");
    if (policies.some(({ isolates }) => isolates.includes(direction))) left.fill(none);
    apply("Baseline");
    for (let i = 0; i < size; i++) allowed[i] = this.#sets.union(allowed[i] ?? none, left[i] ?? none);
    return allowed;
  }

  #apply(
    rule: LayeredRule,
    { judging, named, family }: { readonly judging: Judging; readonly named: PodFacts | undefined; readonly family: Family },
  ): void {
    const sets = this.#sets;
    const { allowed, left, passed } = judging;
    const peers: AtomList = this.matcher.peers(rule, family);
    const ofPeers = rule.direction === "egress" && (rule.ports?.names.length ?? 0) > 0;
    const same = ofPeers ? sets.none : this.portsOf(rule, named);
    for (const index of peers) {
      const before = left[index] ?? sets.none;
      if (before === sets.none) continue;
      const atom = ofPeers ? this.#partition.atoms[index] : undefined;
      const ports = atom === undefined ? same : this.portsOf(rule, this.#namedOf(rule, atom));
      const taken = sets.intersect(before, ports);
      if (taken === sets.none) continue;
      left[index] = sets.subtract(before, taken);
      if (rule.action === "Accept") allowed[index] = sets.union(allowed[index] ?? sets.none, taken);
      else if (rule.action === "Pass") passed[index] = sets.union(passed[index] ?? sets.none, taken);
    }
  }
}

export interface Question {
  readonly subject: PodAtom;
  readonly direction: Direction;
  readonly other: Atom;
  readonly family: Family;
  /** `pointOf` the packet. */
  readonly point: number;
}
