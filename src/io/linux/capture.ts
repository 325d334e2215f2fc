// Packets as they pass links: what tests wait for, and streams for those who watch.
import { type FdWatch, watchFd } from "./ffi.ts";
import { KernelError } from "./kernel-error.ts";
import { PacketSocket, type ReceivedFrame } from "./packet-socket.ts";
import { openRoute } from "./route/index.ts";
import type { NetNs } from "./types.ts";

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
  const op = `capture packets on "${link}"`;
  const route = openRoute(ns);
  const linkIndex = route.links.get(link)?.index;
  route.close();
  if (linkIndex === undefined) throw new KernelError({ op, errno: 19, detail: `there is no link "${link}"`, facts: { link } });
  return new PacketCapture(new PacketSocket(ns, { linkIndex, snaplen: options.snaplen ?? 65_535, op }), link);
}

export interface FrameStreamOptions {
  /** Bytes of each frame; default 256. */
  readonly snaplen?: number;
  /** Classic BPF, struct sock_filter after struct sock_filter; absent: all frames. */
  readonly filter?: Uint8Array;
}

/**
 * Calls `onFrame` with every frame that passes any link of the namespace, from when this returns. `drain` takes in what has come
 * until now. Does not keep the process alive.
 */
export function streamFrames(
  ns: NetNs,
  onFrame: (frame: ReceivedFrame) => void,
  options: FrameStreamOptions = {},
): { drain(): void; close(): Promise<void> } {
  const op = `capture packets in network namespace ${ns.path}`;
  const { snaplen = 256, filter } = options;
  const packets = new PacketSocket(ns, { linkIndex: 0, snaplen, op, ...(filter && { filter }) });
  const drain = (): void => {
    for (let frame = packets.receive(); frame !== undefined; frame = packets.receive()) onFrame(frame);
  };
  const watch = watchFd(packets.fd, drain);
  watch.unref();
  return {
    drain,
    close() {
      watch.close();
      return packets.closeLater();
    },
  };
}

class PacketCapture implements Capture {
  readonly #socket: PacketSocket;
  readonly #link: string;
  readonly #watch: FdWatch;
  readonly #packets: CapturedPacket[] = [];
  readonly #waiters = new Set<Waiter>();
  #open = true;

  constructor(packets: PacketSocket, link: string) {
    this.#socket = packets;
    this.#link = link;
    this.#watch = watchFd(packets.fd, () => this.#receive());
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
    this.#socket.close();
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
    for (let frame = this.#socket.receive(); frame !== undefined; frame = this.#socket.receive()) {
      const packet = capturedPacket(frame);
      this.#packets.push(packet);
      for (const waiter of this.#waiters) {
        if (!waiter.wanted(packet)) continue;
        this.#waiters.delete(waiter);
        waiter.resolve(packet);
      }
    }
  }
}

function capturedPacket({ timeNs, direction, pkttype, data, length }: ReceivedFrame): CapturedPacket {
  return { atMs: Number(timeNs / 1000n) / 1000, direction, to: PKTTYPES[pkttype] ?? "otherhost", data, length };
}
