// limit: the model's packets come alone, so a rate is never reached. Mirrors nft_limit_pkts_eval (net/netfilter/nft_limit.c).
import type { Statement } from "#nft";
import type { Act } from "../evaluation.ts";

export function compileLimit({ over = false }: Extract<Statement, { kind: "limit" }>): Act {
  return () => (over ? "break" : undefined);
}
