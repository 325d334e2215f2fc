// Every C function that this program calls, declared once. A plain typed function per call that throws KernelError; no policy here.
// Nothing else imports koffi. All calls are synchronous and act on the calling thread (setns, unshare, prctl are per thread).
import { close } from "node:fs";
import koffi from "koffi";
import { KernelError } from "./kernel-error.ts";
import { SO_ATTACH_FILTER, SOL_SOCKET } from "./uapi/socket.ts";

const libc: ReturnType<typeof koffi.load> = koffi.load(null);

type Facts = Readonly<Record<string, unknown>>;

/** A C function that returns an int or a long. */
type C<A extends readonly unknown[]> = (...args: A) => number;

const c: {
  readonly socket: C<[domain: number, type: number, protocol: number]>;
  readonly bind: C<[fd: number, addr: Uint8Array, length: number]>;
  readonly listen: C<[fd: number, backlog: number]>;
  readonly setsockopt: C<[fd: number, level: number, name: number, value: Uint8Array, length: number]>;
  readonly getsockopt: C<[fd: number, level: number, name: number, value: Uint8Array, length: Uint32Array]>;
  readonly sendto: C<[fd: number, data: Uint8Array, length: number, flags: number, addr: Uint8Array | null, addrLength: number]>;
  readonly recvfrom: C<
    [fd: number, data: Uint8Array, length: number, flags: number, addr: Uint8Array | null, addrLength: Uint32Array | null]
  >;
  readonly connect: C<[fd: number, addr: Uint8Array, length: number]>;
  readonly getsockname: C<[fd: number, addr: Uint8Array, length: Uint32Array]>;
  readonly recvmsg: C<[fd: number, msghdr: Uint8Array, flags: number]>;
  readonly poll: C<[fds: Uint8Array, count: number, timeoutMs: number]>;
  readonly ioctl: C<[fd: number, request: number, argument: Uint8Array]>;
  readonly ioctlInt: C<[fd: number, request: number, argument: number]>;
  readonly setns: C<[fd: number, type: number]>;
  readonly unshare: C<[flags: number]>;
  readonly mount: C<[source: string | null, target: string, type: string | null, flags: number, data: string | null]>;
  readonly umount2: C<[target: string, flags: number]>;
  readonly sethostname: C<[name: Uint8Array, length: number]>;
  readonly prctl: C<[option: number, a: number, b: number, c: number, d: number]>;
  readonly waitid: C<[type: number, id: number, info: Uint8Array, options: number]>;
  readonly waitpid: C<[pid: number, status: Int32Array, options: number]>;
  readonly capset: C<[header: Uint8Array, data: Uint8Array]>;
  readonly pivotRoot: C<[number: number, newRoot: string, putOld: string]>;
  readonly mkfifo: C<[path: string, mode: number]>;
  readonly signal: (number: number, handler: null) => unknown;
  readonly pidfdOpen: C<[number: number, pid: number, flags: number]>;
  readonly clockGetres: C<[clock: number, resolution: BigInt64Array]>;
  readonly mountSetattr: C<[number: number, fd: number, path: string, flags: number, attr: Uint8Array, size: number]>;
} = {
  socket: libc.func("int socket(int, int, int)"),
  bind: libc.func("int bind(int, void *, uint32_t)"),
  listen: libc.func("int listen(int, int)"),
  setsockopt: libc.func("int setsockopt(int, int, int, void *, uint32_t)"),
  getsockopt: libc.func("int getsockopt(int, int, int, void *, void *)"),
  sendto: libc.func("long sendto(int, void *, size_t, int, void *, uint32_t)"),
  recvfrom: libc.func("long recvfrom(int, void *, size_t, int, void *, void *)"),
  connect: libc.func("int connect(int, void *, uint32_t)"),
  getsockname: libc.func("int getsockname(int, void *, void *)"),
  recvmsg: libc.func("long recvmsg(int, void *, int)"),
  poll: libc.func("int poll(void *, unsigned long, int)"),
  ioctl: libc.func("int ioctl(int, unsigned long, void *)"),
  ioctlInt: libc.func("ioctl", "int", ["int", "unsigned long", "long"]),
  setns: libc.func("int setns(int, int)"),
  unshare: libc.func("int unshare(int)"),
  mount: libc.func("int mount(const char *, const char *, const char *, unsigned long, const char *)"),
  umount2: libc.func("int umount2(const char *, int)"),
  sethostname: libc.func("int sethostname(void *, size_t)"),
  prctl: libc.func("int prctl(int, long, long, long, long)"),
  waitid: libc.func("int waitid(int, uint32_t, void *, int)"),
  waitpid: libc.func("int waitpid(int, void *, int)"),
  capset: libc.func("int capset(void *, void *)"),
  // No wrapper in older C libraries: by number.
  pivotRoot: libc.func("syscall", "long", ["long", "const char *", "const char *"]),
  mkfifo: libc.func("int mkfifo(const char *, uint32_t)"),
  signal: libc.func("void *signal(int, void *)"),
  pidfdOpen: libc.func("syscall", "long", ["long", "int", "uint32_t"]),
  clockGetres: libc.func("int clock_getres(int, void *)"),
  mountSetattr: libc.func("syscall", "long", ["long", "int", "const char *", "uint32_t", "void *", "size_t"]),
};

/** Passes a result on, or throws what errno says. */
function check(result: number, op: string, facts?: Facts): number {
  if (result < 0) throw new KernelError({ op, errno: koffi.errno(), ...(facts && { facts }) });
  return result;
}

export function socket(domain: number, type: number, protocol: number): number {
  return check(c.socket(domain, type, protocol), `open a socket (domain ${domain}, protocol ${protocol})`, { domain, type, protocol });
}

export function bind(fd: number, addr: Uint8Array, op = "bind a socket"): void {
  check(c.bind(fd, addr, addr.length), op);
}

export function listen(fd: number, backlog: number, op = "listen on a socket"): void {
  check(c.listen(fd, backlog), op);
}

export function setsockoptInt(fd: number, level: number, name: number, value: number): void {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  check(c.setsockopt(fd, level, name, bytes, 4), `set socket option ${level}/${name} to ${value}`, { level, name, value });
}

export function getsockoptInt(fd: number, level: number, name: number): number {
  const value = new Int32Array(1);
  check(c.getsockopt(fd, level, name, new Uint8Array(value.buffer), Uint32Array.of(4)), `read socket option ${level}/${name}`);
  return value[0] ?? 0;
}

/** Sends `length` bytes of `data`, to `addr` where the socket is not connected. */
export function sendto(fd: number, data: Uint8Array, length: number, addr: Uint8Array | null = null): number {
  return check(c.sendto(fd, data, length, 0, addr, addr?.length ?? 0), `send ${length} bytes`, { fd, length });
}

/**
 * The length of the message received (which with MSG_TRUNC may be more than fits), or undefined when there is none now. The
 * sender's address is written to `addr`.
 */
export function recvfrom(fd: number, data: Uint8Array, flags: number, addr: Uint8Array | null = null): number | undefined {
  const length = c.recvfrom(fd, data, data.length, flags, addr, addr === null ? null : Uint32Array.of(addr.length));
  if (length >= 0) return length;
  if (koffi.errno() === koffi.os.errno["EAGAIN"]) return undefined;
  return check(length, "receive", { fd });
}

/** True when the connection stands, false when it is under way (a socket that does not wait). */
export function connect(fd: number, addr: Uint8Array, op = "connect a socket"): boolean {
  const result = c.connect(fd, addr, addr.length);
  if (result < 0 && koffi.errno() === koffi.os.errno["EINPROGRESS"]) return false;
  check(result, op);
  return true;
}

/** Writes a socket's own address to `addr`. */
export function getsockname(fd: number, addr: Uint8Array): void {
  check(c.getsockname(fd, addr, Uint32Array.of(addr.length)), "ask for a socket's address");
}

/** What recvmsg(2) writes to. */
export interface MessageBuffers {
  readonly data: Uint8Array;
  readonly addr: Uint8Array;
  readonly control: Uint8Array;
}

/** The lengths of what was received, or undefined when there is nothing now. */
export function recvmsg(fd: number, buffers: MessageBuffers, flags: number): { data: number; control: number } | undefined {
  const { data, addr, control } = buffers;
  const iovec = BigUint64Array.of(koffi.address(data), BigInt(data.length));
  // struct msghdr on a machine of 64 bits: name, namelen, iov, iovlen, control, controllen, flags.
  const msghdr = BigUint64Array.of(
    koffi.address(addr),
    BigInt(addr.length),
    koffi.address(iovec),
    1n,
    koffi.address(control),
    BigInt(control.length),
    0n,
  );
  const length = c.recvmsg(fd, new Uint8Array(msghdr.buffer), flags);
  if (length < 0 && koffi.errno() === koffi.os.errno["EAGAIN"]) return undefined;
  return { data: check(length, "receive a message", { fd }), control: Number(msghdr[5]) };
}

/** SO_ATTACH_FILTER: only packets for which the classic BPF program (struct sock_filter, 8 bytes each) returns more than 0 come in. */
export function attachFilter(fd: number, program: Uint8Array): void {
  // struct sock_fprog: the number of instructions, and where they are.
  const fprog = BigUint64Array.of(BigInt(program.length / 8), koffi.address(program));
  check(c.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(fprog.buffer), 16), "attach a packet filter", { fd });
}

/** Blocks the thread until `fd` is readable; false after `timeoutMs`. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, 1 /* POLLIN */, true);
  return check(c.poll(new Uint8Array(pollfd.buffer), 1, timeoutMs), "poll a descriptor", { fd }) > 0;
}

export function ioctl(fd: number, request: number, argument: Uint8Array | number, op = "control a device"): number {
  const result = typeof argument === "number" ? c.ioctlInt(fd, request, argument) : c.ioctl(fd, request, argument);
  return check(result, op, { fd, request });
}

/**
 * Closes in a thread of libuv's: the end of a packet socket, or of a netlink socket that owns tables, waits until no processor works with
 * it any more (synchronize_net), about 10 ms.
 */
export function closeLater(fd: number): Promise<void> {
  return new Promise((resolve) => close(fd, () => resolve()));
}

/** Moves the calling thread into the namespace. `type` is a CLONE_NEW* flag, or 0 for any. */
export function setns(fd: number, type: number): void {
  check(c.setns(fd, type), "enter a namespace", { fd, type });
}

export function unshare(flags: number): void {
  check(c.unshare(flags), `make new namespaces (flags 0x${flags.toString(16)})`, { flags });
}

export interface MountRequest {
  readonly source?: string;
  readonly target: string;
  readonly type?: string;
  readonly flags?: number;
  readonly data?: string;
}

export function mount(request: MountRequest): void {
  const { source = null, target, type = null, flags = 0, data = null } = request;
  check(c.mount(source, target, type, flags, data), `mount ${source ?? type ?? "nothing"} on ${target}`, { ...request });
}

export function umount(target: string, flags = 0): void {
  check(c.umount2(target, flags), `unmount ${target}`, { target, flags });
}

/** x86-64 has numbers of its own; arm64 and all later architectures share asm-generic/unistd.h. */
const SYS_PIVOT_ROOT: number = process.arch === "x64" ? 155 : 41;
const SYS_MOUNT_SETATTR = 442;

export function pivotRoot(newRoot: string, putOld: string): void {
  check(c.pivotRoot(SYS_PIVOT_ROOT, newRoot, putOld), `make ${newRoot} the root`, { newRoot, putOld });
}

export interface MountAttr {
  readonly set?: number;
  readonly clear?: number;
  readonly propagation?: number;
}

/** mount_setattr(2), Linux >= 5.12. `flags` are AT_*. */
export function mountSetattr(path: string, flags: number, attr: MountAttr): void {
  const bytes = new BigUint64Array([BigInt(attr.set ?? 0), BigInt(attr.clear ?? 0), BigInt(attr.propagation ?? 0), 0n]);
  const AT_FDCWD = -100;
  check(
    c.mountSetattr(SYS_MOUNT_SETATTR, AT_FDCWD, path, flags, new Uint8Array(bytes.buffer), bytes.byteLength),
    `set attributes of the mount ${path}`,
    { path, ...attr },
  );
}

export function sethostname(name: string): void {
  const bytes = Buffer.from(name);
  check(c.sethostname(bytes, bytes.length), `set the host name to "${name}"`, { name });
}

export function prctl(option: number, argument = 0, op = `prctl ${option}`): number {
  return check(c.prctl(option, argument, 0, 0, 0), op, { option, argument });
}

/** waitid(2) into `info` (a siginfo_t of 128 bytes). */
export function waitid(type: number, id: number, info: Uint8Array, options: number): void {
  check(c.waitid(type, id, info, options), "wait for a child process", { type, id });
}

/** waitpid(2): the pid that changed (0 with WNOHANG: none) and its wait status. */
export function waitpid(pid: number, options: number): { pid: number; status: number } {
  const status = new Int32Array(1);
  return { pid: check(c.waitpid(pid, status, options), `wait for process ${pid}`, { pid }), status: status[0] ?? 0 };
}

const SYS_PIDFD_OPEN = 434;

/** A descriptor that becomes readable when the process ends. Closed on execve. */
export function pidfdOpen(pid: number): number {
  return check(c.pidfdOpen(SYS_PIDFD_OPEN, pid, 0), `open process ${pid}`, { pid });
}

export function mkfifo(path: string, mode: number): void {
  check(c.mkfifo(path, mode), `make the pipe ${path}`, { path, mode });
}

/** Gives a signal its default action (SIG_DFL) back. An ignored signal stays ignored across execve. */
export function restoreSignal(number: number): void {
  c.signal(number, null);
}

export function capset(header: Uint8Array, data: Uint8Array): void {
  check(c.capset(header, data), "set the capabilities");
}

/** Keep it in reach: a watch that is garbage collected stops. */
export interface FdWatch {
  close(): void;
  unref(): void;
  ref(): void;
}

/**
 * Calls `onReadable` from the event loop whenever `fd` has something to read. koffi's poll handle is a uv_poll_t: no thread, no
 * timer. Its callback runs outside of Node's callback scope, where promise jobs would not run; hence the step through setImmediate.
 */
export function watchFd(fd: number, onReadable: () => void): FdWatch {
  let open = true;
  const handle = koffi.node.poll(fd, { readable: true }, () => {
    setImmediate(() => {
      if (open) onReadable();
    });
  });
  return {
    close() {
      if (!open) return;
      open = false;
      handle.close();
    },
    ref: () => handle.ref(),
    unref: () => handle.unref(),
  };
}

/**
 * Calls `onEvent` when `fd` may be written, has something to read, or has an error. An error ends a uv_poll_t's work (uv__poll_io), so
 * it is started again: `onEvent` must take the error off the socket, or close the watch.
 */
export function watchSocket(fd: number, onEvent: () => void, options: { readonly writable?: boolean } = {}): FdWatch {
  const events = { readable: true, writable: options.writable ?? false };
  const watch = koffi.node.poll(fd, events, onPoll);
  let open = true;
  function onPoll(): void {
    watch.stop();
    setImmediate(() => {
      if (open) onEvent();
      if (open) watch.start(events, onPoll);
    });
  }
  return {
    close() {
      if (!open) return;
      open = false;
      watch.close();
    },
    ref: () => watch.ref(),
    unref: () => watch.unref(),
  };
}

/** CLOCK_MONOTONIC_COARSE: it goes in the kernel's ticks (time(7), "jiffies"). */
const COARSE = 6;

/** CONFIG_HZ: how many jiffies a second has. */
export function ticksPerSecond(): number {
  const resolution = new BigInt64Array(2);
  check(c.clockGetres(COARSE, resolution), "ask for the length of a tick");
  return Math.round(1e9 / Number(resolution[1]));
}
