// From the pods of a node and the policies of the cluster to the table that should be. Pure.

import { type Addr, formatAddr } from "#ip";
import { type Cluster, type Direction, type Policy, selects } from "#netpol";
import { type Chain, drop, type Element, type NftSet, type SetHeader, type Table, type Verdict } from "#nft";
import { type CompiledRule, compileRule, digest, ruleId } from "./compile-rule.ts";
import { FAMILIES, isolationMap, selfSet, skeletonChains, TABLE, UNKNOWN_CHAIN } from "./layout.ts";
import type { Subject } from "./types.ts";

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

export interface CompileInput {
  readonly subjects: Iterable<Subject>;
  /** By namespace. */
  readonly policies: ReadonlyMap<string, ReadonlyMap<string, Policy>>;
  readonly cluster: Cluster;
  /** Rules that have been compiled and still hold, by id; the caller takes out what has changed. New ones are put in. */
  readonly known: Map<string, CompiledRule>;
}

export interface Desired {
  readonly table: Table;
  readonly isolatedPods: number;
  readonly selectorGroups: number;
}

interface Group {
  readonly chain: string;
  readonly direction: Direction;
  readonly policies: readonly Policy[];
}

/**
 * Pods that the same policies isolate share one chain per direction. A set, chain or rule that has not changed is the same object as last time, so
 * that finding the difference costs as much as the change.
 */
export function compile({ subjects, policies, cluster, known }: CompileInput): Desired {
  const groups = new Map<string, Group>();
  const elements = new Elements();
  let isolatedPods = 0;
  for (const { addrs, facts } of subjects) {
    let isIsolated = false;
    for (const direction of DIRECTIONS) {
      const chain = facts === undefined ? UNKNOWN_CHAIN : groupOf(direction, isolating(direction, facts, policies), groups);
      if (chain === undefined) continue;
      isIsolated = true;
      for (const addr of addrs) elements.put(isolationMap(direction, addr.family), addr, { key: [addr], data: jumpVerdict(chain) });
    }
    if (!isIsolated) continue;
    isolatedPods++;
    for (const addr of addrs) elements.put(selfSet(addr.family), addr, { key: [addr, addr] });
  }
  const rules = rulesOf(groups.values(), cluster, known);
  const sets = FAMILIES.flatMap((family) =>
    [selfSet(family), ...DIRECTIONS.map((direction) => isolationMap(direction, family))].map((header) => elements.of(header)),
  );
  const chains = [
    ...skeletonChains().filter(({ base }) => base === undefined),
    { name: UNKNOWN_CHAIN, rules: [{ statements: [drop()] }], comment: "pods that the API does not know" },
    ...[...groups.values()].map((group) => groupChain(group, rules)),
    ...skeletonChains().filter(({ base }) => base !== undefined),
  ];
  const table: Table = {
    ...TABLE,
    comment: "NetworkPolicy, by Fairlead",
    sets: [...sets, ...[...rules.values()].flatMap(({ sets: own }) => own)],
    chains,
  };
  return { table, isolatedPods, selectorGroups: groups.size };
}

function isolating(direction: Direction, pod: NonNullable<Subject["facts"]>, policies: CompileInput["policies"]): Policy[] {
  const own = [...(policies.get(pod.namespace)?.values() ?? [])];
  return own.filter((policy) => policy.isolates.includes(direction) && selects(policy, pod));
}

/** The name of the group's chain; undefined where nothing isolates. */
function groupOf(direction: Direction, policies: readonly Policy[], groups: Map<string, Group>): string | undefined {
  if (policies.length === 0) return undefined;
  const sorted = policies.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const chain = `${direction}-${digest(sorted.map(({ key }) => key).join(" "))}`;
  if (!groups.has(chain)) groups.set(chain, { chain, direction, policies: sorted });
  return chain;
}

function rulesOf(groups: Iterable<Group>, cluster: Cluster, known: Map<string, CompiledRule>): Map<string, CompiledRule> {
  const rules = new Map<string, CompiledRule>();
  for (const { direction, policies } of groups) {
    for (const policy of policies) {
      for (const rule of policy.rules) {
        const id = ruleId(policy, rule);
        if (rule.direction !== direction || rules.has(id)) continue;
        rules.set(id, known.get(id) ?? compileRule(policy, rule, cluster));
      }
    }
  }
  // What no pod of this node needs is forgotten: nobody would notice its changes.
  known.clear();
  for (const [id, rule] of rules) known.set(id, rule);
  return rules;
}

function groupChain({ chain, direction, policies }: Group, rules: ReadonlyMap<string, CompiledRule>): Chain {
  const own = policies.flatMap((policy) => policy.rules.filter((rule) => rule.direction === direction).map((rule) => ruleId(policy, rule)));
  return { name: chain, rules: [...own.flatMap((id) => rules.get(id)?.rules ?? []), { statements: [drop()], comment: "isolated" }] };
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
