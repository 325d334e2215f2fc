// masquerade: snat to what the outgoing link has for an address. Mirrors nft_masq.c and nf_nat_masquerade.c (net/netfilter), which drop
// where it has none.
import type { Statement } from "#nft";
import type { Act } from "../evaluation.ts";
import { flagsOf } from "./nat.ts";

export function compileMasquerade({ flags }: Extract<Statement, { kind: "masquerade" }>): Act {
  const base = flagsOf(flags);
  return ({ skb, around, linkOut }) => {
    const addr = linkOut === undefined ? undefined : around.masqueradeAddr(linkOut, skb.packet.dst);
    if (addr === undefined) return { kind: "drop" };
    return { kind: around.bind(skb, { ...base, addr }, "source") };
  };
}
