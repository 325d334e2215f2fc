// Network namespaces. setns(2) moves only the calling thread, so this process can stand in one namespace while it works in another;
// libuv's threads stay where they were started. Hence everything here is synchronous, files included.
import { closeSync, fstatSync, openSync, readFileSync, stat, unlinkSync, writeFileSync, writeSync } from "node:fs";
import { InputError } from "#base";
import { mount, setns, umount, unshare } from "./ffi.ts";
import { errnoNumber, isErrno, KernelError } from "./kernel-error.ts";
import type { NetNs } from "./types.ts";
import { MNT_DETACH, MS_BIND } from "./uapi/mount.ts";
import { CLONE_NEWNET } from "./uapi/sched.ts";

/** Not /proc/self, which is the main thread, nor /proc/<tid>, which a hidepid mount may not show. */
const THREAD_NS = "/proc/thread-self/ns/net";

interface Place {
  readonly fd: number;
  readonly inode: number;
}

// Per JavaScript thread: a module is instantiated once in each.
let home: Place | undefined;
const entered: Place[] = [];

/** Where the thread is. The first call opens the namespace that the process was started in and keeps it. */
function here(): Place {
  const top = entered.at(-1) ?? home;
  if (top !== undefined) return top;
  startThreads();
  const fd = openSync(THREAD_NS, "r");
  try {
    checkReturn(fd, { flag: CLONE_NEWNET, kind: "network" });
  } catch (err) {
    closeSync(fd);
    throw err;
  }
  home = { fd, inode: inodeOf(fd) };
  return home;
}

/**
 * Enters the namespace where the thread is already, which asks for the same rights as coming back to it later. It lacks them where a
 * user namespace was made without namespaces of the other kinds.
 */
export function checkReturn(fd: number, { flag, kind }: { flag: number; kind: string }): void {
  try {
    setns(fd, flag);
  } catch (err) {
    if (!isErrno(err, "EPERM")) throw err;
    const detail = `this process could not come back to it; start it as root in a ${kind} namespace of its own (unshare(1))`;
    throw new KernelError({ op: `leave the ${kind} namespace`, errno: errnoNumber("EPERM"), detail });
  }
}

let threadsStarted = false;

/** libuv starts its threads at their first use; were that in another namespace, name lookups would go through it for ever. */
export function startThreads(): void {
  if (threadsStarted) return;
  threadsStarted = true;
  stat("/", () => {});
}

function inodeOf(fd: number): number {
  return fstatSync(fd).ino;
}

function goBack(place: Place): void {
  try {
    setns(place.fd, CLONE_NEWNET);
  } catch (err) {
    // Going on would send this process's traffic and configuration into the wrong network.
    writeSync(2, `fairlead: cannot come back from a network namespace, ending the process: ${String(err)}\n`);
    process.abort();
  }
}

class OpenNetNs implements NetNs, Disposable {
  readonly path: string;
  readonly fd: number;
  readonly inode: number;
  #open = true;

  constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
    this.inode = inodeOf(fd);
  }

  run<R>(fn: () => R extends PromiseLike<unknown> ? never : R): R;
  run(fn: () => unknown): unknown {
    if (!this.#open)
      throw new KernelError({ op: `enter network namespace ${this.path}`, errno: errnoNumber("EBADF"), detail: "it was closed" });
    const from = here();
    const moved = from.inode !== this.inode;
    if (moved) setns(this.fd, CLONE_NEWNET);
    entered.push(this);
    let result: unknown;
    try {
      result = fn();
    } finally {
      entered.pop();
      if (moved) goBack(from);
    }
    if (result instanceof Promise) throw new TypeError("NetNs.run: the function returned a promise; what it awaits would run outside");
    return result;
  }

  sysctl(name: string): string {
    const path = sysctlPath(name);
    return this.#sysctl(`read sysctl ${name}`, () => readFileSync(path, "utf8").trim());
  }

  setSysctl(name: string, value: string | number): void {
    const path = sysctlPath(name);
    this.#sysctl(`set sysctl ${name} to ${value}`, () => writeFileSync(path, `${value}\n`));
  }

  close(): void {
    if (!this.#open) return;
    if (entered.includes(this)) {
      throw new KernelError({ op: `close network namespace ${this.path}`, errno: errnoNumber("EBUSY"), detail: "the thread is inside it" });
    }
    this.#open = false;
    closeSync(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #sysctl<R>(op: string, fn: () => R extends PromiseLike<unknown> ? never : R): R {
    try {
      return this.run(fn);
    } catch (err) {
      throw asKernelError(err, `${op} in network namespace ${this.path}`);
    }
  }
}

function sysctlPath(name: string): string {
  // As sysctl(8): where the first separator is a dot, dots separate and a slash stands for a dot in a link's name.
  const swap = /^[^./]*\./.test(name);
  const path = swap ? name.replace(/[./]/g, (sep) => (sep === "." ? "/" : ".")) : name;
  if (!/^net(\/[^/]+)+$/.test(path) || path.split("/").includes("..")) {
    throw new InputError("sysctl", `"${name}" is not the name of a network sysctl such as net.ipv4.ip_forward`);
  }
  return `/proc/sys/${path}`;
}

function asKernelError(err: unknown, op: string): unknown {
  if (err instanceof KernelError || !(err instanceof Error) || !("errno" in err) || typeof err.errno !== "number") return err;
  return new KernelError({ op, errno: Math.abs(err.errno) });
}

export const netns = {
  /** Makes a new namespace and binds it to `path`, a file that must not exist; it lives until `delete`. Its loopback is down. */
  create(path: string): NetNs & Disposable {
    const op = `create network namespace ${path}`;
    try {
      writeFileSync(path, "", { flag: "wx", mode: 0o444 });
    } catch (err) {
      throw asKernelError(err, op);
    }
    try {
      return inNewNamespace(() => {
        mount({ source: THREAD_NS, target: path, flags: MS_BIND });
        return new OpenNetNs(path, openSync(path, "r"));
      });
    } catch (err) {
      netns.delete(path);
      throw err instanceof KernelError ? new KernelError({ op, errno: err.errno, detail: err.message }) : err;
    }
  },

  /** Makes a new namespace that lives as long as a handle, a process or a socket in it does. */
  createAnonymous(): NetNs & Disposable {
    return inNewNamespace(() => {
      const fd = openSync(THREAD_NS, "r");
      return new OpenNetNs(`/proc/${process.pid}/fd/${fd}`, fd);
    });
  },

  /** Opens a namespace that is bound to `path` (or any nsfs file such as /proc/7/ns/net). */
  open(path: string): NetNs & Disposable {
    try {
      return new OpenNetNs(path, openSync(path, "r"));
    } catch (err) {
      throw asKernelError(err, `open network namespace ${path}`);
    }
  },

  ofPid(pid: number): NetNs & Disposable {
    return netns.open(`/proc/${pid}/ns/net`);
  },

  /** The namespace that the calling thread is in. */
  current(): NetNs & Disposable {
    return netns.open(THREAD_NS);
  },

  /** Removes the binding; the namespace goes with its last process and handle. Content when there is nothing at `path`. */
  delete(path: string): void {
    try {
      umount(path, MNT_DETACH);
    } catch (err) {
      // EINVAL: the file is there and nothing is bound to it.
      if (!isErrno(err, "EINVAL", "ENOENT")) throw err;
    }
    try {
      unlinkSync(path);
    } catch (err) {
      if (!isErrno(err, "ENOENT")) throw asKernelError(err, `delete network namespace ${path}`);
    }
  },
};

function inNewNamespace<R>(fn: () => R): R {
  const from = here();
  unshare(CLONE_NEWNET);
  try {
    return fn();
  } finally {
    goBack(from);
  }
}
