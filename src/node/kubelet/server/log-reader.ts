// Reads a container's log file as `kubectl logs` wants it: the last lines, since when, and what comes later.
import { closeSync, type FSWatcher, fstatSync, openSync, readSync, statSync, watch } from "node:fs";
import { parseLogLine, rotatedLogs } from "#runtime";

export interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  /** -1: all. */
  readonly tailLines: number;
  /** Lines from then on only. */
  readonly sinceMs: number | undefined;
  /** -1: no limit. */
  readonly limitBytes: number;
}

const CHUNK = 64 * 1024;
const NEWLINE = 0x0a;

/** Yields the text of the log. With `follow` it goes on until `ended` resolves and all has been read, or `signal` aborts. */
export async function* readLog(file: string, options: LogOptions, ended: Promise<void>, signal: AbortSignal): AsyncGenerator<Buffer> {
  const source: Source = { file, fd: openSync(file, "r") };
  const growth = options.follow ? new Growth(file, ended, signal) : undefined;
  try {
    let left = options.limitBytes < 0 ? Number.POSITIVE_INFINITY : options.limitBytes;
    for await (const text of readTexts(source, options, growth, signal)) {
      yield text.subarray(0, left);
      left -= text.length;
      if (left <= 0) return;
    }
  } finally {
    growth?.close();
    closeSync(source.fd);
  }
}

/** The log, and the file of it that is being read. */
interface Source {
  readonly file: string;
  fd: number;
}

async function* readTexts(source: Source, options: LogOptions, growth: Growth | undefined, signal: AbortSignal): AsyncGenerator<Buffer> {
  let offset = options.tailLines < 0 ? 0 : tailOffset(source.fd, options.tailLines);
  let rest: Buffer = Buffer.alloc(0);
  let atLineStart = true;
  for (;;) {
    // Looked at before reading: what is written between would be missed otherwise.
    const last = growth === undefined || growth.isOver;
    const next = growth === undefined ? undefined : fileAfter(source);
    const chunk = readAt(source.fd, offset);
    if (chunk.length === 0 && next !== undefined) {
      closeSync(source.fd);
      source.fd = openSync(next, "r");
      offset = 0;
      growth?.watch(next);
      continue;
    }
    if (chunk.length === 0) {
      if (last || signal.aborted) return;
      await growth?.next();
      continue;
    }
    offset += chunk.length;
    const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const end = data.lastIndexOf(NEWLINE) + 1;
    rest = data.subarray(end);
    const out: Buffer[] = [];
    for (const line of lines(data.subarray(0, end))) {
      const text = format(line, options, atLineStart);
      if (text === undefined) continue;
      out.push(text.bytes);
      atLineStart = text.full;
    }
    if (out.length > 0) yield Buffer.concat(out);
  }
}

/** Where the log goes on, when its present file has been put aside; the oldest that there is when it has been removed. */
function fileAfter({ file, fd }: Source): string | undefined {
  const { ino } = fstatSync(fd);
  const isThis = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.ino === ino;
  if (isThis(file)) return undefined;
  const files = [...rotatedLogs(file), file];
  return files[files.findIndex(isThis) + 1];
}

function format(line: Buffer, options: LogOptions, atLineStart: boolean): { bytes: Buffer; full: boolean } | undefined {
  const parsed = parseLogLine(line);
  if (parsed === undefined || (options.sinceMs !== undefined && Date.parse(parsed.time) < options.sinceMs)) return undefined;
  const prefix = options.timestamps && atLineStart ? `${parsed.time} ` : "";
  return { bytes: Buffer.concat([Buffer.from(prefix), parsed.text, Buffer.from(parsed.full ? "\n" : "")]), full: parsed.full };
}

function* lines(data: Buffer): Generator<Buffer> {
  let start = 0;
  for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, start)) {
    yield data.subarray(start, end);
    start = end + 1;
  }
}

function readAt(fd: number, offset: number): Buffer {
  const buffer = Buffer.alloc(CHUNK);
  return buffer.subarray(0, readSync(fd, buffer, 0, CHUNK, offset));
}

/** Where the last `count` lines begin. */
function tailOffset(fd: number, count: number): number {
  const { size } = fstatSync(fd);
  if (count === 0) return size;
  let found = 0;
  for (let end = size; end > 0; end -= Math.min(end, CHUNK)) {
    const start = Math.max(0, end - CHUNK);
    const buffer = Buffer.alloc(end - start);
    readSync(fd, buffer, 0, buffer.length, start);
    for (let at = buffer.length - 1; at >= 0; at--) {
      // The newline at the very end closes the last line; it does not begin one.
      if (buffer[at] === NEWLINE && start + at !== size - 1 && ++found === count) return start + at + 1;
    }
  }
  return 0;
}

/** Waits for a file to grow, or for nobody to write to it any more. */
class Growth {
  #watcher: FSWatcher | undefined;
  #wake: () => void = () => {};
  #grown = false;
  isOver = false;

  constructor(file: string, ended: Promise<void>, signal: AbortSignal) {
    this.watch(file);
    const over = (): void => {
      this.isOver = true;
      this.#poke();
    };
    void ended.then(over);
    signal.addEventListener("abort", over, { once: true });
  }

  /** Instead of the file before. */
  watch(file: string): void {
    this.#watcher?.close();
    this.#watcher = watch(file, () => this.#poke()).on("error", () => this.#poke());
  }

  #poke(): void {
    this.#grown = true;
    this.#wake();
  }

  async next(): Promise<void> {
    if (!this.#grown) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#grown = false;
  }

  close(): void {
    this.#watcher?.close();
  }
}
