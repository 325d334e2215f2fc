// The connection tracking table over ctnetlink (net/netfilter/nf_conntrack_netlink.c).
import { type Addr, addrFromBytes, type Family, formatAddrPort } from "#ip";
import { isErrno, KernelError } from "./kernel-error.ts";
import { type AttrReader, MessageWriter, type NetlinkMessage, NetlinkSocket, type Refusal, refusalError } from "./netlink/index.ts";
import type { ConntrackEntry, ConntrackSocket, ConntrackUse, NetNs, Tuple } from "./types.ts";
import { NETLINK_NETFILTER, NLM_F_DUMP } from "./uapi/netlink.ts";
import {
  CTA_ID,
  CTA_IP_V4_DST,
  CTA_IP_V4_SRC,
  CTA_IP_V6_DST,
  CTA_IP_V6_SRC,
  CTA_MARK,
  CTA_PROTO_DST_PORT,
  CTA_PROTO_ICMP_CODE,
  CTA_PROTO_ICMP_ID,
  CTA_PROTO_ICMP_TYPE,
  CTA_PROTO_ICMPV6_CODE,
  CTA_PROTO_ICMPV6_ID,
  CTA_PROTO_ICMPV6_TYPE,
  CTA_PROTO_NUM,
  CTA_PROTO_SRC_PORT,
  CTA_PROTOINFO,
  CTA_PROTOINFO_TCP,
  CTA_PROTOINFO_TCP_STATE,
  CTA_STATS_GLOBAL_ENTRIES,
  CTA_STATS_GLOBAL_MAX_ENTRIES,
  CTA_STATUS,
  CTA_TIMEOUT,
  CTA_TUPLE_IP,
  CTA_TUPLE_ORIG,
  CTA_TUPLE_PROTO,
  CTA_TUPLE_REPLY,
  CTA_ZONE,
  IPCTNL_MSG_CT_DELETE,
  IPCTNL_MSG_CT_GET,
  IPCTNL_MSG_CT_GET_STATS,
  NFNL_SUBSYS_CTNETLINK,
} from "./uapi/nfnetlink_conntrack.ts";
import { AF_INET, AF_INET6, AF_UNSPEC } from "./uapi/socket.ts";

/** sizeof(struct nfgenmsg) */
const NFGENMSG_BYTES = 4;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const NO_ADDR: Addr = addrFromBytes(new Uint8Array(4));

/** `type` is an IPCTNL_MSG_*. */
export function beginConntrack(w: MessageWriter, type: number, flags: number, family: Family | undefined): void {
  w.begin((NFNL_SUBSYS_CTNETLINK << 8) | type, flags);
  w.putU8(family === undefined ? AF_UNSPEC : family === 4 ? AF_INET : AF_INET6)
    .putU8(0)
    .putU16be(0);
}

export function writeTuple(w: MessageWriter, type: number, tuple: Tuple): void {
  const four = tuple.src.family === 4;
  const outer = w.openNest(type);
  const ip = w.openNest(CTA_TUPLE_IP);
  w.attrBytes(four ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, tuple.src.bytes);
  w.attrBytes(four ? CTA_IP_V4_DST : CTA_IP_V6_DST, tuple.dst.bytes);
  w.closeNest(ip);
  const proto = w.openNest(CTA_TUPLE_PROTO);
  w.u8(CTA_PROTO_NUM, tuple.protocol);
  if (tuple.protocol === IPPROTO_ICMP || tuple.protocol === IPPROTO_ICMPV6) writeIcmp(w, tuple);
  else w.u16be(CTA_PROTO_SRC_PORT, tuple.srcPort).u16be(CTA_PROTO_DST_PORT, tuple.dstPort);
  w.closeNest(proto);
  w.closeNest(outer);
}

/** As nf_conntrack_tuple has it: the identifier stands for the source port, type and code for the destination port. */
function writeIcmp(w: MessageWriter, tuple: Tuple): void {
  const four = tuple.protocol === IPPROTO_ICMP;
  w.u16be(four ? CTA_PROTO_ICMP_ID : CTA_PROTO_ICMPV6_ID, tuple.srcPort);
  w.u8(four ? CTA_PROTO_ICMP_TYPE : CTA_PROTO_ICMPV6_TYPE, tuple.dstPort >> 8);
  w.u8(four ? CTA_PROTO_ICMP_CODE : CTA_PROTO_ICMPV6_CODE, tuple.dstPort & 0xff);
}

function readTuple(attrs: AttrReader): Tuple {
  const tuple = { src: NO_ADDR, dst: NO_ADDR, protocol: 0, srcPort: 0, dstPort: 0 };
  while (attrs.next()) {
    if (attrs.type === CTA_TUPLE_IP) readIps(attrs.nested(), tuple);
    else if (attrs.type === CTA_TUPLE_PROTO) readProto(attrs.nested(), tuple);
  }
  return tuple;
}

function readIps(attrs: AttrReader, into: { src: Addr; dst: Addr }): void {
  while (attrs.next()) {
    if (attrs.type === CTA_IP_V4_SRC || attrs.type === CTA_IP_V6_SRC) into.src = addrFromBytes(attrs.bytes());
    else if (attrs.type === CTA_IP_V4_DST || attrs.type === CTA_IP_V6_DST) into.dst = addrFromBytes(attrs.bytes());
  }
}

function readProto(attrs: AttrReader, into: { protocol: number; srcPort: number; dstPort: number }): void {
  while (attrs.next()) {
    if (attrs.type === CTA_PROTO_NUM) into.protocol = attrs.u8();
    else if (attrs.type === CTA_PROTO_SRC_PORT) into.srcPort = attrs.u16be();
    else if (attrs.type === CTA_PROTO_DST_PORT) into.dstPort = attrs.u16be();
    else if (attrs.type === CTA_PROTO_ICMP_ID || attrs.type === CTA_PROTO_ICMPV6_ID) into.srcPort = attrs.u16be();
    else if (attrs.type === CTA_PROTO_ICMP_TYPE || attrs.type === CTA_PROTO_ICMPV6_TYPE) into.dstPort |= attrs.u8() << 8;
    else if (attrs.type === CTA_PROTO_ICMP_CODE || attrs.type === CTA_PROTO_ICMPV6_CODE) into.dstPort |= attrs.u8();
  }
}

/** What of a connection's attributes says between whom it is. */
export function readTuples(attrs: AttrReader): { original?: Tuple; reply?: Tuple } {
  const found: { original?: Tuple; reply?: Tuple } = {};
  while (attrs.next()) {
    if (attrs.type === CTA_TUPLE_ORIG) found.original = readTuple(attrs.nested());
    else if (attrs.type === CTA_TUPLE_REPLY) found.reply = readTuple(attrs.nested());
  }
  return found;
}

/** Of TCP; other protocols have other nests. */
function readTcpState(attrs: AttrReader): number | undefined {
  let state: number | undefined;
  while (attrs.next()) {
    if (attrs.type !== CTA_PROTOINFO_TCP) continue;
    const tcp = attrs.nested();
    while (tcp.next()) if (tcp.type === CTA_PROTOINFO_TCP_STATE) state = tcp.u8();
  }
  return state;
}

function readConntrack(message: NetlinkMessage): ConntrackEntry {
  let original: Tuple | undefined;
  let reply: Tuple | undefined;
  let tcpState: number | undefined;
  const entry = { id: 0, mark: 0, zone: 0, timeoutSeconds: 0, status: 0 };
  const attrs = message.attrs(NFGENMSG_BYTES);
  while (attrs.next()) {
    if (attrs.type === CTA_TUPLE_ORIG) original = readTuple(attrs.nested());
    else if (attrs.type === CTA_TUPLE_REPLY) reply = readTuple(attrs.nested());
    else if (attrs.type === CTA_PROTOINFO) tcpState = readTcpState(attrs.nested());
    else if (attrs.type === CTA_ID) entry.id = attrs.u32be();
    else if (attrs.type === CTA_STATUS) entry.status = attrs.u32be();
    else if (attrs.type === CTA_TIMEOUT) entry.timeoutSeconds = attrs.u32be();
    else if (attrs.type === CTA_MARK) entry.mark = attrs.u32be();
    else if (attrs.type === CTA_ZONE) entry.zone = attrs.u16be();
  }
  const empty: Tuple = { src: NO_ADDR, dst: NO_ADDR, protocol: 0, srcPort: 0, dstPort: 0 };
  return { original: original ?? empty, reply: reply ?? empty, ...entry, ...(tcpState !== undefined && { tcpState }) };
}

function writeDelete(w: MessageWriter, entry: ConntrackEntry): void {
  beginConntrack(w, IPCTNL_MSG_CT_DELETE, 0, entry.original.src.family);
  writeTuple(w, CTA_TUPLE_ORIG, entry.original);
  if (entry.zone !== 0) w.u16be(CTA_ZONE, entry.zone);
  // With the identifier, a new flow of the same tuple is not taken for this one.
  w.u32be(CTA_ID, entry.id);
  w.end();
}

function describe(entry: ConntrackEntry): string {
  const { src, srcPort, dst, dstPort, protocol } = entry.original;
  return `connection ${formatAddrPort(src, srcPort)} to ${formatAddrPort(dst, dstPort)} (protocol ${protocol})`;
}

/** Few enough that a refusal of each fits into a receive buffer of the default size. */
const DELETES_PER_SEND = 200;

class KernelConntrack implements ConntrackSocket {
  readonly #netlink: NetlinkSocket;

  constructor(ns: NetNs) {
    this.#netlink = new NetlinkSocket(NETLINK_NETFILTER, { ns });
  }

  list(family?: Family): ConntrackEntry[] {
    const w = new MessageWriter();
    beginConntrack(w, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);
    w.end();
    return this.#netlink.dump(w, readConntrack, `list ${family === undefined ? "all" : `IPv${family}`} connections`);
  }

  use(): ConntrackUse {
    const w = new MessageWriter(64);
    beginConntrack(w, IPCTNL_MSG_CT_GET_STATS, 0, undefined);
    w.end();
    const [reply] = this.#netlink.request(w, "count connections");
    const use = { count: 0, max: 0 };
    const attrs = reply?.attrs(NFGENMSG_BYTES);
    while (attrs?.next() === true) {
      if (attrs.type === CTA_STATS_GLOBAL_ENTRIES) use.count = attrs.u32be();
      else if (attrs.type === CTA_STATS_GLOBAL_MAX_ENTRIES) use.max = attrs.u32be();
    }
    return use;
  }

  del(entry: ConntrackEntry): boolean {
    const w = new MessageWriter();
    writeDelete(w, entry);
    try {
      this.#netlink.request(w, () => `delete ${describe(entry)}`);
      return true;
    } catch (err) {
      if (isErrno(err, "ENOENT")) return false;
      throw err;
    }
  }

  delMany(entries: readonly ConntrackEntry[]): number {
    const w = new MessageWriter(32 * 1024);
    let deleted = 0;
    for (let start = 0; start < entries.length; start += DELETES_PER_SEND) {
      const chunk = entries.slice(start, start + DELETES_PER_SEND);
      w.reset();
      for (const entry of chunk) writeDelete(w, entry);
      const { refused, overrun } = this.#netlink.send(w);
      const bad: Refusal | undefined = refused.find((refusal) => refusal.errno !== ENOENT);
      if (bad !== undefined) throw refusalError(bad, `delete ${chunk.length} connections`);
      if (overrun) throw new KernelError({ op: `delete ${chunk.length} connections`, errno: 105 });
      deleted += chunk.length - refused.length;
    }
    return deleted;
  }

  close(): void {
    this.#netlink.close();
  }
}

const ENOENT = 2;

export function openConntrack(ns: NetNs): ConntrackSocket {
  return new KernelConntrack(ns);
}
