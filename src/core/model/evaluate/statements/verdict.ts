// accept, drop, continue, return, jump, goto. Mirrors nft_immediate_eval (net/netfilter/nft_immediate.c) into the verdict register.
import type { Statement } from "#nft";
import type { Act } from "../evaluation.ts";

export function compileVerdict({ verdict }: Extract<Statement, { kind: "verdict" }>): Act {
  return verdict.kind === "continue" ? () => undefined : () => verdict;
}
