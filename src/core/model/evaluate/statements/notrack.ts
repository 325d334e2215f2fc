// notrack: conntrack leaves the packet alone, if it has not seen it yet. Mirrors nft_notrack_eval (net/netfilter/nft_ct.c).
import type { Act } from "../evaluation.ts";

export function compileNotrack(): Act {
  return ({ skb }) => {
    if (skb.ct === undefined) skb.ctState = "untracked";
    return undefined;
  };
}
