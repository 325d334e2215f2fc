// `left @set` and `left != @set`. Mirrors nft_lookup_eval (net/netfilter/nft_lookup.c) with NFT_LOOKUP_F_INV.
import type { Statement } from "#nft";
import type { Act, Compiling } from "../evaluation.ts";
import { lookUp } from "../lookup.ts";

export function compileIn({ left, set: name, not = false }: Extract<Statement, { kind: "in" }>, compiling: Compiling): Act {
  const set = compiling.set(name);
  const id = `${compiling.table} ${name}`;
  const read = compiling.read(left);
  return (evaluation) => {
    const value = read(evaluation);
    if (value === undefined) return "break";
    return (lookUp(evaluation, set, id, value) === undefined) === not ? undefined : "break";
  };
}
