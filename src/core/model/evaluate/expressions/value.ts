// Constants. Mirrors nft_immediate_eval (net/netfilter/nft_immediate.c).
import type { Expr } from "#nft";
import type { Read } from "../evaluation.ts";
import { scalarOf } from "../scalar.ts";

export function compileValue({ type, value }: Extract<Expr, { kind: "value" }>): Read {
  const scalar = scalarOf(type, value);
  return () => scalar;
}
