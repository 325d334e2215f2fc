// log: the rule that logged is in the steps. Mirrors nft_log_eval (net/netfilter/nft_log.c).
import type { Act } from "../evaluation.ts";

export function compileLog(): Act {
  return () => undefined;
}
