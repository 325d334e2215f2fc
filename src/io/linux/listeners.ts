// Sockets that take what comes from anybody: listening TCP and SCTP sockets, UDP sockets without a peer. Over sock_diag(7), and over
// /proc/net where the kernel has it not for a protocol.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type Addr, addrFromBytes, type Family } from "#ip";
import { isErrno } from "./kernel-error.ts";
import { MessageWriter, type NetlinkMessage, NetlinkSocket } from "./netlink/index.ts";
import type { NetNs } from "./types.ts";
import { NLM_F_DUMP } from "./uapi/netlink.ts";
import {
  INET_DIAG_MSG_BYTES,
  INET_DIAG_SKV6ONLY,
  NETLINK_SOCK_DIAG,
  SOCK_DIAG_BY_FAMILY,
  TCP_CLOSE,
  TCP_LISTEN,
} from "./uapi/sock_diag.ts";
import { AF_INET, AF_INET6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "./uapi/socket.ts";

export interface ListeningSocket {
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly port: number;
  /** Absent: every address. */
  readonly addr?: Addr;
  /** Where `addr` is absent: one family only. */
  readonly family?: Family;
  /** Of its file (sockfs): see `socketOwners`. */
  readonly inode: number;
  /** TCP: connections that wait to be accepted, and how many may. */
  readonly queued?: number;
  readonly backlog?: number;
}

const PROTOCOLS: readonly number[] = [IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP];

/** Those of one namespace, by protocol, port and address. */
export function listListeners(ns: NetNs): ListeningSocket[] {
  using netlink = new NetlinkSocket(NETLINK_SOCK_DIAG, { ns });
  const found: ListeningSocket[] = [];
  for (const protocol of PROTOCOLS) {
    for (const family of [4, 6] as const) found.push(...(dump(netlink, protocol, family) ?? readProc(ns, protocol, family)));
  }
  return found.sort((a, b) => a.protocol - b.protocol || a.port - b.port || a.inode - b.inode);
}

/** Undefined: the kernel has no sock_diag for this. */
function dump(netlink: NetlinkSocket, protocol: number, family: Family): ListeningSocket[] | undefined {
  const w = new MessageWriter(128);
  w.begin(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  // struct inet_diag_req_v2: family, protocol, ext, pad, states, and a struct inet_diag_sockid of 48 bytes.
  w.putU8(family === 4 ? AF_INET : AF_INET6)
    .putU8(protocol)
    .putU16(0)
    .putU32(1 << (protocol === IPPROTO_UDP ? TCP_CLOSE : TCP_LISTEN));
  for (let i = 0; i < 12; i++) w.putU32(0);
  w.end();
  try {
    return netlink.dump(w, (message) => readDiag(message, protocol), "list listening sockets");
  } catch (err) {
    // ENOENT: no module that answers; EINVAL: the family is switched off.
    if (isErrno(err, "ENOENT", "EINVAL")) return undefined;
    throw err;
  }
}

/** struct inet_diag_msg. */
function readDiag(message: NetlinkMessage, protocol: number): ListeningSocket | undefined {
  const { buf, payload: at } = message;
  const family: Family = buf[at] === AF_INET ? 4 : 6;
  const port = buf.readUInt16BE(at + 4);
  if (port === 0) return undefined;
  const addr = addrFromBytes(Uint8Array.from(buf.subarray(at + 8, at + 8 + (family === 4 ? 4 : 16))));
  let v6only = false;
  const attrs = message.attrs(INET_DIAG_MSG_BYTES);
  while (attrs.next()) if (attrs.type === INET_DIAG_SKV6ONLY) v6only = attrs.u8() !== 0;
  const where = whereBound(addr, v6only);
  const queue = protocol === IPPROTO_UDP ? {} : { queued: buf.readUInt32LE(at + 56), backlog: buf.readUInt32LE(at + 60) };
  return { protocol, port, ...where, inode: buf.readUInt32LE(at + 68), ...queue };
}

/** "::" takes both families unless told otherwise (IPV6_V6ONLY). */
function whereBound(addr: Addr, v6only: boolean): Pick<ListeningSocket, "addr" | "family"> {
  if (addr.bytes.some((byte) => byte !== 0)) return { addr };
  return addr.family === 4 || v6only ? { family: addr.family } : {};
}

const PROC_FILES: Readonly<Record<number, string>> = { [IPPROTO_TCP]: "tcp", [IPPROTO_UDP]: "udp" };

/** proc_pid_net(5); it does not tell IPV6_V6ONLY. What the kernel has no file for is not there. */
function readProc(ns: NetNs, protocol: number, family: Family): ListeningSocket[] {
  const name = PROC_FILES[protocol];
  if (name === undefined) return [];
  let text: string;
  try {
    text = ns.run(() => readFileSync(`/proc/thread-self/net/${name}${family === 4 ? "" : "6"}`, "utf8"));
  } catch {
    return [];
  }
  const wanted = protocol === IPPROTO_UDP ? TCP_CLOSE : TCP_LISTEN;
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, local = "", , state = "", , , , , , inode = ""] = line.trim().split(/\s+/);
      const [hex = "", port = ""] = local.split(":");
      if (Number.parseInt(state, 16) !== wanted || port === "") return [];
      return [{ protocol, port: Number.parseInt(port, 16), ...whereBound(procAddr(hex), false), inode: Number(inode) }];
    });
}

/** Words of 4 bytes, each in host order. */
export function procAddr(hex: string): Addr {
  const bytes = Buffer.from(hex, "hex");
  return addrFromBytes(Uint8Array.from(bytes.swap32()));
}

/** A process that holds a socket. */
export interface SocketOwner {
  readonly pid: number;
  /** As the kernel knows it (comm). */
  readonly name: string;
  readonly args: readonly string[];
}

/**
 * Who holds these sockets (inodes), among the processes that this one may look at, and that are in one of the network namespaces
 * (inodes). Goes through all of /proc: an iterator, so that others may go on in between; its value is what it knows until then.
 */
export function* socketOwners(inodes: ReadonlySet<number>, namespaces: ReadonlySet<number>): Generator<void, Map<number, SocketOwner>> {
  const owners = new Map<number, SocketOwner>();
  for (const entry of readdirSync("/proc")) {
    if (owners.size === inodes.size) break;
    const pid = Number(entry);
    if (!Number.isInteger(pid) || !namespaces.has(netnsOf(pid))) continue;
    yield;
    for (const inode of socketsOf(pid)) {
      if (inodes.has(inode) && !owners.has(inode)) owners.set(inode, describeProcess(pid));
    }
  }
  return owners;
}

/** 0: it has gone, or is another user's. */
function netnsOf(pid: number): number {
  try {
    return Number(/^net:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function socketsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => socketInode(`/proc/${pid}/fd/${fd}`));
  } catch {
    return [];
  }
}

function socketInode(path: string): number[] {
  try {
    const found = /^socket:\[(\d+)\]$/.exec(readlinkSync(path));
    return found === null ? [] : [Number(found[1])];
  } catch {
    // Closed meanwhile.
    return [];
  }
}

function describeProcess(pid: number): SocketOwner {
  const read = (file: string): string => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, "utf8");
    } catch {
      return "";
    }
  };
  return { pid, name: read("comm").trim(), args: read("cmdline").split("\0").filter(Boolean) };
}
