// A container's log on disk: what is written is kept in files of a limited size, the last of which has the log's own name. Names and limits
// are those of the kubelet (`pkg/kubelet/logs/container_log_manager.go`; containerLogMaxSize, containerLogMaxFiles), without compression.
import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname } from "node:path";

export interface LogLimits {
  /** A file that has as much is put aside. */
  readonly maxBytes: number;
  /** With the present one. */
  readonly maxFiles: number;
}

const DEFAULT_LOG_LIMITS: LogLimits = { maxBytes: 10 << 20, maxFiles: 5 };

/** `<log>.20260131-235959.123` and such, the oldest first, with their paths; without the log itself. */
export function rotatedLogs(file: string): string[] {
  const prefix = `${basename(file)}.`;
  let names: string[];
  try {
    names = readdirSync(dirname(file));
  } catch {
    return [];
  }
  return names
    .filter((name) => name.startsWith(prefix))
    .sort()
    .map((name) => `${dirname(file)}/${name}`);
}

/** The log with all that was put aside of it. */
export function removeLog(file: string): void {
  for (const path of [...rotatedLogs(file), file]) rmSync(path, { force: true });
}

export class LogFile {
  readonly #file: string;
  readonly #limits: LogLimits;
  #fd: number;
  #bytes: number;
  #lastMs = 0;

  /** Goes on with a log that is there. */
  constructor(file: string, limits: LogLimits = DEFAULT_LOG_LIMITS) {
    this.#file = file;
    this.#limits = limits;
    mkdirSync(dirname(file), { recursive: true });
    this.#fd = this.#open();
    this.#bytes = fstatSync(this.#fd).size;
  }

  /** Whole lines: a file ends where a line ends. */
  write(lines: Buffer, nowMs: number): void {
    writeSync(this.#fd, lines);
    this.#bytes += lines.length;
    if (this.#bytes >= this.#limits.maxBytes) this.#rotate(nowMs);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #open(): number {
    return openSync(this.#file, "a", 0o640);
  }

  #rotate(nowMs: number): void {
    // Two of one millisecond would be one.
    this.#lastMs = Math.max(nowMs, this.#lastMs + 1);
    renameSync(this.#file, `${this.#file}.${stamp(this.#lastMs)}`);
    const fd = this.#open();
    closeSync(this.#fd);
    this.#fd = fd;
    this.#bytes = 0;
    for (const old of rotatedLogs(this.#file).slice(0, 1 - this.#limits.maxFiles)) rmSync(old, { force: true });
  }
}

function stamp(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:Z]/g, "").replace("T", "-");
}
