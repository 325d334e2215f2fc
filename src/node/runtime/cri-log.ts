// The format of container logs on disk (kubernetes/design-proposals kubelet-cri-logging.md):
//   2026-01-01T00:00:00.000000000Z stdout F a whole line
//   2026-01-01T00:00:00.000000001Z stderr P a part of a line that was too long, or that ended without a newline
// Pure, over bytes: a container may write what is no text.

export type LogStream = "stdout" | "stderr";

/** A longer line is written as parts of this size (containerd's and CRI-O's default). */
export const MAX_LINE_BYTES: number = 16 * 1024;

const NEWLINE = 0x0a;

/** Nanoseconds cannot be had from the system's clock here: the last six digits are a counter that keeps lines of one millisecond apart. */
export function formatLogTime(ms: number, sequence: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}${String(sequence % 1_000_000).padStart(6, "0")}Z`;
}

/** Cuts one stream of a container into log lines. */
export class LogLineEncoder {
  readonly #stream: LogStream;
  #rest: Buffer = Buffer.alloc(0);
  #sequence = 0;
  #lastMs = 0;

  constructor(stream: LogStream) {
    this.#stream = stream;
  }

  /** The lines that `chunk` completes, ready to be appended to the log. */
  push(chunk: Buffer, nowMs: number): Buffer {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const out: Buffer[] = [];
    let start = 0;
    while (start < data.length) {
      const newline = data.indexOf(NEWLINE, start);
      const end = newline < 0 ? data.length : newline;
      if (end - start > MAX_LINE_BYTES) {
        out.push(...this.#line("P", data.subarray(start, start + MAX_LINE_BYTES), nowMs));
        start += MAX_LINE_BYTES;
      } else if (newline < 0) break;
      else {
        out.push(...this.#line("F", data.subarray(start, end), nowMs));
        start = newline + 1;
      }
    }
    this.#rest = Buffer.from(data.subarray(start));
    return Buffer.concat(out);
  }

  /** What is left when the container has ended. */
  end(nowMs: number): Buffer {
    if (this.#rest.length === 0) return Buffer.alloc(0);
    const out = Buffer.concat(this.#line("P", this.#rest, nowMs));
    this.#rest = Buffer.alloc(0);
    return out;
  }

  #line(tag: "F" | "P", text: Buffer, nowMs: number): Buffer[] {
    this.#sequence = nowMs === this.#lastMs ? this.#sequence + 1 : 0;
    this.#lastMs = nowMs;
    return [Buffer.from(`${formatLogTime(nowMs, this.#sequence)} ${this.#stream} ${tag} `), text, Buffer.of(NEWLINE)];
  }
}

export interface LogLine {
  /** RFC 3339 with nanoseconds, as it stands in the file. */
  readonly time: string;
  readonly stream: LogStream;
  /** The line ends here; false for a part. */
  readonly full: boolean;
  readonly text: Buffer;
}

const SPACE = 0x20;

/** One line of a log file without its newline; undefined when it is none. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(SPACE);
  const second = line.indexOf(SPACE, first + 1);
  const third = line.indexOf(SPACE, second + 1);
  if (first < 0 || second < 0) return undefined;
  const stream = line.toString("latin1", first + 1, second);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  const tags = line.toString("latin1", second + 1, third < 0 ? line.length : third);
  const text = third < 0 ? Buffer.alloc(0) : line.subarray(third + 1);
  return { time: line.toString("latin1", 0, first), stream, full: tags.split(":")[0] === "F", text };
}
