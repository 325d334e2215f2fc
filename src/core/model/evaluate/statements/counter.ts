// counter: the rule that counted is in the steps. Mirrors nft_counter_eval (net/netfilter/nft_counter.c).
import type { Act } from "../evaluation.ts";

export function compileCounter(): Act {
  return () => undefined;
}
