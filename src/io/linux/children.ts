// Processes that libuv does not know: orphans that were given to this process (it is pid 1 or a subreaper), and processes of others.
import { closeSync } from "node:fs";
import { type FdWatch, pidfdOpen, prctl, waitid, waitpid, watchFd } from "./ffi.ts";
import { isErrno } from "./kernel-error.ts";
import { CLD_EXITED, P_ALL, PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, WEXITED, WNOHANG, WNOWAIT } from "./uapi/wait.ts";

export interface Orphan {
  readonly pid: number;
  /** As a shell tells it: the exit code, or 128 + the signal's number. */
  readonly status: number;
  readonly signal: number | undefined;
}

/**
 * Collects children that have ended, except those of `knownPids`, which libuv waits for itself. The kernel shows one ended child at
 * a time: while that one is known, nothing is collected (`blocked`), until libuv has collected it.
 */
export function reapOrphans(knownPids: ReadonlySet<number>): { orphans: Orphan[]; blocked: boolean } {
  const orphans: Orphan[] = [];
  for (;;) {
    const ended = peekEnded();
    if (ended === undefined) return { orphans, blocked: false };
    if (knownPids.has(ended.pid)) return { orphans, blocked: true };
    waitpid(ended.pid, WNOHANG);
    orphans.push(ended);
  }
}

function peekEnded(): Orphan | undefined {
  // siginfo_t: si_signo, si_errno, si_code, and from byte 16 on si_pid, si_uid, si_status.
  const info = Buffer.alloc(128);
  try {
    waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT);
  } catch (err) {
    if (isErrno(err, "ECHILD")) return undefined;
    throw err;
  }
  const pid = info.readInt32LE(16);
  if (pid === 0) return undefined;
  const exited = info.readInt32LE(8) === CLD_EXITED;
  const value = info.readInt32LE(24);
  return { pid, status: exited ? value : 128 + value, signal: exited ? undefined : value };
}

/** Collects orphans as they end (SIGCHLD), until closed. `knownPids` is asked again each time. Does not keep the process alive. */
export function watchOrphans(knownPids: () => ReadonlySet<number>, onEnd: (orphan: Orphan) => void): { close(): void } {
  let open = true;
  const collect = (): void => {
    if (!open) return;
    const { orphans, blocked } = reapOrphans(knownPids());
    for (const orphan of orphans) onEnd(orphan);
    // libuv collects its own in this turn of the loop.
    if (blocked) setImmediate(collect);
  };
  process.on("SIGCHLD", collect);
  collect();
  return {
    close() {
      open = false;
      process.off("SIGCHLD", collect);
    },
  };
}

/**
 * Calls `onEnd` once when the process has ended, whoever's child it is (pidfd_open(2), Linux >= 5.3). Throws ESRCH when there is
 * none. Its exit status is its parent's to know.
 */
export function watchProcessEnd(pid: number, onEnd: () => void): { close(): void } {
  const fd = pidfdOpen(pid);
  let watch: FdWatch | undefined;
  const close = (): void => {
    if (watch === undefined) return;
    watch.close();
    watch = undefined;
    closeSync(fd);
  };
  watch = watchFd(fd, () => {
    close();
    onEnd();
  });
  return { close };
}

/** Descendants that lose their parent become children of this process. */
export function setSubreaper(): void {
  prctl(PR_SET_CHILD_SUBREAPER, 1, "become a subreaper");
}

/** This process gets `signal` when its parent's thread ends. Survives execve, not fork. */
export function setParentDeathSignal(signal: number): void {
  prctl(PR_SET_PDEATHSIG, signal, "set the parent death signal");
}
