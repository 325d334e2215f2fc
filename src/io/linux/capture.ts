// Packets as they pass a link: an AF_PACKET socket (packet(7)). Needs CAP_NET_RAW in the namespace.
import { closeSync } from "node:fs";
import { bind, type FdWatch, ioctl, recvfrom, setsockoptInt, socket, watchFd } from "./ffi.ts";
import { isErrno, KernelError } from "./kernel-error.ts";
import { openRoute } from "./route/index.ts";
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

export interface CapturedPacket {
  /** Milliseconds since the Unix epoch, to the microsecond. */
  readonly atMs: number;
  readonly direction: "in" | "out";
  /** Whom an incoming frame was for, by its link-layer address. */
  readonly to: "host" | "broadcast" | "multicast" | "otherhost" | "outgoing";
  /** The frame, cut off after `snaplen` bytes. Checksums of packets made on this machine may not be filled in yet. */
  readonly data: Uint8Array;
  /** The length of the whole frame. */
  readonly length: number;
}

export interface CaptureOptions {
  /** Default 65535. */
  readonly snaplen?: number;
}

export interface Capture {
  /** All packets so far, those that arrived until this call included. */
  packets(): readonly CapturedPacket[];
  /** The first packet so far or from now on that satisfies `wanted`. Rejects when `signal` aborts or the capture is closed. */
  find(wanted: (packet: CapturedPacket) => boolean, signal?: AbortSignal): Promise<CapturedPacket>;
  close(): void;
  [Symbol.dispose](): void;
}

const PKTTYPES = ["host", "broadcast", "multicast", "otherhost", "outgoing"] as const;

interface Waiter {
  readonly wanted: (packet: CapturedPacket) => boolean;
  readonly resolve: (packet: CapturedPacket) => void;
  readonly reject: (reason: unknown) => void;
}

/** Captures every frame that passes `link`, in both directions, from when this returns. Does not keep the process alive. */
export function capture(ns: NetNs, link: string, options: CaptureOptions = {}): Capture {
  return new PacketCapture(openCapture(ns, link), link, options.snaplen ?? 65_535);
}

function openCapture(ns: NetNs, link: string): number {
  const op = `capture packets on "${link}"`;
  const route = openRoute(ns);
  const index = route.links.get(link)?.index;
  route.close();
  if (index === undefined) throw new KernelError({ op, errno: 19, detail: `there is no link "${link}"`, facts: { link } });
  // Protocol 0 receives nothing until the socket is bound, so no packet of another link gets in.
  const fd = ns.run(() => socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  try {
    setReceiveBuffer(fd, 8 << 20);
    enableTimestamps(fd);
    // struct sockaddr_ll
    const addr = Buffer.alloc(20);
    addr.writeUInt16LE(AF_PACKET, 0);
    addr.writeUInt16BE(ETH_P_ALL, 2);
    addr.writeInt32LE(index, 4);
    bind(fd, addr, op);
    return fd;
  } catch (err) {
    closeSync(fd);
    throw err;
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
    timestampMs(fd);
  } catch (err) {
    if (!isErrno(err, "ENOENT")) throw err;
  }
}

function timestampMs(fd: number): number {
  const timespec = Buffer.alloc(16);
  ioctl(fd, SIOCGSTAMPNS_OLD, timespec, "read the time of a packet");
  return Number(timespec.readBigInt64LE(0)) * 1000 + Math.floor(Number(timespec.readBigInt64LE(8)) / 1000) / 1000;
}

class PacketCapture implements Capture {
  readonly #fd: number;
  readonly #link: string;
  readonly #watch: FdWatch;
  readonly #buf: Buffer;
  readonly #addr = Buffer.alloc(20);
  readonly #packets: CapturedPacket[] = [];
  readonly #waiters = new Set<Waiter>();
  #open = true;

  constructor(fd: number, link: string, snaplen: number) {
    this.#fd = fd;
    this.#link = link;
    this.#buf = Buffer.allocUnsafeSlow(snaplen);
    this.#watch = watchFd(fd, () => this.#receive());
    this.#watch.unref();
  }

  packets(): readonly CapturedPacket[] {
    this.#receive();
    return this.#packets;
  }

  find(wanted: Waiter["wanted"], signal?: AbortSignal): Promise<CapturedPacket> {
    const found = this.packets().find(wanted);
    if (found !== undefined) return Promise.resolve(found);
    if (!this.#open) return Promise.reject(this.#closedError());
    const { promise, resolve, reject } = Promise.withResolvers<CapturedPacket>();
    const waiter = { wanted, resolve, reject };
    this.#waiters.add(waiter);
    signal?.addEventListener("abort", () => this.#waiters.delete(waiter) && reject(signal.reason), { once: true });
    this.#watch.ref();
    return promise.finally(() => {
      if (this.#open && this.#waiters.size === 0) this.#watch.unref();
    });
  }

  close(): void {
    if (!this.#open) return;
    this.#receive();
    this.#open = false;
    this.#watch.close();
    closeSync(this.#fd);
    for (const waiter of this.#waiters) waiter.reject(this.#closedError());
    this.#waiters.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #closedError(): KernelError {
    return new KernelError({ op: `find a packet on "${this.#link}"`, errno: 9, detail: "the capture was closed" });
  }

  #receive(): void {
    if (!this.#open) return;
    for (;;) {
      const packet = this.#receiveOne();
      if (packet === "none") return;
      if (packet === "down") continue;
      this.#packets.push(packet);
      for (const waiter of this.#waiters) {
        if (!waiter.wanted(packet)) continue;
        this.#waiters.delete(waiter);
        waiter.resolve(packet);
      }
    }
  }

  #receiveOne(): CapturedPacket | "none" | "down" {
    let length: number | undefined;
    try {
      length = recvfrom(this.#fd, this.#buf, MSG_DONTWAIT | MSG_TRUNC, this.#addr);
    } catch (err) {
      // Told once when the link goes down; packets come again when it is up.
      if (isErrno(err, "ENETDOWN")) return "down";
      throw err;
    }
    if (length === undefined) return "none";
    const pkttype = this.#addr.readUInt8(10);
    return {
      atMs: timestampMs(this.#fd),
      direction: pkttype === PACKET_OUTGOING ? "out" : "in",
      to: PKTTYPES[pkttype] ?? "otherhost",
      data: Uint8Array.from(this.#buf.subarray(0, Math.min(length, this.#buf.length))),
      length,
    };
  }
}
