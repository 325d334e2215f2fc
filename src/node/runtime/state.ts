// What the runtime remembers, as one JSON file per sandbox and container, so that the next agent finds everything that this one
// started. Files are replaced whole: a reader sees the old record or the new one.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { errorCode } from "#base";
import type { ContainerConfig, ContainerState, PodSandboxConfig } from "./types.ts";

/** A process by its pid and its start time, since pids come again (proc_pid_stat(5), field 22). */
export interface ProcessId {
  readonly pid: number;
  readonly startTicks: string;
}

export interface SandboxRecord {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly createdAtMs: number;
  readonly ready: boolean;
  readonly ips: readonly string[];
  /** Holds the namespaces of the pod. */
  readonly pause?: ProcessId;
}

export interface ContainerRecord {
  readonly id: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  readonly state: Exclude<ContainerState, "unknown">;
  readonly createdAtMs: number;
  readonly startedAtMs?: number;
  readonly finishedAtMs?: number;
  readonly exitCode?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly process?: ProcessId;
}

const RECORD = "state.json";

/** Records of one kind, each in a directory of its own below `dir`, together with what else belongs to it. */
export class RecordStore<T extends { readonly id: string }> {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true });
  }

  dirOf(id: string): string {
    return `${this.#dir}/${id}`;
  }

  create(record: T): void {
    mkdirSync(this.dirOf(record.id), { recursive: true });
    this.save(record);
  }

  /** Content when the directory has gone meanwhile: then there is nothing left to remember. */
  save(record: T): void {
    const file = `${this.dirOf(record.id)}/${RECORD}`;
    try {
      writeFileSync(`${file}.new`, JSON.stringify(record));
      renameSync(`${file}.new`, file);
    } catch (err) {
      if (errorCode(err) !== "ENOENT") throw err;
    }
  }

  remove(id: string): void {
    rmSync(this.dirOf(id), { recursive: true, force: true });
  }

  /** What is there; a directory without a readable record was left half-made and is removed. */
  load(): T[] {
    const records: T[] = [];
    for (const id of readdirSync(this.#dir)) {
      try {
        records.push(JSON.parse(readFileSync(`${this.dirOf(id)}/${RECORD}`, "utf8")) as T);
      } catch {
        this.remove(id);
      }
    }
    return records;
  }
}

/** Undefined when there is no such process, or it has ended and nobody has waited for it. */
export function processId(pid: number): ProcessId | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the command in parentheses and may contain anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, startTicks] = [fields[0], fields[19]];
    return startTicks === undefined || state === "Z" || state === "X" ? undefined : { pid, startTicks };
  } catch {
    return undefined;
  }
}

export function isAlive(process: ProcessId | undefined): process is ProcessId {
  return process !== undefined && processId(process.pid)?.startTicks === process.startTicks;
}

/** Sends a signal; false when the process has gone. A negative pid means the process group. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (err) {
    if (errorCode(err) === "ESRCH") return false;
    throw err;
  }
}

/** File times are taken from a clock that is updated at each tick, and so may be behind (`current_time` in Linux fs/inode.c). */
const CLOCK_TICK_MS = 20;

/**
 * Exit codes of processes that are not this process's children, left in a file each by the process that is pid 1 and waits for
 * orphans: `<dir>/<pid>` holds the exit code, or 128 + the signal's number.
 */
export class ExitCodes {
  readonly #dir: string | undefined;

  constructor(dir: string | undefined) {
    this.#dir = dir;
  }

  /** Takes the code out; undefined when there is none. A file from before `sinceMs` is of an earlier process with this pid. */
  take(pid: number, sinceMs: number): number | undefined {
    if (this.#dir === undefined) return undefined;
    const file = `${this.#dir}/${pid}`;
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat === undefined || stat.mtimeMs < sinceMs - CLOCK_TICK_MS) return undefined;
    const code = Number(readFileSync(file, "utf8").trim());
    rmSync(file, { force: true });
    return Number.isInteger(code) ? code : undefined;
  }
}
