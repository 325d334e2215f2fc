// Starting processes in other namespaces. A child inherits the namespaces of the thread that forks it, so the thread goes there for
// the moment of the fork and comes back; there is no program in between. Mount namespaces are not for threads: see mounts.ts.
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import { setns, unshare } from "./ffi.ts";
import { checkReturn, netns, startThreads } from "./netns.ts";
import type { NetNs } from "./types.ts";
import { CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWUTS } from "./uapi/sched.ts";

/** Kinds of namespaces: `pid` is where children live, not the caller. */
export type NamespaceKind = "net" | "ipc" | "uts" | "pid" | "cgroup";

export interface Namespaces {
  /** Be in this network namespace. */
  readonly netns?: NetNs;
  /** Be in new ones of these kinds. */
  readonly unshare?: readonly NamespaceKind[];
  /** Be in those of the process `pid`. */
  readonly join?: { readonly pid: number; readonly kinds: readonly NamespaceKind[] };
}

export interface SpawnInOptions extends SpawnOptions, Namespaces {}

const KINDS = {
  ipc: { flag: CLONE_NEWIPC, file: "ipc" },
  uts: { flag: CLONE_NEWUTS, file: "uts" },
  // What unshare and setns change is where children go; the process itself stays (pid_namespaces(7)).
  pid: { flag: CLONE_NEWPID, file: "pid_for_children" },
  cgroup: { flag: CLONE_NEWCGROUP, file: "cgroup" },
} as const;

type OtherKind = keyof typeof KINDS;

const isOther = (kind: NamespaceKind): kind is OtherKind => kind !== "net";

/**
 * `child_process.spawn` in other namespaces. With a new pid namespace the child is its pid 1: when it ends, everything inside ends.
 */
export function spawnIn(command: string, args: readonly string[], options: SpawnInOptions = {}): ChildProcess {
  const { netns: ns, unshare: kinds, join, ...spawnOptions } = options;
  const namespaces = { ...(ns && { netns: ns }), ...(kinds && { unshare: kinds }), ...(join && { join }) };
  return inNamespaces(namespaces, () => spawn(command, [...args], spawnOptions));
}

/**
 * Runs `fn` (synchronous) with the calling thread in other namespaces, and comes back. Inside, start at most one process when `pid`
 * is among them: later ones would be inside the first one's namespace.
 */
export function inNamespaces<R>(where: Namespaces, fn: () => R extends PromiseLike<unknown> ? never : R): R {
  const joined = new Set(where.join?.kinds ?? []);
  const fresh = new Set(where.unshare ?? []);
  const { ns, close } = netNsOf(where);
  try {
    const inOthers: () => R extends PromiseLike<unknown> ? never : R = () => {
      const others = [...joined, ...fresh].filter(isOther);
      return awayFrom(others, () => enterOthers(where.join?.pid, { joined: [...joined], fresh: [...fresh] }), fn);
    };
    return ns === undefined ? inOthers() : ns.run(inOthers);
  } finally {
    if (close) ns?.close();
  }
}

function netNsOf(where: Namespaces): { ns: NetNs | undefined; close: boolean } {
  if (where.netns !== undefined) return { ns: where.netns, close: false };
  if (where.unshare?.includes("net") === true) return { ns: netns.createAnonymous(), close: true };
  if (where.join?.kinds.includes("net") === true) return { ns: netns.ofPid(where.join.pid), close: true };
  return { ns: undefined, close: false };
}

/** What to join is opened before anything is changed: /proc shows the pid namespace that the thread is in. */
function enterOthers(pid: number | undefined, kinds: { joined: NamespaceKind[]; fresh: NamespaceKind[] }): void {
  const joined = kinds.joined.filter(isOther);
  const fds: number[] = [];
  try {
    for (const kind of joined) fds.push(openSync(`/proc/${pid}/ns/${kind === "pid" ? "pid" : KINDS[kind].file}`, "r"));
    for (const [i, kind] of joined.entries()) setns(fds[i] ?? -1, KINDS[kind].flag);
    const flags = kinds.fresh.filter(isOther).reduce((sum, kind) => sum | KINDS[kind].flag, 0);
    if (flags !== 0) unshare(flags);
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

/** Remembers the thread's namespaces of `kinds`, goes with `enter`, runs `fn`, and comes back, or ends the process. */
function awayFrom<R>(kinds: readonly OtherKind[], enter: () => void, fn: () => R): R {
  startThreads();
  const saved: { kind: OtherKind; fd: number }[] = [];
  try {
    for (const kind of kinds) saved.push({ kind, fd: openSync(`/proc/thread-self/ns/${KINDS[kind].file}`, "r") });
    for (const { kind, fd } of saved) checkReturn(fd, { flag: KINDS[kind].flag, kind });
    try {
      enter();
      return fn();
    } finally {
      for (const { kind, fd } of saved) comeBack(kind, fd);
    }
  } finally {
    for (const { fd } of saved) closeSync(fd);
  }
}

function comeBack(kind: OtherKind, fd: number): void {
  try {
    setns(fd, KINDS[kind].flag);
  } catch (err) {
    writeSync(2, `fairlead: cannot come back from a ${kind} namespace, ending the process: ${String(err)}\n`);
    process.abort();
  }
}
