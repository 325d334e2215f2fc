// A socket for one question to one address, which hears what the network says against it: errors with who sent them (IP_RECVERR, ip(7)).
import { closeSync } from "node:fs";
import { type Addr, type AddrPort, addrFromBytes, formatAddrPort } from "#ip";
import {
  bind,
  connect,
  type FdWatch,
  getsockname,
  getsockoptInt,
  ioctl,
  recvfrom,
  recvmsg,
  sendto,
  setsockoptInt,
  socket,
  watchSocket,
} from "./ffi.ts";
import type { NetNs } from "./types.ts";
import {
  AF_INET,
  AF_INET6,
  IP_RECVERR,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_SCTP,
  IPV6_RECVERR,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  SIOCOUTQ,
  SO_ERROR,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./uapi/socket.ts";

/** What came against it. */
export interface SocketError {
  readonly errno: number;
  /** An ICMP error was the reason: its type, code, sender, and for "too big" the MTU. */
  readonly icmp?: { readonly type: number; readonly code: number; readonly from: Addr; readonly mtu?: number };
}

/** "icmp" is a raw socket: it sends and receives ICMP messages, and over IPv4 receives them with the IP header. Needs CAP_NET_RAW. */
export type ProbeProtocol = "tcp" | "udp" | "sctp" | "icmp";

const RECEIVE_BYTES = 2048;

export class ProbeSocket {
  readonly #fd: number;
  readonly #family: Addr["family"];
  readonly #protocol: ProbeProtocol;
  #watch: FdWatch | undefined;

  constructor(ns: NetNs, protocol: ProbeProtocol, family: Addr["family"]) {
    this.#family = family;
    this.#protocol = protocol;
    const [type, number] = socketType(protocol, family);
    this.#fd = ns.run(() => socket(family === 4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, number));
    if (family === 4) setsockoptInt(this.#fd, IPPROTO_IP, IP_RECVERR, 1);
    else setsockoptInt(this.#fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
  }

  /** Port 0, and the address of zeros: as the kernel chooses. */
  bind(at: AddrPort): void {
    setsockoptInt(this.#fd, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(this.#fd, this.#sockaddr(at), `use ${formatAddrPort(at.addr, at.port)} as source`);
  }

  /** True when the connection stands at once. Throws KernelError where the own kernel knows better (ENETUNREACH). */
  connect(to: AddrPort): boolean {
    return connect(this.#fd, this.#sockaddr(to), `connect to ${formatAddrPort(to.addr, to.port)}`);
  }

  send(data: Uint8Array): void {
    sendto(this.#fd, data, data.length);
  }

  /** A datagram, or a part of a stream; empty at its end too. Undefined: there is none now. Throws what `error` would tell. */
  receive(): Uint8Array | undefined {
    const data = new Uint8Array(RECEIVE_BYTES);
    const length = recvfrom(this.#fd, data, MSG_DONTWAIT);
    return length === undefined ? undefined : data.subarray(0, length);
  }

  /** Takes the next error off the socket. */
  error(): SocketError | undefined {
    const data = new Uint8Array(RECEIVE_BYTES);
    const addr = new Uint8Array(28);
    const control = Buffer.alloc(256);
    const received = recvmsg(this.#fd, { data, addr, control }, MSG_ERRQUEUE | MSG_DONTWAIT);
    const queued = received && readControl(control.subarray(0, received.control));
    // Read in any case: it would come again with the next call.
    const errno = getsockoptInt(this.#fd, SOL_SOCKET, SO_ERROR);
    return queued ?? (errno === 0 ? undefined : { errno });
  }

  local(): AddrPort {
    const bytes = Buffer.alloc(28);
    getsockname(this.#fd, bytes);
    return { addr: addrOf(bytes), port: bytes.readUInt16BE(2) };
  }

  /** Bytes of a stream that the other side has not acknowledged. */
  unacknowledged(): number {
    const bytes = Buffer.alloc(4);
    ioctl(this.#fd, SIOCOUTQ, bytes, "ask what is not acknowledged");
    return bytes.readInt32LE();
  }

  /** Calls `onEvent` when something came, an error too, and with `writable` when it may send; instead of an earlier watch. */
  watch(onEvent: () => void, options: { readonly writable?: boolean } = {}): void {
    this.#watch?.close();
    this.#watch = watchSocket(this.#fd, onEvent, options);
  }

  close(): void {
    this.#watch?.close();
    closeSync(this.#fd);
  }

  /** struct sockaddr_in or sockaddr_in6. Raw IPv6 sockets refuse a port. */
  #sockaddr({ addr, port }: AddrPort): Uint8Array {
    const four = this.#family === 4;
    const bytes = Buffer.alloc(four ? 16 : 28);
    bytes.writeUInt16LE(four ? AF_INET : AF_INET6, 0);
    bytes.writeUInt16BE(this.#protocol === "icmp" ? 0 : port, 2);
    bytes.set(addr.bytes, four ? 4 : 8);
    return bytes;
  }
}

function socketType(protocol: ProbeProtocol, family: Addr["family"]): readonly [type: number, protocol: number] {
  if (protocol === "tcp") return [SOCK_STREAM, 0];
  if (protocol === "sctp") return [SOCK_STREAM, IPPROTO_SCTP];
  if (protocol === "udp") return [SOCK_DGRAM, 0];
  return [SOCK_RAW, family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6];
}

/** Of a sockaddr. */
function addrOf(bytes: Buffer): Addr {
  const four = bytes.readUInt16LE(0) === AF_INET;
  return addrFromBytes(Uint8Array.from(four ? bytes.subarray(4, 8) : bytes.subarray(8, 24)));
}

/** linux/errqueue.h: SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6. */
const ICMP_ORIGINS: readonly number[] = [2, 3];
const CMSG_HEADER = 16;

/** The struct sock_extended_err among control messages (cmsg(3)), and after it the address of who sent it. */
function readControl(control: Buffer): SocketError | undefined {
  for (let at = 0; at + CMSG_HEADER <= control.length; ) {
    const length = Number(control.readBigUInt64LE(at));
    const level = control.readInt32LE(at + 8);
    const type = control.readInt32LE(at + 12);
    const isError = (level === IPPROTO_IP && type === IP_RECVERR) || (level === IPPROTO_IPV6 && type === IPV6_RECVERR);
    if (isError) return readExtendedError(control.subarray(at + CMSG_HEADER, at + length));
    at += Math.max(CMSG_HEADER, (length + 7) & ~7);
  }
  return undefined;
}

function readExtendedError(bytes: Buffer): SocketError {
  const errno = bytes.readUInt32LE(0);
  const info = bytes.readUInt32LE(8);
  const offender = bytes.subarray(16);
  if (!ICMP_ORIGINS.includes(bytes.readUInt8(4)) || offender.readUInt16LE(0) === 0) return { errno };
  const icmp = { type: bytes.readUInt8(5), code: bytes.readUInt8(6), from: addrOf(offender) };
  return { errno, icmp: info === 0 ? icmp : { ...icmp, mtu: info } };
}
