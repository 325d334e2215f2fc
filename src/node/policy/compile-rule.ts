// One rule of a policy as sets, and as the few nft rules that look into them. Pure.
//
// (any of the peers) and (any of the ports): pods are one set, blocks another, since intervals and addresses that come and go do not go
// together; numbers of ports are one set, named ports, which differ from pod to pod, another with the pod's address. One or two intervals of
// blocks or ports are compared in the rule itself. So a rule of a policy becomes a few rules of nft, however many peers and ports it has.

import { createHash } from "node:crypto";
import { FAMILIES, type Family, formatAddr } from "#ip";
import {
  type Cluster,
  countsForNames,
  isSelectedPeer,
  type PeerSelector,
  type PodFacts,
  type Policy,
  type PolicyRule,
  type PortInterval,
} from "#netpol";
import { concat, type Expr, equals, type Interval, inSet, type NftSet, ofFamily, type Rule, type SetHeader, type Statement } from "#nft";
import { addrType, DESTINATION_PORT, destinationOf, PROTOCOL, sourceOf } from "./layout.ts";
import { addrElement, type Keyed, LiveSet } from "./live-set.ts";
import { EVERY_POD, type PodIndex, type Scope, scopeOf } from "./scope.ts";

export interface CompiledRule {
  readonly sets: readonly NftSet[];
  /** Those of `sets` that follow the pods. */
  readonly live: readonly LiveSet[];
  /** Of a NetworkPolicy each ends in `return`: allowed. */
  readonly rules: readonly Rule[];
}

/** With the index, where there is one, a rule is compiled without a look at all pods. */
export interface IndexedCluster extends Cluster {
  readonly index?: PodIndex;
}

/** A condition, and the family that it is about, if any. */
export interface Condition {
  readonly family: Family | undefined;
  readonly statements: readonly Statement[];
}

export const ALWAYS: readonly Condition[] = [{ family: undefined, statements: [] }];

/** nft shows 127 bytes of a comment. */
const COMMENT_BYTES = 127;

/** Names in the kernel are shorter than names of objects may be, and must not run together. */
export function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

const keyDigests = new WeakMap<Policy, string>();

export function ruleId(policy: Policy, { direction, index }: Pick<PolicyRule, "direction" | "index">): string {
  let key = keyDigests.get(policy);
  if (key === undefined) {
    key = digest(policy.key);
    keyDigests.set(policy, key);
  }
  return `${direction}-${key}-${index}`;
}

export function comment(key: string, { direction, index }: Pick<PolicyRule, "direction" | "index">): string {
  const tail = ` ${direction}[${index}]`;
  return `${key.slice(0, COMMENT_BYTES - tail.length)}${tail}`;
}

export interface RuleInput {
  readonly policy: Policy;
  readonly rule: PolicyRule;
  readonly cluster: IndexedCluster;
  /** Another one gives its sets other names: see parts.ts. */
  readonly version?: number;
  /** Sets of peers by name: rules that mean the same pods have one. New ones are put in. */
  readonly shared?: Map<string, LiveSet>;
}

export function compileRule(input: RuleInput): CompiledRule {
  const { policy, rule } = input;
  const note = comment(policy.key, rule);
  const sets = new RuleSets({ id: ruleId(policy, rule), version: input.version ?? 0, comment: note });
  const peers = compilePeers(input, sets);
  const ports = compilePorts(input, sets);
  return { sets: sets.sets, live: sets.live, rules: combine(peers, ports).map((own) => allow(own, note)) };
}

function allow(statements: readonly Statement[], note: string): Rule {
  return { statements: [...statements, { kind: "verdict", verdict: { kind: "return" } }], comment: note };
}

/** (any of the peers) and (any of the ports), as the conditions of as many rules as it takes. */
export function combine(peers: readonly Condition[], ports: readonly Condition[]): Statement[][] {
  return peers.flatMap((peer) =>
    ports.flatMap((port): Statement[][] => {
      if (peer.family !== undefined && port.family !== undefined && peer.family !== port.family) return [];
      const family = peer.family ?? port.family;
      return [[...(family === undefined ? [] : [ofFamily(family)]), ...peer.statements, ...port.statements]];
    }),
  );
}

/**
 * The sets of one rule. Each is named by what it is for, so that a rule that says something else gets another, which can be filled before
 * a packet comes to it.
 */
export class RuleSets {
  readonly sets: NftSet[] = [];
  readonly live: LiveSet[] = [];
  readonly #id: string;
  readonly #version: number;
  readonly #comment: string;

  constructor({ id, version, comment: note }: { readonly id: string; readonly version: number; readonly comment: string }) {
    this.#id = id;
    this.#version = version;
    this.#comment = note;
  }

  name(kind: string, meaning: unknown): string {
    return `${this.#id}-${kind}-${digest(`${this.#version} ${JSON.stringify(meaning)}`).slice(0, 8)}`;
  }

  fixed(set: NftSet): void {
    this.sets.push({ ...set, comment: this.#comment });
  }

  /** Named by what it holds, for all rules that mean the same; `name` is its kind. Returns the name. */
  common({ name: kind, ...set }: NftSet): string {
    const name = `${kind}-${digest(JSON.stringify([set.elements, this.#version]))}`;
    this.sets.push({ ...set, name, comment: "for the rules that look here" });
    return name;
  }

  use(live: LiveSet): void {
    this.live.push(live);
    this.sets.push(live.set);
  }

  follow(header: SetHeader, scopes: readonly Scope[], elementsOf: (pod: PodFacts) => readonly Keyed[]): LiveSet {
    const live = new LiveSet({ header: { ...header, comment: this.#comment }, scopes, elementsOf });
    this.use(live);
    return live;
  }
}

function compilePeers(input: RuleInput, sets: RuleSets): readonly Condition[] {
  const { rule } = input;
  if (rule.peers === undefined) return ALWAYS;
  const { selectors, blocks } = rule.peers;
  const conditions: Condition[] = [];
  const fresh: LiveSet[] = [];
  for (const family of FAMILIES) {
    const peer = rule.direction === "ingress" ? sourceOf(family) : destinationOf(family);
    if (selectors.length > 0) {
      const { live, isNew } = podsOf(input, selectors, family);
      if (isNew) fresh.push(live);
      sets.use(live);
      conditions.push({ family, statements: [inSet(peer, live.set.name)] });
    }
    conditions.push(...inBlocks(blocks?.[family] ?? [], { family, peer }, sets));
  }
  fill(fresh, peersOf(input.policy, rule, input.cluster));
  return conditions;
}

/** The set of the pods that are meant, whoever means them: a pod that comes or goes is one element, in however many rules it is a peer. */
function podsOf(
  { policy, rule, cluster, version = 0, shared }: RuleInput,
  selectors: readonly PeerSelector[],
  family: Family,
): { readonly live: LiveSet; readonly isNew: boolean } {
  const isPeer = (pod: PodFacts): boolean => isSelectedPeer(policy, rule, pod, cluster.namespaces);
  return sharedPods({ selectors, namespace: policy.namespace, family, version, isPeer }, shared);
}

export interface SharedPods {
  readonly selectors: readonly PeerSelector[];
  /** Of those without `namespaces`. */
  readonly namespace: string;
  readonly family: Family;
  readonly version: number;
  readonly isPeer: (pod: PodFacts) => boolean;
}

export function sharedPods(
  { selectors, namespace, family, version, isPeer }: SharedPods,
  shared: Map<string, LiveSet> | undefined,
): { readonly live: LiveSet; readonly isNew: boolean } {
  const isOwn = selectors.some(({ namespaces }) => namespaces === undefined);
  const meaning = selectors.map(({ pods, namespaces }) => ({ pods, namespaces }));
  const name = `pods${family}-${digest(JSON.stringify([meaning, isOwn ? namespace : "", version]))}`;
  const known = shared?.get(name);
  if (known !== undefined) return { live: known, isNew: false };
  const live = new LiveSet({
    header: { name, key: [addrType(family)], comment: "peers of the rules that look here" },
    scopes: selectors.map((selector) => scopeOf(selector, namespace)),
    elementsOf: (pod) => (isPeer(pod) ? addrElements(pod, family) : []),
  });
  shared?.set(name, live);
  return { live, isNew: true };
}

/**
 * More are a set. The kernel looks a set up by its name among all of them whenever a rule is written, which takes the square of their number:
 * most rules need none for their blocks or ports.
 */
const INLINE = 2;

function within(left: Expr, { first, last }: Interval): Statement {
  return { kind: "match", left, op: "==", right: JSON.stringify(first) === JSON.stringify(last) ? first : { first, last } };
}

/** None where there is no interval. */
export function inBlocks(
  intervals: readonly Interval[],
  { family, peer }: { readonly family: Family; readonly peer: Expr },
  sets: RuleSets,
): Condition[] {
  if (intervals.length <= INLINE) return intervals.map((interval) => ({ family, statements: [within(peer, interval)] }));
  const elements = intervals.map((interval) => ({ key: [interval] }));
  const name = sets.common({ name: `blocks${family}`, key: [addrType(family)], flags: ["interval"], elements });
  return [{ family, statements: [inSet(peer, name)] }];
}

export function fill(sets: readonly LiveSet[], pods: Iterable<PodFacts>): void {
  if (sets.length === 0) return;
  for (const pod of pods) for (const live of sets) live.load(pod);
}

/** At least those that the rule's selectors select, each once. */
function peersOf(policy: Policy, rule: PolicyRule, { index, pods, namespaces }: IndexedCluster): Iterable<PodFacts> {
  if (index === undefined) return pods.values();
  const [first, ...others] = (rule.peers?.selectors ?? []).map((selector) => index.candidates(selector, policy.namespace, namespaces));
  if (first === undefined) return [];
  return others.length === 0 ? first : new Set([first, ...others].flatMap((found) => [...found]));
}

function addrElements({ addrs }: PodFacts, family: Family): Keyed[] {
  return addrs.flatMap((addr) => (addr.family === family ? [addrElement(addr)] : []));
}

function compilePorts({ policy, rule, cluster }: RuleInput, sets: RuleSets): readonly Condition[] {
  if (rule.ports === undefined) return ALWAYS;
  const { numbers, names } = rule.ports;
  const conditions = atNumbers(numbers, sets);
  if (names.length === 0) return conditions;
  const live: LiveSet[] = [];
  for (const family of FAMILIES) {
    const name = sets.name(`names${family}`, rule.direction === "ingress" ? [names, policy.subjects] : [names, rule.peers ?? []]);
    const elementsOf = (pod: PodFacts): Keyed[] =>
      countsForNames(policy, rule, pod, cluster.namespaces) ? namedElements(pod, names, family) : [];
    live.push(sets.follow({ name, key: [addrType(family), "inet_proto", "inet_service"] }, namedScopes(policy, rule), elementsOf));
    conditions.push({ family, statements: [inSet(concat(destinationOf(family), PROTOCOL, DESTINATION_PORT), name)] });
  }
  fill(live, namedOf(policy, rule, cluster));
  return conditions;
}

/** None where there is no number. */
export function atNumbers(numbers: readonly PortInterval[], sets: RuleSets): Condition[] {
  if (numbers.length <= INLINE)
    return numbers.map(({ protocol, first, last }) => ({
      family: undefined,
      statements: [equals(PROTOCOL, protocol), within(DESTINATION_PORT, { first, last })],
    }));
  const elements = numbers.map(({ protocol, first, last }) => ({ key: [protocol, first === last ? first : { first, last }] }));
  const name = sets.common({ name: "ports", key: ["inet_proto", "inet_service"], flags: ["interval"], elements });
  return [{ family: undefined, statements: [inSet(concat(PROTOCOL, DESTINATION_PORT), name)] }];
}

/** See `countsForNames`. */
function namedScopes({ namespace, subjects }: Policy, { direction, peers }: PolicyRule): Scope[] {
  if (direction === "ingress") return [scopeOf({ pods: subjects, namespaces: undefined }, namespace)];
  if (peers === undefined || peers.blocks !== undefined) return [EVERY_POD];
  return peers.selectors.map((selector) => scopeOf(selector, namespace));
}

function namedOf(policy: Policy, rule: PolicyRule, cluster: IndexedCluster): Iterable<PodFacts> {
  const { index, pods, namespaces } = cluster;
  if (rule.direction === "ingress" && index !== undefined)
    return index.candidates({ pods: policy.subjects, namespaces: undefined }, policy.namespace, namespaces);
  if (rule.peers === undefined || rule.peers.blocks !== undefined) return pods.values();
  return peersOf(policy, rule, cluster);
}

/** Each pod with its own numbers: a name may be another port on every pod. */
export function namedElements({ addrs, ports }: PodFacts, names: NonNullable<PolicyRule["ports"]>["names"], family: Family): Keyed[] {
  const wanted = ports.filter(({ name, protocol }) => names.some((port) => port.name === name && port.protocol === protocol));
  // Two names may be one number.
  const found = new Map<string, Keyed>();
  for (const addr of addrs) {
    if (addr.family !== family) continue;
    for (const { protocol, port } of wanted) {
      const text = `${formatAddr(addr)} ${protocol} ${port}`;
      found.set(text, { text, element: { key: [addr, protocol, port] } });
    }
  }
  return [...found.values()];
}
