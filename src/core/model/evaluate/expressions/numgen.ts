// Numbers out of nowhere: `numgen random` is chance, and where `numgen inc` stands, the model does not know. Both are choices of the walk.
// Mirrors nft_ng_random_eval and nft_ng_inc_eval (net/netfilter/nft_numgen.c).
import type { Expr } from "#nft";
import type { Read } from "../evaluation.ts";
import { evenly } from "./ways.ts";

type NumgenExpr = Extract<Expr, { kind: "numgen" }>;

export function compileNumgen({ mode, mod, offset = 0 }: NumgenExpr): Read {
  const ways = evenly(mod);
  const what = `numgen ${mode} mod ${mod}`;
  return ({ choices }) => choices.choose(ways, what) + offset;
}
