// Standard input, output and error of a container: named pipes that outlive the agent, or a terminal that does not.
import { closeSync, constants, existsSync, openSync } from "node:fs";
import type { Writable } from "node:stream";
import { ReadStream } from "node:tty";
import type { Logger } from "#base";
import { openTerminal, setTerminalSize } from "#linux";
import { LogPump, type OutputListener } from "./log-pump.ts";
import { makeFifo, openBothEnds, openEndless, openEnds, openReader, openWriter, readFrom, writeTo } from "./pipes.ts";

export interface ContainerIoRequest {
  /** The container's own directory, where the pipes are. */
  readonly dir: string;
  readonly logFile: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  /** Its input ends with that of who attaches; otherwise it never ends, also not when this agent does. */
  readonly stdinOnce: boolean;
}

export class ContainerIo {
  /** What the launcher gets as descriptors 0, 1 and 2. */
  childStdio: readonly [number | "ignore", number | "ignore", number | "ignore"] = ["ignore", "ignore", "ignore"];
  readonly tty: boolean;
  /** The terminal's name on the node; undefined without one. */
  consolePath: string | undefined;
  readonly #pump: LogPump;
  #stdin: Writable | undefined;
  #master: number | undefined;
  #mine: number[] = [];

  private constructor(pump: LogPump, tty: boolean) {
    this.#pump = pump;
    this.tty = tty;
  }

  static create(request: ContainerIoRequest, logger: Logger): ContainerIo {
    const io = new ContainerIo(new LogPump(request.logFile, logger), request.tty);
    if (request.tty) io.#openTerminal();
    else io.#createPipes(request);
    return io;
  }

  /** The pipes of a container that runs. A terminal ended with the agent that held it: nothing more can be read. */
  static adopt(dir: string, logFile: string, logger: Logger): ContainerIo {
    const io = new ContainerIo(new LogPump(logFile, logger), false);
    for (const stream of ["stdout", "stderr"] as const) {
      if (existsSync(`${dir}/${stream}`)) io.#pump.add(stream, readFrom(openReader(`${dir}/${stream}`)));
    }
    if (existsSync(`${dir}/stdin`)) io.#stdin = writeTo(openWriter(`${dir}/stdin`));
    return io;
  }

  /** Undefined where the container was not started with `stdin`. */
  get stdin(): Writable | undefined {
    return this.#stdin;
  }

  subscribe(listener: OutputListener): { close(): void } {
    return this.#pump.subscribe(listener);
  }

  resize(size: { readonly width: number; readonly height: number }): void {
    if (this.#master !== undefined) setTerminalSize(this.#master, { rows: size.height, columns: size.width });
  }

  /** The child has its descriptors now; ours of them would keep the pipes open. */
  started(): void {
    for (const fd of this.#mine) closeSync(fd);
    this.#mine = [];
  }

  drain(timeoutMs: number): Promise<void> {
    this.#stdin?.destroy();
    this.#master = undefined;
    return this.#pump.drain(timeoutMs);
  }

  close(): void {
    this.#stdin?.destroy();
    this.#master = undefined;
    this.#pump.close();
  }

  #createPipes({ dir, stdin, stdinOnce }: ContainerIoRequest): void {
    const fds: number[] = [];
    for (const stream of ["stdout", "stderr"] as const) {
      const path = `${dir}/${stream}`;
      makeFifo(path);
      const reader = openReader(path);
      fds.push(openBothEnds(path));
      this.#pump.add(stream, readFrom(reader));
    }
    let stdinFd: number | "ignore" = "ignore";
    if (stdin) {
      makeFifo(`${dir}/stdin`);
      const { readFd, writeFd } = stdinOnce ? openEnds(`${dir}/stdin`) : openEndless(`${dir}/stdin`);
      stdinFd = readFd;
      fds.push(stdinFd);
      this.#stdin = writeTo(writeFd);
    }
    this.#mine = fds;
    this.childStdio = [stdinFd, fds[0] ?? "ignore", fds[1] ?? "ignore"];
  }

  #openTerminal(): void {
    const { master, slavePath } = openTerminal();
    const slave = openSync(slavePath, constants.O_RDWR | constants.O_NOCTTY);
    this.consolePath = slavePath;
    this.#mine = [slave];
    this.childStdio = [slave, slave, slave];
    this.#master = master;
    const stream = new ReadStream(master);
    stream.on("error", () => {});
    this.#stdin = stream;
    this.#pump.add("stdout", stream);
  }
}
