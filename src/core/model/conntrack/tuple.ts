// Tuples: what a connection is known by. Mirrors nf_ct_get_tuple and nf_ct_invert_tuple (net/netfilter/nf_conntrack_core.c) and the ICMP
// parts of nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c.
import { type Addr, addrEquals } from "#ip";
import { ICMP, ICMPV6, type Packet } from "../packet.ts";
import type { Tuple } from "./types.ts";

export function tupleOf({ src, dst, protocol, srcPort = 0, dstPort = 0, icmp }: Packet): Tuple {
  if (icmp === undefined) return { src, dst, protocol, srcPort, dstPort };
  return { src, dst, protocol, srcPort: icmp.id ?? 0, dstPort: icmp.type * 256 + icmp.code };
}

/** Questions of ICMP and their answers: echo, timestamp, information, address mask (RFC 792, RFC 950); echo (RFC 4443). */
const ICMP_INVERSE: Readonly<Record<number, number>> = { 8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17 };
const ICMPV6_INVERSE: Readonly<Record<number, number>> = { 128: 129, 129: 128, 139: 140, 140: 139 };

export function invertTuple({ src, dst, protocol, srcPort, dstPort }: Tuple): Tuple {
  if (protocol !== ICMP && protocol !== ICMPV6) return { src: dst, dst: src, protocol, srcPort: dstPort, dstPort: srcPort };
  const type = (protocol === ICMP ? ICMP_INVERSE : ICMPV6_INVERSE)[dstPort >> 8] ?? dstPort >> 8;
  return { src: dst, dst: src, protocol, srcPort, dstPort: type * 256 + (dstPort & 0xff) };
}

export function tupleEquals(a: Tuple, b: Tuple): boolean {
  if (a.protocol !== b.protocol || a.srcPort !== b.srcPort || a.dstPort !== b.dstPort) return false;
  return addrEquals(a.src, b.src) && addrEquals(a.dst, b.dst);
}

/** Equal keys are equal tuples. */
export function tupleKey({ src, dst, protocol, srcPort, dstPort }: Tuple): string {
  return String.fromCharCode(protocol, srcPort, dstPort) + addrKey(src) + addrKey(dst);
}

function addrKey({ bytes: b }: Addr): string {
  if (b.length === 4) return String.fromCharCode(((b[0] ?? 0) << 8) | (b[1] ?? 0), ((b[2] ?? 0) << 8) | (b[3] ?? 0));
  let text = "";
  for (let i = 0; i < b.length; i += 2) text += String.fromCharCode(((b[i] ?? 0) << 8) | (b[i + 1] ?? 0));
  return text;
}
