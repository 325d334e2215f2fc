// Pods of which no policy of two worlds could tell one from the other. Pure.
import { type Addr, formatPrefix, type Prefix, prefixContains } from "#ip";
import type { Labels } from "#kube";
import { parseCidr } from "./blocks.ts";
import type { World } from "./judge-types.ts";
import { termsOf } from "./terms.ts";
import type { PodFacts } from "./types.ts";

export interface PodClass {
  readonly id: number;
  readonly example: PodFacts;
  /** `namespace/name` of each. */
  readonly keys: readonly string[];
}

/** Those with addresses of their own. `after` has the same pods, with other labels perhaps. */
export function podClasses(world: World, after: World): PodClass[] {
  const blocks = blocksOf([world, after]);
  const signature = new Signature(blocks);
  const groups = Map.groupBy(
    [...world.cluster.pods.values()].filter(({ isPeer }) => isPeer),
    (pod) => `${signature.of(pod)} ${signature.labels(after.cluster.pods.get(pod.key)?.labels ?? {})}`,
  );
  return [...groups.values()].flatMap(([example, ...more], id) =>
    example === undefined ? [] : [{ id, example, keys: [example, ...more].map(({ key }) => key) }],
  );
}

class Signature {
  readonly #blocks: readonly Prefix[];

  constructor(blocks: readonly Prefix[]) {
    this.#blocks = blocks;
  }

  of({ namespace, labels, ports, addrs }: PodFacts): string {
    const places = addrs.map((addr) => `${addr.family}${this.#placeOf(addr)}`);
    return [namespace, this.labels(labels), JSON.stringify(ports), ...places].join(" ");
  }

  labels(labels: Labels): string {
    return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #placeOf(addr: Addr): string {
    return this.#blocks.flatMap((block, i) => (prefixContains(block, addr) ? [i] : [])).join();
  }
}

/** All that a policy names, exceptions too. */
function blocksOf(worlds: readonly World[]): Prefix[] {
  const found = new Map<string, Prefix>();
  const policies = new Set(worlds.flatMap(({ policies: all }) => [...all.values()].flatMap((own) => [...own.values()])));
  const terms = [...policies].flatMap(termsOf).flatMap(({ peers = [] }) => peers);
  for (const term of terms) {
    if (term.kind === "block") for (const block of [term.block.cidr, ...term.block.except]) found.set(formatPrefix(block), block);
  }
  return [...found.values(), ...worlds.flatMap(clusterBlocks)];
}

function clusterBlocks({ clusterPolicies = [] }: World): Prefix[] {
  return clusterPolicies.flatMap(({ spec }) =>
    (spec?.egress ?? []).flatMap(({ to }) => to.flatMap(({ networks = [] }) => networks.flatMap((text) => parseCidr(text) ?? []))),
  );
}
