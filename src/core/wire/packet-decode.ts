// Decodes what a packet socket or a tap device gave. Nothing here throws: a layer that is cut short or unknown is left out, and its
// bytes are the payload.
import { type Addr, addrFromBytes } from "#ip";
import {
  type Arp,
  ETH_P_8021Q,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  type Ethernet,
  type Frame,
  type Icmp,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type Ip,
  type Packet,
  type Sctp,
  type Tcp,
  type TcpFlag,
} from "./packet-types.ts";

/** RFC 7348 §5, and the port that Linux used before: what carries VXLAN unless told. */
const VXLAN_PORTS: readonly number[] = [4789, 8472];
const ETH_P_8021AD = 0x88a8;

export interface DecodeOptions {
  /** UDP destination ports whose datagrams are read as VXLAN; 4789 and 8472 unless told. */
  readonly vxlanPorts?: readonly number[];
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function u32(bytes: Uint8Array, at: number): number {
  return ((u16(bytes, at) << 16) | u16(bytes, at + 2)) >>> 0;
}

function addrAt(bytes: Uint8Array, at: number, length: 4 | 16): Addr {
  return addrFromBytes(bytes.slice(at, at + length));
}

/** An Ethernet frame. Fewer than 14 bytes give an Ethernet header of zeros. */
export function decodeFrame(bytes: Uint8Array, options: DecodeOptions = {}): Frame {
  const vlans: number[] = [];
  let at = 12;
  while (u16(bytes, at) === ETH_P_8021Q || u16(bytes, at) === ETH_P_8021AD) {
    vlans.push(u16(bytes, at + 2) & 0x0fff);
    at += 4;
  }
  const eth: Ethernet = { dst: macAt(bytes, 0), src: macAt(bytes, 6), type: u16(bytes, at), vlans };
  const payload = bytes.subarray(at + 2);
  if (eth.type === ETH_P_ARP) {
    const arp = decodeArp(payload);
    return arp === undefined ? { eth, payload } : { eth, arp, payload: payload.subarray(28) };
  }
  const packet = eth.type === ETH_P_IP || eth.type === ETH_P_IPV6 ? decodePacket(payload, options) : undefined;
  return packet === undefined ? { eth, payload } : { eth, ...packet };
}

function macAt(bytes: Uint8Array, at: number): Uint8Array {
  const mac = new Uint8Array(6);
  mac.set(bytes.subarray(at, at + 6));
  return mac;
}

/** RFC 826, for IPv4 over Ethernet. */
function decodeArp(bytes: Uint8Array): Arp | undefined {
  if (bytes.length < 28 || u16(bytes, 0) !== 1 || u16(bytes, 2) !== ETH_P_IP) return undefined;
  const op = u16(bytes, 6);
  return {
    op: op === 1 ? "request" : op === 2 ? "reply" : op,
    senderMac: macAt(bytes, 8),
    senderIp: addrAt(bytes, 14, 4),
    targetMac: macAt(bytes, 18),
    targetIp: addrAt(bytes, 24, 4),
  };
}

interface Layer {
  readonly ip: Ip;
  readonly payload: Uint8Array;
}

/** An IP packet, of either family, as a tun device or a raw socket gives it; undefined when it is neither. */
export function decodePacket(bytes: Uint8Array, options: DecodeOptions = {}): Packet | undefined {
  const version = (bytes[0] ?? 0) >> 4;
  const layer = version === 4 ? decodeIp4(bytes) : version === 6 ? decodeIp6(bytes) : undefined;
  if (layer === undefined) return undefined;
  const { ip, payload } = layer;
  if (ip.fragment !== undefined && ip.fragment.offset > 0) return layer;
  switch (ip.protocol) {
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      if (payload.length < 4) return layer;
      return { ip, icmp: decodeIcmp(payload, ip.protocol), payload: payload.subarray(8) };
    case IPPROTO_UDP:
      return payload.length < 8 ? layer : decodeUdp(ip, payload, options);
    case IPPROTO_TCP:
      return payload.length < 20 ? layer : { ip, tcp: decodeTcp(payload), payload: payload.subarray(((payload[12] ?? 0) >> 4) * 4) };
    case IPPROTO_SCTP:
      return payload.length < 12 ? layer : { ip, sctp: decodeSctp(payload), payload: payload.subarray(12) };
    default:
      return layer;
  }
}

function decodeIp4(bytes: Uint8Array): Layer | undefined {
  const headerBytes = ((bytes[0] ?? 0) & 0xf) * 4;
  if (headerBytes < 20 || bytes.length < headerBytes) return undefined;
  const length = u16(bytes, 2);
  const flags = u16(bytes, 6);
  const fragmented = (flags & 0x3fff) !== 0;
  const ip: Ip = {
    family: 4,
    src: addrAt(bytes, 12, 4),
    dst: addrAt(bytes, 16, 4),
    protocol: bytes[9] ?? 0,
    ttl: bytes[8] ?? 0,
    trafficClass: bytes[1] ?? 0,
    length,
    dontFragment: (flags & 0x4000) !== 0,
    ...(fragmented ? { fragment: { id: u16(bytes, 4), offset: (flags & 0x1fff) * 8, more: (flags & 0x2000) !== 0 } } : {}),
  };
  // An Ethernet frame is padded to 60 bytes: only the header knows where the packet ends. 0 means segmentation offload ("big TCP").
  return { ip, payload: bytes.subarray(headerBytes, length === 0 ? bytes.length : length) };
}

/** Extension headers that are skipped: hop-by-hop, routing, destination options, and the fragment header (RFC 8200 §4). */
const IP6_OPTIONS: ReadonlySet<number> = new Set([0, 43, 60]);
const IP6_FRAGMENT = 44;

function decodeIp6(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < 40) return undefined;
  let protocol = bytes[6] ?? 0;
  let at = 40;
  let fragment: Ip["fragment"];
  while ((IP6_OPTIONS.has(protocol) || protocol === IP6_FRAGMENT) && at + 8 <= bytes.length) {
    const next = bytes[at] ?? 0;
    if (protocol === IP6_FRAGMENT) {
      const word = u16(bytes, at + 2);
      fragment = { id: u32(bytes, at + 4), offset: word & 0xfff8, more: (word & 1) !== 0 };
      at += 8;
    } else at += ((bytes[at + 1] ?? 0) + 1) * 8;
    protocol = next;
    if (fragment !== undefined && fragment.offset > 0) break;
  }
  const payloadBytes = u16(bytes, 4);
  const ip: Ip = {
    family: 6,
    src: addrAt(bytes, 8, 16),
    dst: addrAt(bytes, 24, 16),
    protocol,
    ttl: bytes[7] ?? 0,
    trafficClass: (u16(bytes, 0) >> 4) & 0xff,
    length: 40 + payloadBytes,
    dontFragment: true,
    ...(fragment === undefined ? {} : { fragment }),
  };
  return { ip, payload: bytes.subarray(at, payloadBytes === 0 ? bytes.length : 40 + payloadBytes) };
}

/** Types by family: RFC 792, RFC 4443 §3 and §4, RFC 4861 §4. */
const ECHO_TYPES: ReadonlyMap<number, readonly [request: number, reply: number]> = new Map([
  [IPPROTO_ICMP, [8, 0]],
  [IPPROTO_ICMPV6, [128, 129]],
]);

function decodeIcmp(bytes: Uint8Array, protocol: number): Icmp {
  const type = bytes[0] ?? 0;
  const code = bytes[1] ?? 0;
  const six = protocol === IPPROTO_ICMPV6;
  const [request, reply] = ECHO_TYPES.get(protocol) ?? [-1, -1];
  if (type === request || type === reply) {
    return { type, code, echo: { reply: type === reply, id: u16(bytes, 4), sequence: u16(bytes, 6) } };
  }
  if (six && (type === 135 || type === 136) && bytes.length >= 24) return { type, code, target: addrAt(bytes, 8, 16) };
  const isError = six ? type < 128 : type === 3 || type === 4 || type === 5 || type === 11 || type === 12;
  if (!isError) return { type, code };
  const tooBig = six ? type === 2 : type === 3 && code === 4;
  const about = decodePacket(bytes.subarray(8));
  return { type, code, ...(tooBig ? { mtu: six ? u32(bytes, 4) : u16(bytes, 6) } : {}), ...(about === undefined ? {} : { about }) };
}

function decodeUdp(ip: Ip, bytes: Uint8Array, options: DecodeOptions): Packet {
  const udp = { srcPort: u16(bytes, 0), dstPort: u16(bytes, 2), length: u16(bytes, 4), checksum: u16(bytes, 6) };
  const payload = bytes.subarray(8, Math.max(8, udp.length));
  const isVxlan = (options.vxlanPorts ?? VXLAN_PORTS).includes(udp.dstPort) && payload.length >= 8 + 14 && ((payload[0] ?? 0) & 0x08) !== 0;
  if (!isVxlan) return { ip, udp, payload };
  const inner = decodeFrame(payload.subarray(8), options);
  return { ip, udp, vxlan: { vni: u32(payload, 4) >>> 8, inner }, payload: inner.payload };
}

const TCP_FLAGS: readonly TcpFlag[] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

function decodeTcp(bytes: Uint8Array): Tcp {
  const flagBits = bytes[13] ?? 0;
  const mss = tcpMss(bytes);
  return {
    srcPort: u16(bytes, 0),
    dstPort: u16(bytes, 2),
    sequence: u32(bytes, 4),
    acknowledgment: u32(bytes, 8),
    flags: TCP_FLAGS.filter((_, bit) => (flagBits & (1 << bit)) !== 0),
    window: u16(bytes, 14),
    ...(mss === undefined ? {} : { mss }),
  };
}

function decodeSctp(bytes: Uint8Array): Sctp {
  const chunks: number[] = [];
  // A chunk's length does not count its padding.
  for (let at = 12; at + 4 <= bytes.length; at += Math.max(4, (u16(bytes, at + 2) + 3) & ~3)) chunks.push(bytes[at] ?? 0);
  return { srcPort: u16(bytes, 0), dstPort: u16(bytes, 2), verificationTag: u32(bytes, 4), chunks };
}

function tcpMss(bytes: Uint8Array): number | undefined {
  const end = Math.min(((bytes[12] ?? 0) >> 4) * 4, bytes.length);
  let at = 20;
  while (at < end) {
    const kind = bytes[at] ?? 0;
    if (kind === 0) return undefined;
    if (kind === 2) return u16(bytes, at + 2);
    at += kind === 1 ? 1 : Math.max(2, bytes[at + 1] ?? 2);
  }
  return undefined;
}
