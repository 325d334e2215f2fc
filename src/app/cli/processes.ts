// The processes of a cluster as the host sees them.
import { readdirSync, readFileSync } from "node:fs";

interface Process {
  readonly pid: number;
  readonly parent: number;
  /** The pid in each nested pid namespace, ours first (Linux ≥ 4.1, proc(5) NSpid). */
  readonly nsPids: readonly number[];
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return otherwise;
  }
}

/** True when `pid` is a live process that was started with `--home HOME`: pids are used again. */
export function isAlive(pid: number, home: string): boolean {
  const args = readOr(`/proc/${pid}/cmdline`, "").split("\0");
  return args.some((arg, i) => arg === home && args[i - 1] === "--home") && !/^State:\s+Z/m.test(readOr(`/proc/${pid}/status`, ""));
}

/** The supervisor, unshare and the sandbox's first process of the cluster in `home`, as far as they live; all others are below the last. */
export function processesOf(home: string): number[] {
  return pids().filter((pid) => isAlive(pid, home));
}

function pids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function listProcesses(): Process[] {
  return pids().flatMap((pid) => {
    const status = readOr(`/proc/${pid}/status`, "");
    const parent = /^PPid:\s+(\d+)/m.exec(status)?.[1];
    const nsPids = /^NSpid:\s+(.+)/m.exec(status)?.[1];
    if (parent === undefined) return [];
    return [{ pid, parent: Number(parent), nsPids: (nsPids ?? String(pid)).split(/\s+/).map(Number) }];
  });
}

/** From pids inside the sandbox to pids of the host, for everything below the process `root` of the host. */
export function sandboxPids(root: number): ReadonlyMap<number, number> {
  const processes = listProcesses();
  const found = new Map<number, number>();
  const below = new Set([root]);
  // Children can have smaller pids than their parents once pids wrap around: repeat until nothing is added.
  for (let before = -1; before !== below.size; ) {
    before = below.size;
    for (const process of processes) if (below.has(process.parent)) below.add(process.pid);
  }
  for (const process of processes) {
    const inside = process.nsPids[1];
    if (below.has(process.pid) && inside !== undefined) found.set(inside, process.pid);
  }
  return found;
}

/** Proportional set size (proc_pid_smaps_rollup(5)); 0 for a process that is gone or somebody else's. */
export function pssBytes(pid: number): number {
  const kib = /^Pss:\s+(\d+) kB/m.exec(readOr(`/proc/${pid}/smaps_rollup`, ""))?.[1];
  return kib === undefined ? 0 : Number(kib) * 1024;
}
