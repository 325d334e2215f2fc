// A rule entry by entry, where compiling makes one set of all of them: so that an answer can say `from[1]`. Pure.
import type { Block } from "./blocks.ts";
import { type PeerTerm, type PortTerm, parsePeer, parsePort } from "./parse.ts";
import type { Direction, Policy } from "./types.ts";

export type Placed<T> = T & { readonly index: number; readonly path: string };

export interface RuleTerms {
  readonly direction: Direction;
  readonly index: number;
  /** `spec.ingress[0]`. */
  readonly path: string;
  /** Undefined: from and to everywhere. */
  readonly peers: readonly Placed<PeerTerm>[] | undefined;
  /** Undefined: every port of every protocol. */
  readonly ports: readonly Placed<PortTerm>[] | undefined;
}

export type { Block, PeerTerm, PortTerm };

// Judging asks about the same policies again and again; a policy that changes is another object.
const known = new WeakMap<Policy, readonly RuleTerms[]>();

/** The rules that count: those of directions in which the policy isolates. */
export function termsOf(policy: Policy): readonly RuleTerms[] {
  const before = known.get(policy);
  if (before !== undefined) return before;
  const terms = [...rulesOf(policy, "ingress"), ...rulesOf(policy, "egress")];
  known.set(policy, terms);
  return terms;
}

function rulesOf({ spec, isolates }: Policy, direction: Direction): RuleTerms[] {
  if (!isolates.includes(direction)) return [];
  const rules =
    direction === "ingress"
      ? (spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (spec.egress ?? []).map(({ to, ports }) => ({ peers: to, ports }));
  return rules.map(({ peers = [], ports = [] }, index) => {
    const path = `spec.${direction}[${index}]`;
    return {
      direction,
      index,
      path,
      peers: peers.length === 0 ? undefined : place(peers.map(parsePeer), `${path}.${peerField(direction)}`),
      ports: ports.length === 0 ? undefined : place(ports.map(parsePort), `${path}.ports`),
    };
  });
}

/** What the API calls the list of peers. */
export function peerField(direction: Direction): "from" | "to" {
  return direction === "ingress" ? "from" : "to";
}

function place<T>(terms: readonly T[], path: string): Placed<T>[] {
  return terms.map((term, index) => ({ ...term, index, path: `${path}[${index}]` }));
}
