// From a container's output to its log file, and to those who are attached.
import type { Readable } from "node:stream";
import type { Logger } from "#base";
import { LogLineEncoder, type LogStream } from "./cri-log.ts";
import { LogFile } from "./log-file.ts";

export type OutputListener = (stream: LogStream, chunk: Buffer) => void;

/** Reads what a container writes until all of it is closed. Appends, so that the log of an adopted container goes on. */
export class LogPump {
  readonly #file: string;
  readonly #logger: Logger;
  readonly #listeners = new Set<OutputListener>();
  readonly #sources: { readonly stream: LogStream; readonly input: Readable }[] = [];
  readonly #ended: Promise<void>[] = [];
  #log: LogFile | undefined;

  constructor(file: string, logger: Logger) {
    this.#file = file;
    this.#logger = logger;
    this.#log = new LogFile(file);
  }

  add(stream: LogStream, input: Readable): void {
    const encoder = new LogLineEncoder(stream);
    this.#sources.push({ stream, input });
    const ended = Promise.withResolvers<void>();
    this.#ended.push(ended.promise);
    input.on("data", (chunk: Buffer) => {
      this.#write(encoder.push(chunk, Date.now()));
      for (const listener of this.#listeners) listener(stream, chunk);
    });
    // A terminal ends with EIO, then "close" without "end".
    input.once("close", () => {
      this.#write(encoder.end(Date.now()));
      ended.resolve();
    });
    input.once("end", () => input.destroy());
  }

  subscribe(listener: OutputListener): { close(): void } {
    this.#listeners.add(listener);
    return { close: () => this.#listeners.delete(listener) };
  }

  /** Resolves when everything written has been read; a descendant that outlived the container is given `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([Promise.all(this.#ended), timeout]);
    clearTimeout(timer);
    this.close();
  }

  close(): void {
    for (const { input } of this.#sources) input.destroy();
    this.#log?.close();
    this.#log = undefined;
  }

  #write(bytes: Buffer): void {
    if (this.#log === undefined || bytes.length === 0) return;
    try {
      this.#log.write(bytes, Date.now());
    } catch (err) {
      // A full disk must not stop the container: it would block on its own output.
      this.#logger.warn("cannot write a container's log", { file: this.#file, err: String(err) });
    }
  }
}
