// `meta mark set`, `meta nftrace set`, `ct mark set`. Mirrors nft_meta_set_eval (net/netfilter/nft_meta.c) and nft_ct_set_eval
// (net/netfilter/nft_ct.c), which does nothing where there is no connection.
import type { Statement } from "#nft";
import type { Act, Compiling } from "../evaluation.ts";

export function compileSet({ target, value }: Extract<Statement, { kind: "set" }>, compiling: Compiling): Act {
  const read = compiling.read(value);
  return (evaluation) => {
    const number = read(evaluation);
    if (typeof number !== "number") return "break";
    const { skb } = evaluation;
    if (target.kind === "ct") {
      if (skb.ct !== undefined) skb.ct.mark = number;
    } else if (target.key === "mark") skb.mark = number;
    else skb.nftrace = (number & 1) !== 0;
    return undefined;
  };
}
