// Blocking TCP and UDP sockets over IPv4: an event loop in between would cost more than what is measured.
import koffi from "koffi";
import { type AddrPort, formatAddrPort } from "#ip";

const libc = koffi.load("libc.so.6");
const calls = {
  socket: libc.func("int socket(int, int, int)"),
  connect: libc.func("int connect(int, const uint8_t *, uint32_t)"),
  bind: libc.func("int bind(int, const uint8_t *, uint32_t)"),
  listen: libc.func("int listen(int, int)"),
  accept: libc.func("int accept(int, void *, void *)"),
  send: libc.func("intptr_t send(int, const uint8_t *, size_t, int)"),
  recv: libc.func("intptr_t recv(int, _Out_ uint8_t *, size_t, int)"),
  sendto: libc.func("intptr_t sendto(int, const uint8_t *, size_t, int, const uint8_t *, uint32_t)"),
  recvfrom: libc.func("intptr_t recvfrom(int, _Out_ uint8_t *, size_t, int, _Out_ uint8_t *, _Inout_ uint32_t *)"),
  setsockopt: libc.func("int setsockopt(int, int, int, const uint8_t *, uint32_t)"),
  shutdown: libc.func("int shutdown(int, int)"),
  close: libc.func("int close(int)"),
};

const AF_INET = 2;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVTIMEO = 20;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
const MSG_NOSIGNAL = 0x4000;
const SOCKADDR_BYTES = 16;
const SILENCE_SECONDS = 5;

function check(result: number, op: string): number {
  if (result < 0) throw new Error(`${op}: errno ${koffi.errno()}`);
  return result;
}

function sockaddr({ addr, port }: AddrPort): Uint8Array {
  const bytes = Buffer.alloc(SOCKADDR_BYTES);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(addr.bytes, 4);
  return bytes;
}

/** One that gives up after five seconds without data. */
export function openSocket(type: number): number {
  const fd = check(calls.socket(AF_INET, type, 0), "socket");
  const timeout = Buffer.alloc(16);
  timeout.writeBigInt64LE(BigInt(SILENCE_SECONDS), 0);
  check(calls.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, 16), "SO_RCVTIMEO");
  return fd;
}

export function connect(fd: number, to: AddrPort): void {
  check(calls.connect(fd, sockaddr(to), SOCKADDR_BYTES), `connect to ${formatAddrPort(to.addr, to.port)}`);
}

export function serve(type: number, at: AddrPort): number {
  const fd = check(calls.socket(AF_INET, type, 0), "socket");
  check(calls.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, Uint8Array.of(1, 0, 0, 0), 4), "SO_REUSEADDR");
  check(calls.bind(fd, sockaddr(at), SOCKADDR_BYTES), `bind ${formatAddrPort(at.addr, at.port)}`);
  if (type === SOCK_STREAM) check(calls.listen(fd, 511), "listen");
  return fd;
}

export function accept(fd: number): number {
  return check(calls.accept(fd, null, null), "accept");
}

export function send(fd: number, data: Uint8Array): void {
  check(calls.send(fd, data, data.byteLength, MSG_NOSIGNAL), "send");
}

/** How many bytes came; 0: the other side has closed. */
export function receive(fd: number, into: Uint8Array): number {
  return check(calls.recv(fd, into, into.byteLength, 0), "receive");
}

/** Sends one datagram back to where it came from. */
export function echo(fd: number, buffer: Uint8Array, from: Uint8Array): void {
  const length = check(calls.recvfrom(fd, buffer, buffer.byteLength, 0, from, [SOCKADDR_BYTES]), "receive");
  check(calls.sendto(fd, buffer, length, MSG_NOSIGNAL, from, SOCKADDR_BYTES), "send");
}

/** Says that no more comes. */
export function endSending(fd: number): void {
  check(calls.shutdown(fd, 1), "shutdown");
}

export function close(fd: number): void {
  calls.close(fd);
}
