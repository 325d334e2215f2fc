// Rules one after the other. Mirrors nft_do_chain (net/netfilter/nf_tables_core.c).

import { FairleadError } from "#base";
import type { Chain, RejectWith } from "#nft";
import type { Act, Compiling, Evaluation, Outcome, RuleStep, RuleVerdict } from "./evaluation.ts";
import { compileStatement } from "./statements/index.ts";

export interface PreparedChain {
  readonly name: string;
  readonly chain: Chain;
  readonly rules: readonly PreparedRule[];
}

interface PreparedRule {
  readonly acts: readonly Act[];
  readonly comment: string | undefined;
}

/** What ends the evaluation of a base chain. Undefined: nothing did, and its policy counts. */
export type Final =
  | { readonly kind: "accept" | "drop"; readonly by?: RuleStep }
  | { readonly kind: "reject"; readonly with: RejectWith; readonly by?: RuleStep };

export function prepareChain(chain: Chain, compiling: Compiling): PreparedChain {
  const rules = chain.rules.map(({ statements, comment }) => ({
    acts: statements.map((statement) => compileStatement(statement, compiling)),
    comment,
  }));
  return { name: chain.name, chain, rules };
}

/** The chains of a table, by name. */
export interface Chains {
  /** `family name`. */
  readonly table: string;
  readonly chains: ReadonlyMap<string, PreparedChain>;
}

/** NFT_JUMP_STACK_SIZE of nf_tables.h. */
const JUMP_STACK = 16;

export function runChain(table: Chains, chain: PreparedChain, evaluation: Evaluation, depth = 0): Final | undefined {
  for (let i = 0; i < chain.rules.length; i++) {
    const rule = chain.rules[i];
    if (rule === undefined) continue;
    evaluation.elements = undefined;
    const outcome = runRule(rule.acts, evaluation);
    if (outcome === "break") continue;
    const step = evaluation.steps && record({ table, chain, index: i, comment: rule.comment, verdict: outcome }, evaluation);
    if (outcome === undefined) continue;
    switch (outcome.kind) {
      case "accept":
      case "drop":
        return { kind: outcome.kind, ...(step !== undefined && { by: step }) };
      case "reject":
        return { kind: "reject", with: outcome.with, ...(step !== undefined && { by: step }) };
      case "return":
        return undefined;
      case "goto":
        return runChain(table, chainOf(table, outcome.chain, depth), evaluation, depth + 1);
      case "jump": {
        const final = runChain(table, chainOf(table, outcome.chain, depth), evaluation, depth + 1);
        if (final !== undefined) return final;
      }
    }
  }
  return undefined;
}

function runRule(acts: readonly Act[], evaluation: Evaluation): Outcome {
  for (const act of acts) {
    const outcome = act(evaluation);
    if (outcome !== undefined) return outcome === "break" || outcome.kind !== "continue" ? outcome : undefined;
  }
  return undefined;
}

function chainOf({ chains, table }: Chains, name: string, depth: number): PreparedChain {
  const chain = chains.get(name);
  if (chain === undefined)
    throw new FairleadError(`Cannot walk through table ${table}: there is no chain ${name}`, { code: "NoSuchChain" });
  if (depth >= JUMP_STACK) {
    throw new FairleadError(`Cannot walk through table ${table}: more than ${JUMP_STACK} jumps into each other at chain ${name}`, {
      code: "TooManyJumps",
    });
  }
  return chain;
}

interface Recorded {
  readonly table: Chains;
  readonly chain: PreparedChain;
  readonly index: number;
  readonly comment: string | undefined;
  readonly verdict: RuleVerdict | undefined;
}

function record({ table, chain, index, comment, verdict }: Recorded, { steps, elements }: Evaluation): RuleStep {
  const step: RuleStep = {
    table: table.table,
    chain: chain.name,
    index,
    ...(comment !== undefined && { comment }),
    ...(verdict !== undefined && { verdict }),
    ...(elements !== undefined && { elements }),
  };
  steps?.push(step);
  return step;
}
