// One rule of a policy as sets, and as the few nft rules that look into them. Pure.
//
// (any of the peers) and (any of the ports): pods are one set, blocks another, since intervals and addresses that come and go do not go
// together; numbers of ports are one set, named ports, which differ from pod to pod, another with the pod's address. So a rule of a policy
// becomes at most four rules of nft per family, however many peers and ports it has.

import { createHash } from "node:crypto";
import { type Family, formatAddr } from "#ip";
import { type Cluster, countsForNames, type Direction, isSelectedPeer, type PodFacts, type Policy, type PolicyRule } from "#netpol";
import { concat, type Element, inSet, type NftSet, type Rule, type Statement } from "#nft";
import { addrType, DESTINATION_PORT, destinationOf, FAMILIES, ofFamily, PROTOCOL, sourceOf } from "./layout.ts";

export interface CompiledRule {
  readonly sets: readonly NftSet[];
  /** Each ends in `return`: allowed. */
  readonly rules: readonly Rule[];
}

/** A condition, and the family that it is about, if any. */
interface Condition {
  readonly family: Family | undefined;
  readonly statements: readonly Statement[];
}

const ALWAYS: readonly Condition[] = [{ family: undefined, statements: [] }];

/** nft shows 127 bytes of a comment. */
const COMMENT_BYTES = 127;

/** Names in the kernel are shorter than names of objects may be, and must not run together. */
export function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

export function ruleId(policy: Policy, { direction, index }: Pick<PolicyRule, "direction" | "index">): string {
  return `${direction}-${digest(policy.key)}-${index}`;
}

function comment(policy: Policy, direction: Direction, index: number): string {
  const tail = ` ${direction}[${index}]`;
  return `${policy.key.slice(0, COMMENT_BYTES - tail.length)}${tail}`;
}

export function compileRule(policy: Policy, rule: PolicyRule, cluster: Cluster): CompiledRule {
  const id = ruleId(policy, rule);
  const note = comment(policy, rule.direction, rule.index);
  const sets: NftSet[] = [];
  const peers = compilePeers({ id, policy, rule, cluster }, sets);
  const ports = compilePorts({ id, policy, rule, cluster }, sets);
  const rules = peers.flatMap((peer) =>
    ports.flatMap((port): Rule[] => {
      if (peer.family !== undefined && port.family !== undefined && peer.family !== port.family) return [];
      const family = peer.family ?? port.family;
      const statements = [...(family === undefined ? [] : [ofFamily(family)]), ...peer.statements, ...port.statements];
      return [{ statements: [...statements, { kind: "verdict", verdict: { kind: "return" } }], comment: note }];
    }),
  );
  return { sets: sets.map((set) => ({ ...set, comment: note })), rules };
}

interface Input {
  readonly id: string;
  readonly policy: Policy;
  readonly rule: PolicyRule;
  readonly cluster: Cluster;
}

/** Adds the sets that it needs to `sets`. */
function compilePeers({ id, policy, rule, cluster }: Input, sets: NftSet[]): readonly Condition[] {
  if (rule.peers === undefined) return ALWAYS;
  const { selectors, blocks } = rule.peers;
  const conditions: Condition[] = [];
  const pods =
    selectors.length === 0 ? [] : [...cluster.pods.values()].filter((pod) => isSelectedPeer(policy, rule, pod, cluster.namespaces));
  for (const family of FAMILIES) {
    const peer = rule.direction === "ingress" ? sourceOf(family) : destinationOf(family);
    const key = [addrType(family)];
    const add = (name: string, set: Pick<NftSet, "flags" | "elements">): void => {
      sets.push({ name, key, ...set });
      conditions.push({ family, statements: [inSet(peer, name)] });
    };
    if (selectors.length > 0) add(`${id}-pods${family}`, { elements: addrElements(pods, family) });
    const intervals = blocks?.[family] ?? [];
    if (intervals.length > 0)
      add(`${id}-blocks${family}`, { flags: ["interval"], elements: intervals.map((interval) => ({ key: [interval] })) });
  }
  return conditions;
}

function addrElements(pods: readonly PodFacts[], family: Family): Element[] {
  const elements = new Map<string, Element>();
  for (const { addrs } of pods) for (const addr of addrs) if (addr.family === family) elements.set(formatAddr(addr), { key: [addr] });
  return [...elements.values()];
}

function compilePorts({ id, policy, rule, cluster }: Input, sets: NftSet[]): readonly Condition[] {
  if (rule.ports === undefined) return ALWAYS;
  const { numbers, names } = rule.ports;
  const conditions: Condition[] = [];
  if (numbers.length > 0) {
    const name = `${id}-ports`;
    const elements = numbers.map(({ protocol, first, last }): Element => ({ key: [protocol, first === last ? first : { first, last }] }));
    sets.push({ name, key: ["inet_proto", "inet_service"], flags: ["interval"], elements });
    conditions.push({ family: undefined, statements: [inSet(concat(PROTOCOL, DESTINATION_PORT), name)] });
  }
  if (names.length === 0) return conditions;
  const pods = [...cluster.pods.values()].filter((pod) => countsForNames(policy, rule, pod, cluster.namespaces));
  for (const family of FAMILIES) {
    const name = `${id}-names${family}`;
    sets.push({ name, key: [addrType(family), "inet_proto", "inet_service"], elements: namedElements(pods, names, family) });
    conditions.push({ family, statements: [inSet(concat(destinationOf(family), PROTOCOL, DESTINATION_PORT), name)] });
  }
  return conditions;
}

/** Each pod with its own numbers: a name may be another port on every pod. */
function namedElements(pods: readonly PodFacts[], names: NonNullable<PolicyRule["ports"]>["names"], family: Family): Element[] {
  const elements = new Map<string, Element>();
  for (const { addrs, ports } of pods) {
    const wanted = ports.filter(({ name, protocol }) => names.some((port) => port.name === name && port.protocol === protocol));
    for (const addr of addrs.filter((own) => own.family === family)) {
      for (const { protocol, port } of wanted) elements.set(`${formatAddr(addr)} ${protocol} ${port}`, { key: [addr, protocol, port] });
    }
  }
  return [...elements.values()];
}
