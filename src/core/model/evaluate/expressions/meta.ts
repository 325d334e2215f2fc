// Metadata of the packet. Mirrors nft_meta_get_eval (net/netfilter/nft_meta.c): a link that is not there has the number 0 and no name.
import { type MetaKey, NFPROTO } from "#nft";
import type { Evaluation, Read } from "../evaluation.ts";
import type { Scalar } from "../scalar.ts";

/** ETH_P_* of linux/if_ether.h. */
const ETHER_TYPE = { 4: 0x0800, 6: 0x86dd } as const;

export function compileMeta(key: MetaKey): Read {
  return KEYS[key];
}

const KEYS: Readonly<Record<MetaKey, (evaluation: Evaluation) => Scalar>> = {
  l4proto: ({ skb }) => skb.packet.protocol,
  nfproto: ({ family }) => NFPROTO[family],
  mark: ({ skb }) => skb.mark,
  iif: ({ around, linkIn }) => around.linkIndex(linkIn),
  oif: ({ around, linkOut }) => around.linkIndex(linkOut),
  iifname: ({ linkIn }) => linkIn ?? "",
  oifname: ({ linkOut }) => linkOut ?? "",
  protocol: ({ family }) => ETHER_TYPE[family],
  nftrace: ({ skb }) => Number(skb.nftrace),
};
