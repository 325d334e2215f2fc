// Address translation. Mirrors net/netfilter/nf_nat_core.c (nf_nat_setup_info, get_unique_tuple, nf_nat_packet) and nf_nat_proto.c
// (nf_nat_manip_pkt, nf_nat_icmp_reply_translation).
import type { Addr } from "#ip";
import type { Choices } from "../choices.ts";
import type { Skb } from "../evaluate/evaluation.ts";
import { ICMP, ICMPV6, isIcmpError, type Packet, SCTP, TCP, UDP } from "../packet.ts";
import type { ConntrackTable } from "./table.ts";
import { invertTuple, tupleEquals } from "./tuple.ts";
import { type Connection, STATUS, type Tuple } from "./types.ts";

/** To what a connection is translated: an address, a port, both. `random`: any port, even where its own is free. */
export interface NatRange {
  readonly addr?: Addr;
  readonly port?: number;
  readonly random?: boolean;
}

export type Manip = "source" | "destination";

/** Ports that others have, and chance. */
export interface Binding {
  readonly table: ConntrackTable;
  readonly choices: Choices;
}

interface Ports {
  readonly isTaken: (tuple: Tuple) => boolean;
  readonly choices: Choices;
}

export function isBound({ status }: Connection, what: Manip): boolean {
  return (status & (what === "source" ? STATUS.srcNatDone : STATUS.dstNatDone)) !== 0;
}

/** Binds the source or destination of a connection, once: what is confirmed stays as it is. */
export function bind(connection: Connection, range: NatRange, what: Manip, { table, choices }: Binding): void {
  if ((connection.status & STATUS.confirmed) !== 0 || isBound(connection, what)) return;
  const current = invertTuple(connection.reply);
  const isTaken = (tuple: Tuple): boolean => table.isTaken(invertTuple(tuple), connection);
  const next = uniqueTuple(current, range, what, { isTaken, choices });
  if (!tupleEquals(next, current)) {
    connection.reply = invertTuple(next);
    connection.status |= what === "source" ? STATUS.srcNat : STATUS.dstNat;
  }
  connection.status |= what === "source" ? STATUS.srcNatDone : STATUS.dstNatDone;
}

/** Binds to what is there: no translation, except of a source port that another connection has after all (nf_nat_alloc_null_binding). */
export function bindNothing(connection: Connection, what: Manip, binding: Binding): void {
  const { src, dst } = connection.reply;
  bind(connection, { addr: what === "source" ? dst : src }, what, binding);
}

function uniqueTuple(current: Tuple, range: NatRange, what: Manip, ports: Ports): Tuple {
  const { addr, port, random = false } = range;
  const moved: Tuple = addr === undefined ? current : { ...current, [what === "source" ? "src" : "dst"]: addr };
  if (port !== undefined) return { ...moved, [what === "source" ? "srcPort" : "dstPort"]: port };
  if (!random && !ports.isTaken(moved)) return moved;
  // Another destination port would be another service.
  return what === "destination" ? moved : otherPort(moved, ports);
}

const MAX_PORT = 0xffff;

/** Where a source port may go: those below 512, up to 1023 and above stay among themselves (nf_nat_l4proto_unique_tuple). */
function portRange({ protocol, srcPort }: Tuple): { readonly min: number; readonly size: number } | undefined {
  if (protocol === ICMP || protocol === ICMPV6) return { min: 0, size: MAX_PORT + 1 };
  if (protocol !== TCP && protocol !== UDP && protocol !== SCTP) return undefined;
  if (srcPort < 512) return { min: 1, size: 511 };
  if (srcPort < 1024) return { min: 600, size: 1023 - 600 + 1 };
  return { min: 1024, size: MAX_PORT - 1024 + 1 };
}

/** The kernel gives up after 128 tries (and some more from elsewhere); the packet is lost then, when it is to be confirmed. */
const MAX_TRIES = 128;

function otherPort(tuple: Tuple, { isTaken, choices }: Ports): Tuple {
  const range = portRange(tuple);
  if (range === undefined) return tuple;
  const start = choices.port(tuple.srcPort, range.min, range.size) - range.min;
  let next = tuple;
  for (let i = 0; i < Math.min(MAX_TRIES, range.size); i++) {
    next = { ...tuple, srcPort: range.min + ((start + i) % range.size) };
    if (!isTaken(next)) break;
  }
  return next;
}

/** Gives the packet the addresses that its connection is bound to (nf_nat_packet). */
export function translate(skb: Skb, what: Manip): boolean {
  const { ct, ctDirection, packet } = skb;
  if (ct === undefined) return false;
  const isSource = (what === "source") === (ctDirection === "original");
  if ((ct.status & (isSource ? STATUS.srcNat : STATUS.dstNat)) === 0) return false;
  const other = ctDirection === "original" ? ct.reply : ct.original;
  const target = invertTuple(other);
  skb.packet = isIcmpError(packet) ? translateError(packet, other, target, what) : translatePacket(packet, target, what);
  return true;
}

function translatePacket(packet: Packet, target: Tuple, what: Manip): Packet {
  const moved = what === "source" ? { ...packet, src: target.src } : { ...packet, dst: target.dst };
  if (packet.icmp?.id !== undefined) return { ...moved, icmp: { ...packet.icmp, id: target.srcPort } };
  if (packet.srcPort === undefined) return moved;
  return what === "source" ? { ...moved, srcPort: target.srcPort } : { ...moved, dstPort: target.dstPort };
}

/** Outside as the connection goes, inside as the packet was that it is about: there the other end changes. */
function translateError(packet: Packet, other: Tuple, target: Tuple, what: Manip): Packet {
  const { icmp } = packet;
  if (icmp?.about === undefined) return packet;
  const about = translatePacket(icmp.about, other, what === "source" ? "destination" : "source");
  const moved = what === "source" ? { ...packet, src: target.src } : { ...packet, dst: target.dst };
  return { ...moved, icmp: { ...icmp, about } };
}
