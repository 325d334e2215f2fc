// Enough encoding to send probes: ICMP echo and UDP over IPv4 and IPv6, and the Ethernet header around.
import type { Addr, Mac } from "#ip";
import { ETH_P_IP, ETH_P_IPV6, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_UDP } from "./packet-types.ts";

interface IpFields {
  readonly src: Addr;
  readonly dst: Addr;
  /** 64 unless told. */
  readonly ttl?: number;
  readonly payload?: Uint8Array;
}

export interface EchoFields extends IpFields {
  readonly id: number;
  readonly sequence: number;
  readonly reply?: boolean;
}

export interface UdpFields extends IpFields {
  readonly srcPort: number;
  readonly dstPort: number;
}

/** The Internet checksum, RFC 1071, over all parts as one sequence of bytes. Parts other than the last have an even length. */
export function internetChecksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

function be(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [(value >> 8) & 0xff, value & 0xff]));
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The pseudo-header of RFC 768 and RFC 8200 §8.1. */
function pseudoHeader(fields: IpFields, protocol: number, length: number): Uint8Array {
  return concat(fields.src.bytes, fields.dst.bytes, be(length >>> 16, length, 0, protocol));
}

/** An ICMP or ICMPv6 echo as an IP packet; the family is that of `src`. */
export function encodeEcho(fields: EchoFields): Uint8Array {
  const six = fields.src.family === 6;
  const type = six ? (fields.reply === true ? 129 : 128) : fields.reply === true ? 0 : 8;
  const body = concat(be(type << 8, 0, fields.id, fields.sequence), fields.payload ?? new Uint8Array(0));
  const sum = six ? internetChecksum(pseudoHeader(fields, IPPROTO_ICMPV6, body.length), body) : internetChecksum(body);
  body.set(be(sum), 2);
  return encodeIp(fields, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP, body);
}

/** A UDP datagram as an IP packet; the family is that of `src`. */
export function encodeUdp(fields: UdpFields): Uint8Array {
  const payload = fields.payload ?? new Uint8Array(0);
  const body = concat(be(fields.srcPort, fields.dstPort, 8 + payload.length, 0), payload);
  const sum = internetChecksum(pseudoHeader(fields, IPPROTO_UDP, body.length), body);
  // RFC 768: a sum of zero is sent as all ones, since zero says that there is none.
  body.set(be(sum === 0 ? 0xffff : sum), 6);
  return encodeIp(fields, IPPROTO_UDP, body);
}

function encodeIp(fields: IpFields, protocol: number, body: Uint8Array): Uint8Array {
  const ttl = fields.ttl ?? 64;
  if (fields.src.family === 6) {
    return concat(be(0x6000, 0, body.length, (protocol << 8) | ttl), fields.src.bytes, fields.dst.bytes, body);
  }
  const header = concat(be(0x4500, 20 + body.length, 0, 0x4000, (ttl << 8) | protocol, 0), fields.src.bytes, fields.dst.bytes);
  header.set(be(internetChecksum(header)), 10);
  return concat(header, body);
}

/** An IP packet in an Ethernet frame. */
export function encodeFrame(src: Mac, dst: Mac, packet: Uint8Array): Uint8Array {
  return concat(dst, src, be((packet[0] ?? 0) >> 4 === 6 ? ETH_P_IPV6 : ETH_P_IP), packet);
}
