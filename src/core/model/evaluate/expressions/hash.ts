// Hashes. The kernel's depend on seeds of its own (`jhash` without one, `symhash` always) and are choices then, and so is `jhash` with a
// seed: what counts for a walk is that every number can come out. Mirrors net/netfilter/nft_hash.c.
import type { Expr } from "#nft";
import type { Compiling, Read } from "../evaluation.ts";
import { evenly } from "./ways.ts";

export function compileHash(expr: Extract<Expr, { kind: "jhash" | "symhash" }>, compiling: Compiling): Read {
  const { kind, mod, offset = 0 } = expr;
  const ways = evenly(mod);
  const what = `${kind} mod ${mod}`;
  const of = expr.kind === "jhash" ? compiling.read(expr.of) : undefined;
  return (evaluation) => {
    if (of !== undefined && of(evaluation) === undefined) return undefined;
    return evaluation.choices.choose(ways, what) + offset;
  };
}
