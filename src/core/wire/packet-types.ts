// Packets as layered plain data: what was found in a frame, layer by layer, each optional. For those who look at captured packets.
import type { Addr, Mac } from "#ip";

/** EtherTypes and IP protocol numbers (IANA), in the kernel's words (`if_ether.h`, `in.h`). */
export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_8021Q = 0x8100;
export const ETH_P_IPV6 = 0x86dd;
export const IPPROTO_ICMP = 1;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_ICMPV6 = 58;
export const IPPROTO_SCTP = 132;

export interface Ethernet {
  readonly dst: Mac;
  readonly src: Mac;
  /** Of what follows the VLAN tags. */
  readonly type: number;
  /** VLAN ids, outermost first. */
  readonly vlans: readonly number[];
}

export interface Arp {
  readonly op: "request" | "reply" | number;
  readonly senderMac: Mac;
  readonly senderIp: Addr;
  readonly targetMac: Mac;
  readonly targetIp: Addr;
}

export interface Ip {
  readonly family: 4 | 6;
  readonly src: Addr;
  readonly dst: Addr;
  /** Of what follows, IPv6 extension headers skipped. */
  readonly protocol: number;
  /** TTL or hop limit. */
  readonly ttl: number;
  /** TOS or traffic class. */
  readonly trafficClass: number;
  /** Bytes of the whole packet, by its header. */
  readonly length: number;
  readonly dontFragment: boolean;
  readonly fragment?: { readonly id: number; readonly offset: number; readonly more: boolean };
}

export interface Icmp {
  readonly type: number;
  readonly code: number;
  /** Echo request and reply. */
  readonly echo?: { readonly reply: boolean; readonly id: number; readonly sequence: number };
  /** "Fragmentation needed" and "packet too big". */
  readonly mtu?: number;
  /** In errors: the packet that caused it. */
  readonly about?: Packet;
  /** Neighbour solicitation and advertisement. */
  readonly target?: Addr;
}

export interface Udp {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly length: number;
  readonly checksum: number;
}

export type TcpFlag = "FIN" | "SYN" | "RST" | "PSH" | "ACK" | "URG" | "ECE" | "CWR";

export interface Tcp {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly sequence: number;
  readonly acknowledgment: number;
  readonly flags: readonly TcpFlag[];
  readonly window: number;
  /** The option of that name, in SYN segments. */
  readonly mss?: number;
}

/** RFC 9260 §3. */
export interface Sctp {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly verificationTag: number;
  /** Types of its chunks, such as 1 (INIT), 2 (INIT ACK), 6 (ABORT). */
  readonly chunks: readonly number[];
}

/** RFC 7348. */
export interface Vxlan {
  readonly vni: number;
  readonly inner: Frame;
}

/** An IP packet. */
export interface Packet {
  readonly ip: Ip;
  readonly icmp?: Icmp;
  readonly udp?: Udp;
  readonly tcp?: Tcp;
  readonly sctp?: Sctp;
  readonly vxlan?: Vxlan;
  /** What follows the innermost layer that was understood. */
  readonly payload: Uint8Array;
}

export interface Frame extends Partial<Packet> {
  readonly eth: Ethernet;
  readonly arp?: Arp;
  readonly payload: Uint8Array;
}
