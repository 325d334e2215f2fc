// Packets that a rule tells of (nft's `log group`): NFLOG, net/netfilter/nfnetlink_log.c. While nobody listens to a group, such a rule makes
// nothing. Needs CAP_NET_ADMIN in the namespace; a group has one listener.
import { readTuples } from "./conntrack.ts";
import { watchFd } from "./ffi.ts";
import { isErrno } from "./kernel-error.ts";
import { MessageWriter, type NetlinkMessage, NetlinkSocket } from "./netlink/index.ts";
import type { NetNs, Tuple } from "./types.ts";
import { NETLINK_NETFILTER } from "./uapi/netlink.ts";
import * as u from "./uapi/nfnetlink_log.ts";
import { AF_UNSPEC } from "./uapi/socket.ts";

export interface LoggedPacket {
  /** What the rule calls itself. */
  readonly prefix: string;
  /** From its IP header on, cut off after `snaplen` bytes. */
  readonly data: Uint8Array;
  /** Of its connection: who began it, and who answers, after all translation. Absent where conntrack knows of none. */
  readonly original?: Tuple;
  readonly reply?: Tuple;
}

export interface PacketLogOptions {
  readonly group: number;
  /** Default 128. */
  readonly snaplen?: number;
}

export interface PacketLogListener {
  packet(packet: LoggedPacket): void;
  /** So many have come while the socket was full. */
  lost(count: number): void;
}

export type PacketLog = (options: PacketLogOptions, listener: PacketLogListener) => { close(): void };

/** sizeof(struct nfgenmsg) */
const NFGENMSG_BYTES = 4;
const BUFFER_BYTES: number = 1 << 20;
/** The kernel collects so many messages, or as long as this, in 1/100 s. */
const COLLECT = { messages: 32, centiseconds: 5 };

/** Listens in `ns`, from when this returns. Throws KernelError: EBUSY where somebody else listens. Does not keep the process alive. */
export function watchPacketLog(ns: NetNs, { group, snaplen = 128 }: PacketLogOptions, listener: PacketLogListener): { close(): void } {
  const netlink = new NetlinkSocket(NETLINK_NETFILTER, { ns, bufferBytes: BUFFER_BYTES });
  try {
    configure(netlink, group, snaplen);
  } catch (err) {
    netlink.close();
    throw err;
  }
  let next = 0;
  const watch = watchFd(netlink.fd, () => {
    const packets: LoggedPacket[] = [];
    let lost = 0;
    netlink.receive((message) => {
      const { seq, packet } = readPacket(message);
      if (packet === undefined) return;
      if (seq !== undefined) {
        lost += Math.max(0, seq - next);
        next = seq + 1;
      }
      packets.push(packet);
    });
    if (lost > 0) listener.lost(lost);
    for (const packet of packets) listener.packet(packet);
  });
  watch.unref();
  return {
    close() {
      watch.close();
      netlink.close();
    },
  };
}

function configure(netlink: NetlinkSocket, group: number, snaplen: number): void {
  const op = `listen to the packet log, group ${group}`;
  const send = (fill: (w: MessageWriter) => void): void => {
    const w = new MessageWriter(128);
    w.begin((u.NFNL_SUBSYS_ULOG << 8) | u.NFULNL_MSG_CONFIG, 0);
    w.putU8(AF_UNSPEC).putU8(0).putU16be(group);
    fill(w);
    w.end();
    netlink.request(w, op);
  };
  send((w) => w.u8(u.NFULA_CFG_CMD, u.NFULNL_CFG_CMD_BIND));
  const flags = (bits: number): void => send((w) => w.u16be(u.NFULA_CFG_FLAGS, bits));
  try {
    flags(u.NFULNL_CFG_F_SEQ | u.NFULNL_CFG_F_CONNTRACK);
  } catch (err) {
    // A kernel without nf_conntrack_netlink.
    if (!isErrno(err, "EOPNOTSUPP")) throw err;
    flags(u.NFULNL_CFG_F_SEQ);
  }
  send((w) => {
    // struct nfulnl_msg_config_mode, packed: be32 copy_range, u8 copy_mode, u8 padding
    const mode = new Uint8Array(6);
    new DataView(mode.buffer).setUint32(0, snaplen);
    mode[4] = u.NFULNL_COPY_PACKET;
    w.attrBytes(u.NFULA_CFG_MODE, mode);
    w.u32be(u.NFULA_CFG_TIMEOUT, COLLECT.centiseconds).u32be(u.NFULA_CFG_QTHRESH, COLLECT.messages);
  });
}

function readPacket(message: NetlinkMessage): { seq?: number; packet?: LoggedPacket } {
  if (message.type !== ((u.NFNL_SUBSYS_ULOG << 8) | u.NFULNL_MSG_PACKET)) return {};
  let prefix = "";
  let seq: number | undefined;
  let data: Uint8Array = new Uint8Array();
  let tuples: ReturnType<typeof readTuples> = {};
  const attrs = message.attrs(NFGENMSG_BYTES);
  while (attrs.next()) {
    if (attrs.type === u.NFULA_PREFIX) prefix = attrs.string();
    else if (attrs.type === u.NFULA_PAYLOAD) data = attrs.bytes().slice();
    else if (attrs.type === u.NFULA_SEQ) seq = attrs.u32be();
    else if (attrs.type === u.NFULA_CT) tuples = readTuples(attrs.nested());
  }
  return { ...(seq !== undefined && { seq }), packet: { prefix, data, ...tuples } };
}
