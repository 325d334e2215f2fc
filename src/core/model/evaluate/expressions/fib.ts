// Questions to the routing table. Mirrors nft_fib4_eval_type, nft_fib4_eval (net/ipv4/netfilter/nft_fib_ipv4.c) and their like for IPv6
// (net/ipv6/netfilter/nft_fib_ipv6.c). What came in over loopback is said to lead back there (nft_fib_is_loopback).
import type { Expr } from "#nft";
import type { Evaluation, Read } from "../evaluation.ts";

type FibExpr = Extract<Expr, { kind: "fib" }>;

export function compileFib({ keys, result }: FibExpr): Read {
  const ofDestination = keys.includes("daddr");
  const linkOf = (evaluation: Evaluation): string | undefined =>
    keys.includes("iif") ? evaluation.linkIn : keys.includes("oif") ? evaluation.linkOut : undefined;
  if (result === "type") {
    return (evaluation) => {
      const { src, dst } = evaluation.skb.packet;
      return evaluation.around.addrType(ofDestination ? dst : src, linkOf(evaluation));
    };
  }
  const usesMark = keys.includes("mark");
  return (evaluation) => {
    const { skb, around, hook, linkIn } = evaluation;
    const { src, dst } = skb.packet;
    const link =
      hook === "prerouting" && linkIn === "lo"
        ? linkIn
        : around.linkTo(ofDestination ? dst : src, {
            src: ofDestination ? src : dst,
            mark: usesMark ? skb.mark : 0,
            link: linkOf(evaluation),
          });
    return result === "oif" ? around.linkIndex(link) : (link ?? "");
  };
}
