// An AF_PACKET socket (packet(7)): frames as they pass the links of a namespace. Needs CAP_NET_RAW there.
import { closeSync } from "node:fs";
import { attachFilter, bind, closeLater, ioctl, recvfrom, setsockoptInt, socket } from "./ffi.ts";
import { isErrno } from "./kernel-error.ts";
import type { NetNs } from "./types.ts";
import { ETH_P_ALL, PACKET_OUTGOING, SIOCGSTAMPNS_OLD } from "./uapi/if_packet.ts";
import {
  AF_PACKET,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
} from "./uapi/socket.ts";

export interface PacketSocketOptions {
  /** 0: all links of the namespace, also those to come. */
  readonly linkIndex: number;
  readonly snaplen: number;
  /** What it is opened for, for errors. */
  readonly op: string;
  /** Classic BPF: see `attachFilter`. */
  readonly filter?: Uint8Array;
}

export interface ReceivedFrame {
  readonly timeNs: bigint;
  readonly linkIndex: number;
  readonly direction: "in" | "out";
  /** PACKET_HOST, PACKET_BROADCAST, …: whom it was for. */
  readonly pkttype: number;
  /** Cut off after `snaplen` bytes. */
  readonly data: Uint8Array;
  readonly length: number;
}

export class PacketSocket {
  readonly fd: number;
  readonly #buf: Buffer;
  /** struct sockaddr_ll */
  readonly #addr = Buffer.alloc(20);
  #open = true;

  constructor(ns: NetNs, options: PacketSocketOptions) {
    this.#buf = Buffer.allocUnsafeSlow(options.snaplen);
    // Protocol 0 receives nothing until the socket is bound, so no packet of another link or past the filter gets in.
    this.fd = ns.run(() => socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    try {
      setReceiveBuffer(this.fd, 8 << 20);
      enableTimestamps(this.fd);
      if (options.filter !== undefined) attachFilter(this.fd, options.filter);
      const addr = Buffer.alloc(20);
      addr.writeUInt16LE(AF_PACKET, 0);
      addr.writeUInt16BE(ETH_P_ALL, 2);
      addr.writeInt32LE(options.linkIndex, 4);
      bind(this.fd, addr, options.op);
    } catch (err) {
      closeSync(this.fd);
      throw err;
    }
  }

  /** The next frame; undefined: there is none now. */
  receive(): ReceivedFrame | undefined {
    for (;;) {
      let length: number | undefined;
      try {
        length = recvfrom(this.fd, this.#buf, MSG_DONTWAIT | MSG_TRUNC, this.#addr);
      } catch (err) {
        // Told once when the link goes down; packets come again when it is up.
        if (isErrno(err, "ENETDOWN")) continue;
        throw err;
      }
      if (length === undefined) return undefined;
      const pkttype = this.#addr.readUInt8(10);
      return {
        timeNs: timestampNs(this.fd),
        linkIndex: this.#addr.readInt32LE(4),
        direction: pkttype === PACKET_OUTGOING ? "out" : "in",
        pkttype,
        data: Uint8Array.from(this.#buf.subarray(0, Math.min(length, this.#buf.length))),
        length,
      };
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.fd);
  }

  /** Without waiting for it here. */
  async closeLater(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await closeLater(this.fd);
  }
}

function setReceiveBuffer(fd: number, bytes: number): void {
  try {
    setsockoptInt(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes);
  } catch (err) {
    if (!isErrno(err, "EPERM")) throw err;
    setsockoptInt(fd, SOL_SOCKET, SO_RCVBUF, bytes);
  }
}

/** Asking for the time of the last packet makes the kernel remember it from then on (net/core/sock.c sock_gettstamp). */
function enableTimestamps(fd: number): void {
  try {
    timestampNs(fd);
  } catch (err) {
    if (!isErrno(err, "ENOENT")) throw err;
  }
}

function timestampNs(fd: number): bigint {
  const timespec = Buffer.alloc(16);
  ioctl(fd, SIOCGSTAMPNS_OLD, timespec, "read the time of a packet");
  return timespec.readBigInt64LE(0) * 1_000_000_000n + timespec.readBigInt64LE(8);
}
