// Packets in a line, and a trace as JSON. Pure.
import { type Addr, formatAddr, formatAddrPort, formatMac } from "#ip";
import type { Stored } from "#kube";
import { ICMP, ICMPV6, SCTP, TCP, UDP } from "#model";
import type { Protocol } from "#observe";
import type { FlowPacket } from "./types.ts";

/** IPPROTO_* by family. */
export const PROTOCOL_NUMBERS: Readonly<Record<Protocol, Readonly<Record<4 | 6, number>>>> = {
  tcp: { 4: TCP, 6: TCP },
  udp: { 4: UDP, 6: UDP },
  sctp: { 4: SCTP, 6: SCTP },
  icmp: { 4: ICMP, 6: ICMPV6 },
};

export function formatPacketOf({ src, dst, dstPort, protocol, length }: FlowPacket): string {
  const to = dstPort === undefined ? formatAddr(dst) : formatAddrPort(dst, dstPort);
  return `${formatAddr(src)} > ${to} protocol ${protocol}, ${length} bytes`;
}

const MAC_BYTES = 6;

/** Addresses, MACs and nanoseconds as text; of the API's objects their names. */
export function plain(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return value.length === MAC_BYTES ? formatMac(value) : Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (isAddr(value)) return formatAddr(value);
  if (isObject(value)) {
    const { namespace, name, uid } = value.metadata;
    return { ...(namespace !== undefined && { namespace }), name, uid };
  }
  return Object.fromEntries(Object.entries(value).flatMap(([key, member]) => (member === undefined ? [] : [[key, plain(member)]])));
}

function isAddr(value: object): value is Addr {
  return "family" in value && "bytes" in value && value.bytes instanceof Uint8Array;
}

function isObject(value: object): value is Stored {
  return "metadata" in value && typeof value.metadata === "object" && value.metadata !== null && "resourceVersion" in value.metadata;
}
