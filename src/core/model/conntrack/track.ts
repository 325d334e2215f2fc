// What connection a packet belongs to. Mirrors nf_conntrack_in and resolve_normal_ct (net/netfilter/nf_conntrack_core.c). Of TCP's states
// only those count that a walk can tell apart: whether a segment can begin a connection, and whether there was an answer. Windows and
// sequence numbers are not tracked.
import { addrEquals } from "#ip";
import type { Skb } from "../evaluate/evaluation.ts";
import { ICMP, ICMPV6, isIcmpError, type Packet, SCTP, TCP, TCP_FLAGS, UDP } from "../packet.ts";
import type { ConntrackTable } from "./table.ts";
import { invertTuple, tupleOf } from "./tuple.ts";
import { type Connection, STATUS } from "./types.ts";

export interface Tracking {
  readonly table: ConntrackTable;
  readonly now: number;
  /** `net/netfilter/nf_conntrack_max`: how many connections there may be; 0: any number. */
  readonly max: number;
  /** `net/netfilter/nf_conntrack_tcp_loose`: whether a connection may be picked up in its middle. */
  readonly loose: boolean;
}

/** "full" where the table has no room for one more: the kernel drops the packet. */
export function track(skb: Skb, tracking: Tracking): "tracked" | "full" {
  // Over loopback a packet keeps what it has; so does an answer that the kernel made (nf_ct_attach).
  if (skb.ct !== undefined || skb.ctState === "untracked") return "tracked";
  const { packet } = skb;
  if (isUntracked(packet)) skb.ctState = "untracked";
  else if (isIcmpError(packet)) trackError(skb, tracking.table);
  else return trackPacket(skb, tracking);
  return "tracked";
}

/** Neighbour discovery and group membership (`noct_valid_new` of nf_conntrack_proto_icmpv6.c). */
const UNTRACKED_ICMPV6: ReadonlySet<number> = new Set([130, 131, 132, 133, 134, 135, 136, 143]);

function isUntracked({ protocol, icmp }: Packet): boolean {
  return protocol === ICMPV6 && icmp !== undefined && UNTRACKED_ICMPV6.has(icmp.type);
}

/** An error belongs to the connection of the packet that it is about, in the other direction (nf_conntrack_inet_error). */
function trackError(skb: Skb, table: ConntrackTable): void {
  const about = skb.packet.icmp?.about;
  const found = about && table.find(invertTuple(tupleOf(about)));
  if (found === undefined || !addrEquals(found.connection[found.direction].dst, skb.packet.dst)) {
    skb.ctState = "invalid";
    return;
  }
  skb.ct = found.connection;
  skb.ctDirection = found.direction;
  skb.ctState = "related";
}

function trackPacket(skb: Skb, { table, now, max, loose }: Tracking): "tracked" | "full" {
  const { packet } = skb;
  const tuple = tupleOf(packet);
  const found = table.find(tuple);
  if (found === undefined) {
    skb.ctState = "invalid";
    if (!canBegin(packet, loose)) return "tracked";
    if (max > 0 && table.size >= max) return "full";
    skb.ct = { original: tuple, reply: invertTuple(tuple), status: 0, mark: 0, expiresMs: now + lifeMs(packet, 0) };
    skb.ctState = "new";
    skb.ctDirection = "original";
    return "tracked";
  }
  const { connection, direction } = found;
  if (direction === "reply") connection.status |= STATUS.seenReply;
  else if (isAssuring(packet, connection)) connection.status |= STATUS.assured;
  connection.expiresMs = now + lifeMs(packet, connection.status);
  skb.ct = connection;
  skb.ctDirection = direction;
  skb.ctState = (connection.status & STATUS.seenReply) === 0 ? "new" : "established";
  return "tracked";
}

/** TCP: after the handshake. UDP: what goes on after an answer (nf_conntrack_proto_udp.c: two seconds later). */
function isAssuring({ protocol }: Packet, { status }: Connection): boolean {
  return protocol === TCP && (status & STATUS.seenReply) !== 0;
}

/** Questions of ICMP (`valid_new` of nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c). */
const ICMP_QUESTIONS: ReadonlySet<number> = new Set([8, 13, 15, 17]);
const ICMPV6_QUESTIONS: ReadonlySet<number> = new Set([128, 139]);

function canBegin({ protocol, icmp, tcpFlags }: Packet, loose: boolean): boolean {
  if (protocol === ICMP) return icmp !== undefined && ICMP_QUESTIONS.has(icmp.type);
  if (protocol === ICMPV6) return icmp !== undefined && ICMPV6_QUESTIONS.has(icmp.type);
  if (tcpFlags === undefined) return true;
  const { syn, ack, rst, fin } = TCP_FLAGS;
  if ((tcpFlags & rst) !== 0) return false;
  if ((tcpFlags & syn) !== 0) return (tcpFlags & ack) === 0;
  // The first column of `tcp_conntracks` in nf_conntrack_proto_tcp.c: an ACK takes up a connection that is there already, a FIN does not.
  return loose && (tcpFlags & ack) !== 0 && (tcpFlags & fin) === 0;
}

const SECOND = 1000;

/** The kernel's defaults, in the protocols' files: nf_conntrack_proto_{tcp,udp,icmp,icmpv6,sctp,generic}.c. */
function lifeMs({ protocol, tcpFlags }: Packet, status: number): number {
  const answered = (status & STATUS.seenReply) !== 0;
  switch (protocol) {
    case TCP:
      if (((tcpFlags ?? 0) & TCP_FLAGS.rst) !== 0) return 10 * SECOND;
      if ((status & STATUS.assured) !== 0) return 432_000 * SECOND;
      return (answered ? 60 : 120) * SECOND;
    case UDP:
      return (answered ? 120 : 30) * SECOND;
    case ICMP:
    case ICMPV6:
      return 30 * SECOND;
    case SCTP:
      return (answered ? 432_000 : 3) * SECOND;
    default:
      return 600 * SECOND;
  }
}
