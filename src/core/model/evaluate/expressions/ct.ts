// The packet's connection. Mirrors nft_ct_get_eval (net/netfilter/nft_ct.c): without a connection only `ct state` has a value.
import { CT_KEYS, type CtKey, named } from "#nft";
import type { Connection, Tuple } from "../../conntrack/types.ts";
import type { Read } from "../evaluation.ts";
import { type Scalar, scalarOfAddr } from "../scalar.ts";

export function compileCt(key: CtKey, direction: "original" | "reply" | undefined): Read {
  if (key === "state") return ({ skb }) => named(CT_KEYS.state, skb.ctState);
  if (key === "direction") return ({ skb }) => (skb.ct === undefined ? undefined : skb.ctDirection === "original" ? 0 : 1);
  const read = KEYS[key];
  return ({ skb: { ct, ctDirection } }) => {
    if (ct === undefined) return undefined;
    return read(ct, ct[direction ?? ctDirection]);
  };
}

const KEYS: Readonly<Record<Exclude<CtKey, "state" | "direction">, (ct: Connection, tuple: Tuple) => Scalar | undefined>> = {
  status: ({ status }) => status,
  mark: ({ mark }) => mark,
  protocol: ({ original }) => original.protocol,
  "ip saddr": (_, { src }) => (src.family === 4 ? scalarOfAddr(src) : undefined),
  "ip daddr": (_, { dst }) => (dst.family === 4 ? scalarOfAddr(dst) : undefined),
  "ip6 saddr": (_, { src }) => (src.family === 6 ? scalarOfAddr(src) : undefined),
  "ip6 daddr": (_, { dst }) => (dst.family === 6 ? scalarOfAddr(dst) : undefined),
  "proto-src": (_, { srcPort }) => srcPort,
  "proto-dst": (_, { dstPort }) => dstPort,
};
