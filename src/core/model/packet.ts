// Packets as the model sees them: an IP packet with what the hooks, routes and sockets on its way look at. Plain data.
import { type Addr, type Family, formatAddr, formatAddrPort, type Mac } from "#ip";

/** IPPROTO_* of in.h. */
export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;
export const SCTP = 132;

/** The flag byte of the TCP header (RFC 9293 §3.1). */
export const TCP_FLAGS = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

export interface Packet {
  readonly src: Addr;
  readonly dst: Addr;
  /** IPPROTO_*. */
  readonly protocol: number;
  /** TTL or hop limit. */
  readonly ttl: number;
  /** Bytes of the whole IP packet. */
  readonly length: number;
  /** IPv4; an IPv6 packet is never fragmented on its way. */
  readonly dontFragment?: boolean;
  /** TCP, UDP and SCTP. */
  readonly srcPort?: number;
  readonly dstPort?: number;
  /** The flag byte of the TCP header. */
  readonly tcpFlags?: number;
  readonly icmp?: Icmp;
  readonly vxlan?: Vxlan;
}

interface Icmp {
  readonly type: number;
  readonly code: number;
  /** Of echo requests and replies. */
  readonly id?: number;
  /** In "fragmentation needed" and "packet too big". */
  readonly mtu?: number;
  /** In errors: the packet that caused it, as it was where that happened. */
  readonly about?: Packet;
}

/** RFC 7348: what a UDP packet to a vxlan link carries. */
export interface Vxlan {
  readonly vni: number;
  readonly srcMac: Mac;
  readonly dstMac: Mac;
  readonly packet: Packet;
  /** Bytes of the inner packet's largest fragment, where it goes in fragments: each has an outer packet of its own. */
  readonly fragment?: number;
}

/** Bytes of headers without options. */
const IP_HEADER: Readonly<Record<Family, number>> = { 4: 20, 6: 40 };
const UDP_HEADER = 8;
const ICMP_HEADER = 8;
const ETHERNET_HEADER = 14;
const VXLAN_HEADER = 8;
const TCP_HEADER = 20;
/** What Linux sends with unless told (`net.ipv4.ip_default_ttl`). */
const DEFAULT_TTL = 64;

/** Types of ICMP and ICMPv6 (RFC 792, RFC 4443) that errors have. */
const ERRORS4: ReadonlySet<number> = new Set([3, 4, 5, 11, 12]);
const ERRORS6_BELOW = 128;

export function isIcmpError({ protocol, icmp }: Packet): boolean {
  if (icmp === undefined) return false;
  return protocol === ICMP ? ERRORS4.has(icmp.type) : icmp.type < ERRORS6_BELOW;
}

export interface Ends {
  readonly src: Addr;
  readonly dst: Addr;
  readonly srcPort: number;
  readonly dstPort: number;
}

/** What opens a connection, or asks: a SYN, a datagram, an INIT, an echo request (with the source port as its identifier). */
export function opening(protocol: number, ends: Ends, payload = 0): Packet {
  const { src, dst, srcPort, dstPort } = ends;
  const header = IP_HEADER[src.family];
  const base = { src, dst, protocol, ttl: DEFAULT_TTL };
  if (protocol === ICMP || protocol === ICMPV6) {
    const icmp: Icmp = { type: protocol === ICMP ? 8 : 128, code: 0, id: srcPort };
    return { ...base, length: header + ICMP_HEADER + payload, icmp };
  }
  if (protocol === TCP) {
    return { ...base, length: header + TCP_HEADER + payload, dontFragment: true, srcPort, dstPort, tcpFlags: TCP_FLAGS.syn };
  }
  return { ...base, length: header + UDP_HEADER + payload, srcPort, dstPort };
}

/** What whoever is asked says: the other way around, and as large. Undefined where nobody answers (errors). */
export function answerTo(packet: Packet): Packet | undefined {
  const { src, dst, srcPort, dstPort, protocol, icmp, tcpFlags, length } = packet;
  const base = { src: dst, dst: src, protocol, ttl: DEFAULT_TTL, length };
  if (icmp !== undefined) {
    if (isIcmpError(packet) || (icmp.type !== 8 && icmp.type !== 128)) return undefined;
    return { ...base, icmp: { ...icmp, type: icmp.type === 8 ? 0 : 129 } };
  }
  const turned = { ...base, ...(dstPort !== undefined && { srcPort: dstPort }), ...(srcPort !== undefined && { dstPort: srcPort }) };
  if (tcpFlags === undefined) return turned;
  const { syn, ack, psh } = TCP_FLAGS;
  const isOpening = (tcpFlags & (syn | ack)) === syn;
  return { ...turned, dontFragment: true, tcpFlags: isOpening ? syn | ack : ack | psh };
}

/** RFC 9293 §3.5.2: a reset is never answered by a reset. */
export function resetTo(packet: Packet): Packet | undefined {
  const { src, dst, srcPort, dstPort, tcpFlags } = packet;
  if (tcpFlags === undefined || srcPort === undefined || dstPort === undefined || (tcpFlags & TCP_FLAGS.rst) !== 0) return undefined;
  const length = IP_HEADER[src.family] + TCP_HEADER;
  const flags = (tcpFlags & TCP_FLAGS.ack) === 0 ? TCP_FLAGS.rst | TCP_FLAGS.ack : TCP_FLAGS.rst;
  return { src: dst, dst: src, protocol: TCP, ttl: DEFAULT_TTL, length, srcPort: dstPort, dstPort: srcPort, tcpFlags: flags };
}

export type IcmpErrorName =
  | "net-unreachable"
  | "host-unreachable"
  | "protocol-unreachable"
  | "port-unreachable"
  | "fragmentation-needed"
  | "admin-prohibited"
  | "time-exceeded";

/** Type and code by family: RFC 792, RFC 1812 §5.2.7, RFC 4443 §3; icmpx in `nft_reject_icmp_code`. */
const ICMP_ERRORS: Readonly<Record<IcmpErrorName, Readonly<Record<Family, readonly [type: number, code: number]>>>> = {
  "net-unreachable": { 4: [3, 0], 6: [1, 0] },
  "host-unreachable": { 4: [3, 1], 6: [1, 3] },
  "protocol-unreachable": { 4: [3, 2], 6: [4, 1] },
  "port-unreachable": { 4: [3, 3], 6: [1, 4] },
  "fragmentation-needed": { 4: [3, 4], 6: [2, 0] },
  "admin-prohibited": { 4: [3, 13], 6: [1, 1] },
  "time-exceeded": { 4: [11, 0], 6: [3, 0] },
};

/** An error about `packet`, from `src`. Undefined where RFC 1122 §3.2.2 forbids one: about errors. */
export function icmpError(name: IcmpErrorName, packet: Packet, src: Addr, mtu?: number): Packet | undefined {
  if (isIcmpError(packet)) return undefined;
  const { family } = packet.src;
  const [type, code] = ICMP_ERRORS[name][family];
  const icmp: Icmp = { type, code, about: packet, ...(mtu !== undefined && { mtu }) };
  const protocol = family === 4 ? ICMP : ICMPV6;
  // As much of the packet as fits: 576 bytes (RFC 1812 §4.3.2.3), the minimum MTU (RFC 4443 §2.4).
  const length = Math.min(IP_HEADER[family] + ICMP_HEADER + packet.length, family === 4 ? 576 : 1280);
  return { src, dst: packet.src, protocol, ttl: DEFAULT_TTL, length, icmp };
}

/** The name of an error's type and code, where it is one of ours. */
function icmpErrorName({ protocol, icmp }: Packet): IcmpErrorName | undefined {
  if (icmp === undefined) return undefined;
  const family = protocol === ICMP ? 4 : 6;
  for (const name of Object.keys(ICMP_ERRORS) as IcmpErrorName[]) {
    const [type, code] = ICMP_ERRORS[name][family];
    if (icmp.type === type && icmp.code === code) return name;
  }
  return undefined;
}

/** How many bytes a vxlan link adds to what it is given, with this family outside. */
export function vxlanOverhead(outer: Family): number {
  return IP_HEADER[outer] + UDP_HEADER + VXLAN_HEADER + ETHERNET_HEADER;
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = { [ICMP]: "icmp", [TCP]: "tcp", [UDP]: "udp", [ICMPV6]: "icmp6", [SCTP]: "sctp" };

/** One line for a person: `10.244.1.2:4711 > 10.96.0.10:53 udp 45 bytes ttl 64`. */
export function formatPacket(packet: Packet): string {
  const { src, dst, srcPort, dstPort, protocol, icmp, tcpFlags, vxlan, length, ttl } = packet;
  const end = (addr: Addr, port: number | undefined): string => (port === undefined ? formatAddr(addr) : formatAddrPort(addr, port));
  const words = [`${end(src, srcPort)} > ${end(dst, dstPort)}`, PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`];
  if (tcpFlags !== undefined) words.push(formatTcpFlags(tcpFlags));
  if (icmp !== undefined) words.push(formatIcmp(packet, icmp));
  words.push(`${length} bytes ttl ${ttl}`);
  if (vxlan !== undefined) words.push(`vxlan ${vxlan.vni} { ${formatPacket(vxlan.packet)} }`);
  return words.join(" ");
}

function formatTcpFlags(flags: number): string {
  const names = Object.entries(TCP_FLAGS).filter(([, bit]) => (flags & bit) !== 0);
  return names.length === 0 ? "none" : names.map(([name]) => name).join("+");
}

function formatIcmp(packet: Packet, icmp: Icmp): string {
  if (icmp.id !== undefined) return `echo ${icmp.type === 8 || icmp.type === 128 ? "request" : "reply"} id ${icmp.id}`;
  const mtu = icmp.mtu === undefined ? "" : ` mtu ${icmp.mtu}`;
  const about = icmp.about === undefined ? "" : ` about { ${formatPacket(icmp.about)} }`;
  return `${icmpErrorName(packet) ?? `type ${icmp.type} code ${icmp.code}`}${mtu}${about}`;
}
