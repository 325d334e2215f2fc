import { formatAddr, formatAddrPort, formatMac } from "#ip";
import type { Arp, Frame, Icmp, Packet } from "./packet-types.ts";

/** One line for a person: `10.244.1.2:4711 > 10.96.0.10:53 udp 45 bytes`. */
export function formatFrame(frame: Frame): string {
  if (frame.arp !== undefined) return formatArp(frame.arp);
  if (frame.ip === undefined) return `${formatMac(frame.eth.src)} > ${formatMac(frame.eth.dst)} ethertype 0x${frame.eth.type.toString(16)}`;
  return formatPacket({ ...frame, ip: frame.ip });
}

export function formatPacket(packet: Packet): string {
  const { ip, tcp, udp, sctp, icmp, vxlan, payload } = packet;
  if (vxlan !== undefined) return `${formatAddr(ip.src)} > ${formatAddr(ip.dst)} vxlan ${vxlan.vni} { ${formatFrame(vxlan.inner)} }`;
  const transport = tcp ?? udp ?? sctp;
  const ends =
    transport === undefined
      ? `${formatAddr(ip.src)} > ${formatAddr(ip.dst)}`
      : `${formatAddrPort(ip.src, transport.srcPort)} > ${formatAddrPort(ip.dst, transport.dstPort)}`;
  if (tcp !== undefined) return `${ends} tcp ${tcp.flags.join("+")} ${payload.length} bytes`;
  if (udp !== undefined) return `${ends} udp ${payload.length} bytes`;
  if (sctp !== undefined) return `${ends} sctp ${formatChunks(sctp.chunks)}`;
  if (icmp !== undefined) return `${ends} icmp${ip.family === 6 ? "6" : ""} ${formatIcmp(icmp)}`;
  return `${ends} protocol ${ip.protocol} ${payload.length} bytes`;
}

/** RFC 9260 §3.2. */
const SCTP_CHUNKS: Readonly<Record<number, string>> = {
  0: "DATA",
  1: "INIT",
  2: "INIT-ACK",
  3: "SACK",
  4: "HEARTBEAT",
  5: "HEARTBEAT-ACK",
  6: "ABORT",
  7: "SHUTDOWN",
  8: "SHUTDOWN-ACK",
  9: "ERROR",
  10: "COOKIE-ECHO",
  11: "COOKIE-ACK",
  14: "SHUTDOWN-COMPLETE",
};

function formatChunks(chunks: readonly number[]): string {
  return chunks.map((type) => SCTP_CHUNKS[type] ?? `chunk ${type}`).join("+");
}

function formatArp(arp: Arp): string {
  if (arp.op === "request") return `arp who-has ${formatAddr(arp.targetIp)} tell ${formatAddr(arp.senderIp)}`;
  if (arp.op === "reply") return `arp ${formatAddr(arp.senderIp)} is-at ${formatMac(arp.senderMac)}`;
  return `arp op ${arp.op} ${formatAddr(arp.senderIp)}`;
}

function formatIcmp(icmp: Icmp): string {
  if (icmp.echo !== undefined) return `echo ${icmp.echo.reply ? "reply" : "request"} id ${icmp.echo.id} seq ${icmp.echo.sequence}`;
  const parts = [`type ${icmp.type} code ${icmp.code}`];
  if (icmp.mtu !== undefined) parts.push(`mtu ${icmp.mtu}`);
  if (icmp.target !== undefined) parts.push(`target ${formatAddr(icmp.target)}`);
  if (icmp.about !== undefined) parts.push(`about { ${formatPacket(icmp.about)} }`);
  return parts.join(" ");
}
