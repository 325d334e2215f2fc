// Sends one real packet or connection from a namespace, and tells what comes of it.
import { performance } from "node:perf_hooks";
import { errorMessage, InputError } from "#base";
import { type Addr, addrEquals, addrFromBytes, formatAddr, formatAddrPort } from "#ip";
import { errnoName, isErrno, KernelError, type NetNs, ProbeSocket, type SocketError } from "#linux";
import { decodePacket, encodeEcho } from "#wire";
import type { ProbeRequest, ProbeResult } from "./types.ts";

const FIRST_BYTES = 512;

/** Resolves, when something came or the time is up; rejects only for a request that makes no sense. */
export async function probe(ns: NetNs, request: ProbeRequest, signal?: AbortSignal): Promise<ProbeResult> {
  const { dst, src, protocol } = request;
  if (src !== undefined && src.family !== dst.family) throw new InputError("src", "of another family than the destination");
  let socket: ProbeSocket;
  try {
    socket = new ProbeSocket(ns, protocol, dst.family);
  } catch (err) {
    return refusedHere(err);
  }
  const running = new RunningProbe(socket, request);
  try {
    return await running.result(signal);
  } finally {
    socket.close();
  }
}

function unspecified({ family }: Addr): Addr {
  return addrFromBytes(new Uint8Array(family === 4 ? 4 : 16));
}

/** The own kernel refuses. */
function refusedHere(err: unknown, local?: ProbeResult["local"]): ProbeResult {
  const errno = err instanceof KernelError ? errnoName(err.errno) : "EIO";
  return { outcome: "error", errno, message: errorMessage(err), ...(local && { local }) };
}

class RunningProbe {
  readonly #socket: ProbeSocket;
  readonly #request: ProbeRequest;
  readonly #done = Promise.withResolvers<ProbeResult>();
  /** The identifier of an echo. */
  readonly #id: number;
  #sentAt = 0;
  #connectedUs: number | undefined;

  constructor(socket: ProbeSocket, request: ProbeRequest) {
    this.#socket = socket;
    this.#request = request;
    this.#id = request.srcPort ?? 1 + Math.floor(Math.random() * 0xfffe);
  }

  async result(signal: AbortSignal | undefined): Promise<ProbeResult> {
    const timer = setTimeout(() => this.#finish(this.#timeUp()), this.#request.timeoutMs);
    const abort = (): void => this.#finish({ outcome: "silence", message: "ended before its time" });
    signal?.addEventListener("abort", abort, { once: true });
    try {
      this.#start();
      return await this.#done.promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  #start(): void {
    const { dst, dstPort = 0, src, srcPort, protocol, payload } = this.#request;
    const isStream = protocol === "tcp" || protocol === "sctp";
    try {
      if (src !== undefined || (srcPort !== undefined && protocol !== "icmp")) {
        this.#socket.bind({ addr: src ?? unspecified(dst), port: srcPort ?? 0 });
      }
      this.#sentAt = performance.now();
      const stands = this.#socket.connect({ addr: dst, port: dstPort });
      if (isStream) {
        this.#socket.watch(() => this.#try(() => this.#onStream()), { writable: true });
        if (stands) this.#try(() => this.#onStream());
        return;
      }
      this.#socket.send(protocol === "icmp" ? this.#echo() : (payload ?? new Uint8Array(0)));
      this.#socket.watch(() => this.#try(() => this.#onDatagram()));
    } catch (err) {
      this.#finish(this.#failed(err));
    }
  }

  #try(step: () => ProbeResult | undefined): void {
    try {
      const result = step();
      if (result !== undefined) this.#finish(result);
    } catch (err) {
      this.#finish(this.#failed(err));
    }
  }

  /** A TCP reset or an ICMP error comes as an errno of the next call, too. */
  #failed(err: unknown): ProbeResult {
    const queued = this.#errorOfSocket();
    if (queued !== undefined) return queued;
    if (isErrno(err, "ECONNREFUSED", "ECONNRESET")) return { ...refusedHere(err, this.#local()), outcome: "refused", ...this.#rtt() };
    return refusedHere(err, this.#local());
  }

  #onStream(): ProbeResult | undefined {
    const error = this.#errorOfSocket();
    if (error !== undefined) return error;
    if (this.#connectedUs !== undefined) {
      const data = this.#socket.receive();
      return data && this.#answered(data);
    }
    this.#connectedUs = this.#elapsedUs();
    const { payload } = this.#request;
    if (payload === undefined) return this.#answered();
    this.#socket.send(payload);
    this.#socket.watch(() => this.#try(() => this.#onStream()));
    return undefined;
  }

  #onDatagram(): ProbeResult | undefined {
    const error = this.#errorOfSocket();
    if (error !== undefined) return error;
    for (let data = this.#socket.receive(); data !== undefined; data = this.#socket.receive()) {
      const answer = this.#request.protocol === "icmp" ? this.#echoAnswer(data) : data;
      if (answer !== undefined) return this.#answered(answer);
    }
    return undefined;
  }

  #errorOfSocket(): ProbeResult | undefined {
    const error = this.#socket.error();
    return error && this.#refused(error);
  }

  /** An error that the own kernel made, and not for a socket of its own, is no refusal by somebody. */
  #refused({ errno, icmp }: SocketError): ProbeResult {
    const local = this.#local();
    const { dst, dstPort = 0 } = this.#request;
    const isOwn = icmp !== undefined && local !== undefined && addrEquals(icmp.from, local.addr) && !addrEquals(local.addr, dst);
    const isLocal = icmp === undefined && errno !== ECONNREFUSED && errno !== ECONNRESET;
    const { message } = new KernelError({ op: `reach ${dstPort === 0 ? formatAddr(dst) : formatAddrPort(dst, dstPort)}`, errno });
    return {
      outcome: isOwn || isLocal ? "error" : "refused",
      errno: errnoName(errno),
      message,
      ...(icmp && { icmp }),
      ...(local && { local }),
      ...this.#rtt(),
    };
  }

  #answered(data?: Uint8Array): ProbeResult {
    const local = this.#local();
    return {
      outcome: "answered",
      ...(local && { local }),
      ...this.#rtt(),
      ...(data && { firstBytes: data.slice(0, FIRST_BYTES) }),
    };
  }

  /** A stream that has taken all that was sent is answered, though its server said nothing. */
  #timeUp(): ProbeResult {
    const local = this.#local();
    if (this.#connectedUs === undefined) return { outcome: "silence", ...(local && { local }) };
    const left = this.#socket.unacknowledged();
    if (left === 0) return this.#answered();
    const message = `the connection stands, but ${left} bytes that were sent in it are not acknowledged`;
    return { outcome: "silence", message, connected: true, ...(local && { local }), ...this.#rtt() };
  }

  #local(): ProbeResult["local"] {
    try {
      const { addr, port } = this.#socket.local();
      if (addr.bytes.every((byte) => byte === 0)) return undefined;
      return { addr, port: this.#request.protocol === "icmp" ? this.#id : port };
    } catch {
      return undefined;
    }
  }

  #elapsedUs(): number {
    return Math.round((performance.now() - this.#sentAt) * 1000);
  }

  #rtt(): { rttUs: number } {
    return { rttUs: this.#connectedUs ?? this.#elapsedUs() };
  }

  #finish(result: ProbeResult): void {
    this.#done.resolve(result);
  }

  /** The ICMP message alone; the kernel fills in the checksum of ICMPv6. */
  #echo(): Uint8Array {
    const { dst, payload } = this.#request;
    const packet = encodeEcho({ src: dst, dst, id: this.#id, sequence: 1, ...(payload && { payload }) });
    return packet.subarray(dst.family === 4 ? 20 : 40);
  }

  /** The data of the answer to our echo; raw sockets receive everybody's, and IPv4's with the IP header. */
  #echoAnswer(data: Uint8Array): Uint8Array | undefined {
    if (this.#request.dst.family === 4) {
      const packet = decodePacket(data);
      return packet?.icmp?.echo?.reply === true && packet.icmp.echo.id === this.#id ? packet.payload : undefined;
    }
    const id = ((data[4] ?? 0) << 8) | (data[5] ?? 0);
    return data[0] === ICMPV6_ECHO_REPLY && id === this.#id ? data.subarray(8) : undefined;
  }
}

const ICMPV6_ECHO_REPLY = 129;
const ECONNREFUSED = 111;
const ECONNRESET = 104;
