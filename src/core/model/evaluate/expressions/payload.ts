// Header fields. Mirrors nft_payload_eval (net/netfilter/nft_payload.c), which breaks where there is no such header. The kernel reads
// bytes at offsets whatever the header is; the model breaks at a field of the other family, since a rule asks `meta nfproto` before.
import type { Family } from "#ip";
import type { PayloadField } from "#nft";
import { ICMP, ICMPV6 } from "../../packet.ts";
import type { Evaluation, Read } from "../evaluation.ts";
import { type Scalar, scalarOf, scalarOfAddr } from "../scalar.ts";

const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;

export function compilePayload(field: PayloadField): Read {
  const read = FIELDS[field];
  return ({ skb }) => read(skb);
}

const FIELDS: Readonly<Record<PayloadField, (skb: Evaluation["skb"]) => Scalar | undefined>> = {
  "ether saddr": ({ srcMac }) => srcMac && scalarOf("ether_addr", srcMac),
  "ether daddr": ({ dstMac }) => dstMac && scalarOf("ether_addr", dstMac),
  "ether type": ({ packet, dstMac }) => (dstMac === undefined ? undefined : packet.src.family === 4 ? ETH_P_IP : ETH_P_IPV6),
  "ip saddr": ({ packet }) => ofFamily(packet.src.family, 4, () => scalarOfAddr(packet.src)),
  "ip daddr": ({ packet }) => ofFamily(packet.src.family, 4, () => scalarOfAddr(packet.dst)),
  "ip protocol": ({ packet }) => ofFamily(packet.src.family, 4, () => packet.protocol),
  "ip ttl": ({ packet }) => ofFamily(packet.src.family, 4, () => packet.ttl),
  "ip6 saddr": ({ packet }) => ofFamily(packet.src.family, 6, () => scalarOfAddr(packet.src)),
  "ip6 daddr": ({ packet }) => ofFamily(packet.src.family, 6, () => scalarOfAddr(packet.dst)),
  "ip6 nexthdr": ({ packet }) => ofFamily(packet.src.family, 6, () => packet.protocol),
  "ip6 hoplimit": ({ packet }) => ofFamily(packet.src.family, 6, () => packet.ttl),
  // The first two bytes of ICMP are its type and code, the next its checksum, which the model does not have.
  "th sport": ({ packet }) => packet.srcPort ?? (packet.icmp && (packet.icmp.type << 8) | packet.icmp.code),
  "th dport": ({ packet }) => packet.dstPort ?? (packet.icmp && 0),
  "tcp flags": ({ packet }) => packet.tcpFlags,
  "icmp type": ({ packet }) => (packet.protocol === ICMP ? packet.icmp?.type : undefined),
  "icmpv6 type": ({ packet }) => (packet.protocol === ICMPV6 ? packet.icmp?.type : undefined),
};

function ofFamily(family: Family, wanted: Family, read: () => Scalar): Scalar | undefined {
  return family === wanted ? read() : undefined;
}
