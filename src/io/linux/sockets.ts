// TCP, SCTP and UDP sockets in another network namespace, for Node's own servers and clients: a socket belongs to the namespace in which
// it was made, whoever uses it later.
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { type Addr, type AddrPort, formatAddr, formatAddrPort } from "#ip";
import { bind, listen, setsockoptInt, socket } from "./ffi.ts";
import type { NetNs } from "./types.ts";
import {
  AF_INET,
  AF_INET6,
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_SCTP,
  IPV6_RECVERR,
  IPV6_V6ONLY,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./uapi/socket.ts";

export interface StreamOptions {
  /**
   * "tcp" unless told. SCTP in the one-to-one style (RFC 6458 section 4) is a TCP socket to Node, with one difference: there is no half-open
   * state (RFC 9260 section 9.2), and the side that ends first is not told of the other's end (Linux, sctp_cmd_new_state). So say
   * `destroySoon()`, which closes when all is sent, instead of `end()`.
   */
  readonly protocol?: "tcp" | "sctp";
  /** Whether "port unreachable" ends the attempt: SCTP takes it for a passing trouble unless told (IP_RECVERR). */
  readonly hearsIcmp?: boolean;
}

interface SocketType {
  readonly type: number;
  readonly protocol: number;
}

/** 0 is the type's usual protocol: TCP, UDP. */
function streamType({ protocol }: StreamOptions): SocketType {
  return { type: SOCK_STREAM, protocol: protocol === "sctp" ? IPPROTO_SCTP : 0 };
}

function openSocket(ns: NetNs, addr: Addr, { type, protocol }: SocketType): number {
  return ns.run(() => socket(addr.family === 4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}

/** struct sockaddr_in or sockaddr_in6. */
function sockaddr({ addr, port }: AddrPort): Uint8Array {
  const bytes = Buffer.alloc(addr.family === 4 ? 16 : 28);
  bytes.writeUInt16LE(addr.family === 4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(addr.bytes, addr.family === 4 ? 4 : 8);
  return bytes;
}

/** Does to a new socket what it is made for; one that cannot have that done is closed. */
function preparedSocket(ns: NetNs, addr: Addr, type: SocketType, prepare: (fd: number) => void): number {
  const fd = openSocket(ns, addr, type);
  try {
    prepare(fd);
    return fd;
  } catch (err) {
    closeSync(fd);
    throw err;
  }
}

function bindTo(fd: number, ns: NetNs, at: AddrPort): void {
  // "::" is IPv6 only, so that 0.0.0.0 and :: can be served side by side.
  if (at.addr.family === 6) setsockoptInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  bind(fd, sockaddr(at), `bind ${formatAddrPort(at.addr, at.port)} in network namespace ${ns.path}`);
}

/** A listening TCP or SCTP socket, for `server.listen({ fd })`. Port 0 lets the kernel choose. */
export function listenFd(ns: NetNs, addr: Addr, port: number, options: StreamOptions = {}): number {
  return preparedSocket(ns, addr, streamType(options), (fd) => {
    setsockoptInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    bindTo(fd, ns, { addr, port });
    listen(fd, 511, `listen on ${formatAddrPort(addr, port)}`);
  });
}

/** A bound UDP socket, for `dgramSocket.bind({ fd })`, which emits "listening" before it returns. */
export function udpFd(ns: NetNs, addr: Addr, port: number): number {
  return preparedSocket(ns, addr, { type: SOCK_DGRAM, protocol: 0 }, (fd) => bindTo(fd, ns, { addr, port }));
}

/** A connection from inside `ns`, as `net.connect` gives it: it emits "connect" or "error" later. */
export function connectSocket(ns: NetNs, to: AddrPort, options: StreamOptions & { readonly allowHalfOpen?: boolean } = {}): Socket {
  const fd = preparedSocket(ns, to.addr, streamType(options), (opened) => {
    if (options.hearsIcmp !== true) return;
    const [level, name] = to.addr.family === 4 ? [IPPROTO_IP, IP_RECVERR] : [IPPROTO_IPV6, IPV6_RECVERR];
    setsockoptInt(opened, level, name, 1);
  });
  // Without manualStart (an option of Node's own) the socket would read before it is connected, and fail with ENOTCONN.
  const socketOptions = { fd, manualStart: true, allowHalfOpen: options.allowHalfOpen ?? false };
  return new Socket(socketOptions).connect({ host: formatAddr(to.addr), port: to.port });
}
