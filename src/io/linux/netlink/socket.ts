// A netlink socket of any protocol. The kernel works on a request while it is being sent, so its answers are there when `sendto`
// returns: nothing here waits in the normal case, and requests need no acknowledgement to be known as done
// (netlink(7); net/netlink/af_netlink.c netlink_unicast_kernel).
import { closeSync } from "node:fs";
import { bind, closeLater, getsockoptInt, recvfrom, sendto, setsockoptInt, socket, waitReadable } from "../ffi.ts";
import { isErrno, KernelError } from "../kernel-error.ts";
import type { NetNs } from "../types.ts";
import {
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP_INTR,
  NLM_F_MULTI,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_HDRLEN,
  NLMSG_OVERRUN,
  NLMSGERR_ATTR_MSG,
  NLMSGERR_ATTR_OFFS,
  SOL_NETLINK,
} from "../uapi/netlink.ts";
import {
  AF_NETLINK,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
} from "../uapi/socket.ts";
import { AttrReader, type NetlinkMessage, splitMessages } from "./reader.ts";
import type { MessageWriter } from "./writer.ts";

export interface NetlinkOptions {
  /** The namespace to open it in; the calling thread's unless told. */
  readonly ns?: NetNs;
  /** Default 8 MiB, or what net.core.rmem_max and wmem_max allow where we may not force more (a user namespace's root). */
  readonly bufferBytes?: number;
  /** NETLINK_GET_STRICT_CHK: dumps are filtered by what their header says. Default true. */
  readonly strict?: boolean;
}

/** What came back for a send: refusals by sequence number, and messages that are not acknowledgements (echoes, replies). */
export interface Outcome {
  readonly refused: readonly Refusal[];
  readonly replies: readonly NetlinkMessage[];
  /** The receive buffer overflowed: there were more refusals or replies than these. */
  readonly overrun: boolean;
}

export interface Refusal {
  readonly seq: number;
  readonly errno: number;
  /** The kernel's words. */
  readonly detail: string | undefined;
  /** Offset of the faulty attribute in the message. */
  readonly offset: number | undefined;
}

/** A dump never needs more per datagram (NLMSG_GOODSIZE, and 32 KiB in netlink_recvmsg); replies to one request are smaller. */
const RECEIVE_BYTES = 128 * 1024;
const MAX_DUMP_RETRIES = 20;
const REPLY_TIMEOUT_MS = 5_000;

const TO_KERNEL: Uint8Array = Uint8Array.of(AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

// One receive buffer for all sockets; a callback that uses another socket meanwhile gets a new one.
let spare: Buffer | undefined;

export class NetlinkSocket {
  readonly fd: number;
  /** The largest message or batch that one send takes; more is EMSGSIZE. */
  readonly maxSendBytes: number;
  #open = true;

  constructor(protocol: number, options: NetlinkOptions = {}) {
    const open = (): number => socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    this.fd = options.ns === undefined ? open() : options.ns.run(open);
    try {
      bind(this.fd, TO_KERNEL, "bind a netlink socket");
      const bytes = options.bufferBytes ?? 8 << 20;
      setBuffer(this.fd, SO_SNDBUFFORCE, SO_SNDBUF, bytes);
      setBuffer(this.fd, SO_RCVBUFFORCE, SO_RCVBUF, bytes);
      setsockoptInt(this.fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
      setsockoptInt(this.fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
      if (options.strict ?? true) setsockoptInt(this.fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
      // netlink_sendmsg: `len > sk->sk_sndbuf - 32`.
      this.maxSendBytes = getsockoptInt(this.fd, SOL_SOCKET, SO_SNDBUF) - 32;
    } catch (err) {
      closeSync(this.fd);
      throw err;
    }
  }

  /** Subscribes to a multicast group (RTNLGRP_*, NFNLGRP_*). */
  join(group: number): void {
    setsockoptInt(this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
  }

  /**
   * Sends everything in `writer` at once and collects what the kernel has to say. Messages without NLM_F_ACK that succeed say
   * nothing. For nfnetlink the writer holds a whole batch, begin to end, which is applied or refused as one.
   */
  send(writer: MessageWriter): Outcome {
    this.#sendto(writer);
    const refused: Refusal[] = [];
    const replies: NetlinkMessage[] = [];
    const overrun = this.#drain((message) => {
      if (message.type !== NLMSG_ERROR) replies.push(message.copy());
      else if (errorOf(message) !== 0) refused.push(refusalOf(message));
    });
    return { refused, replies, overrun };
  }

  /** Sends one message and returns its replies. Throws KernelError `Cannot OP: …` where the kernel refuses. */
  request(writer: MessageWriter, op: string | (() => string)): NetlinkMessage[] {
    const { refused, replies, overrun } = this.send(writer);
    const refusal = refused.find((r) => r.seq === writer.lastSeq) ?? refused[0];
    if (refusal !== undefined) throw refusalError(refusal, op);
    if (overrun) throw new KernelError({ op: opText(op), errno: 105, detail: "the answer did not fit the receive buffer" });
    return replies.filter((r) => r.seq === writer.lastSeq);
  }

  /**
   * Sends one dump request (with NLM_F_DUMP) and returns what `decode` makes of each message, without the undefined ones. Messages
   * are valid only inside `decode`. A dump that was disturbed by a change is asked for again.
   */
  dump<T>(writer: MessageWriter, decode: (message: NetlinkMessage) => T | undefined, op: string | (() => string)): T[] {
    for (let attempt = 0; ; attempt++) {
      const { items, disturbed } = this.#dumpOnce(writer, decode, op);
      if (!disturbed) return items;
      if (attempt >= MAX_DUMP_RETRIES) {
        throw new KernelError({ op: opText(op), errno: 4, detail: `the list changed during each of ${attempt + 1} readings of it` });
      }
    }
  }

  /**
   * Reads what multicast groups sent, until there is no more. True when events were lost (ENOBUFS): read the present state anew.
   * Messages are valid only inside `onMessage`.
   */
  receive(onMessage: (message: NetlinkMessage) => void): boolean {
    return this.#drain(onMessage);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.fd);
  }

  /** Without waiting for it here: what it owns goes with it. */
  async closeLater(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await closeLater(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #dumpOnce<T>(writer: MessageWriter, decode: (message: NetlinkMessage) => T | undefined, op: string | (() => string)) {
    this.#sendto(writer);
    const seq = writer.lastSeq;
    const items: T[] = [];
    let disturbed = false;
    let refusal: Refusal | undefined;
    let failure: unknown;
    let done = false;
    const take = (message: NetlinkMessage): void => {
      if (message.seq !== seq || done) return;
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) disturbed = true;
      if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
        done = true;
        if (errorOf(message) < 0) refusal = refusalOf(message);
        return;
      }
      // A dump must be read to its end, whatever happens here: the next request would be EBUSY.
      try {
        const item = failure === undefined ? decode(message) : undefined;
        if (item !== undefined) items.push(item);
      } catch (err) {
        failure = err ?? new Error("decode failed");
      }
      // A single reply without NLM_F_MULTI is the whole answer.
      if ((message.flags & NLM_F_MULTI) === 0) done = true;
    };
    while (!done) {
      if (this.#drain(take)) disturbed = true;
      if (!done && !waitReadable(this.fd, REPLY_TIMEOUT_MS)) {
        throw new KernelError({ op: opText(op), errno: 110, detail: `no answer within ${REPLY_TIMEOUT_MS} ms` });
      }
    }
    if (failure !== undefined) throw failure;
    // -EINTR: some dumps (nf_tables) end with it instead of setting the flag.
    if (refusal?.errno === 4) return { items, disturbed: true };
    if (refusal !== undefined) throw refusalError(refusal, op);
    return { items, disturbed };
  }

  /** The number of a closed descriptor may be another file's by now. */
  #checkOpen(): void {
    if (!this.#open) throw new KernelError({ op: "use a netlink socket", errno: 9, detail: "it was closed" });
  }

  #sendto(writer: MessageWriter): void {
    this.#checkOpen();
    if (writer.byteLength > this.maxSendBytes) {
      const detail = `${writer.byteLength} bytes are more than the ${this.maxSendBytes} that one send takes here (net.core.wmem_max)`;
      throw new KernelError({ op: `send ${writer.messages} netlink messages`, errno: 90, detail });
    }
    sendto(this.fd, writer.buffer, writer.byteLength, TO_KERNEL);
  }

  /** Receives until there is nothing left; true when messages were lost. */
  #drain(onMessage: (message: NetlinkMessage) => void): boolean {
    this.#checkOpen();
    const buf = spare ?? Buffer.allocUnsafeSlow(RECEIVE_BYTES);
    spare = undefined;
    let overrun = false;
    try {
      for (;;) {
        const length = this.#receiveOnce(buf);
        if (length === undefined) return overrun;
        if (length > buf.length) overrun = true;
        for (const message of splitMessages(buf, Math.min(length, buf.length))) {
          if (message.type === NLMSG_OVERRUN) overrun = true;
          else onMessage(message);
        }
        if (length === 0) overrun = true;
      }
    } finally {
      spare = buf;
    }
  }

  /** 0 for ENOBUFS. */
  #receiveOnce(buf: Buffer): number | undefined {
    try {
      return recvfrom(this.fd, buf, MSG_DONTWAIT | MSG_TRUNC);
    } catch (err) {
      if (isErrno(err, "ENOBUFS")) return 0;
      throw err;
    }
  }
}

function setBuffer(fd: number, forced: number, plain: number, bytes: number): void {
  try {
    // The kernel doubles what it is told.
    setsockoptInt(fd, SOL_SOCKET, forced, bytes / 2);
  } catch (err) {
    if (!isErrno(err, "EPERM")) throw err;
    setsockoptInt(fd, SOL_SOCKET, plain, bytes / 2);
  }
}

/** The negative errno of an NLMSG_ERROR or NLMSG_DONE; 0 for an acknowledgement. */
function errorOf(message: NetlinkMessage): number {
  return message.end - message.payload >= 4 ? message.buf.readInt32LE(message.payload) : 0;
}

function refusalOf(message: NetlinkMessage): Refusal {
  const refusal = {
    seq: message.seq,
    errno: -errorOf(message),
    detail: undefined as string | undefined,
    offset: undefined as number | undefined,
  };
  if ((message.flags & NLM_F_ACK_TLVS) === 0) return refusal;
  let at = message.payload + 4;
  if (message.type === NLMSG_ERROR) {
    const original = message.buf.readUInt32LE(at);
    at += (message.flags & NLM_F_CAPPED) !== 0 ? NLMSG_HDRLEN : (original + 3) & ~3;
  }
  const attrs = new AttrReader(message.buf, at, message.end);
  while (attrs.next()) {
    if (attrs.type === NLMSGERR_ATTR_MSG) refusal.detail = attrs.string();
    else if (attrs.type === NLMSGERR_ATTR_OFFS) refusal.offset = attrs.u32();
  }
  return refusal;
}

export function refusalError(refusal: Refusal, op: string | (() => string)): KernelError {
  return new KernelError({ op: opText(op), errno: refusal.errno, detail: refusal.detail, offset: refusal.offset });
}

function opText(op: string | (() => string)): string {
  return typeof op === "string" ? op : op();
}
