// Named pipes between the agent and containers. Node's own child pipes are socket pairs: what a program writes to /dev/stdout or reads from
// /dev/stdin would fail there (a socket cannot be opened by path).
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { errorCode } from "#base";
import { mkfifo } from "#linux";

export function makeFifo(path: string): void {
  try {
    mkfifo(path, 0o600);
  } catch (err) {
    if (errorCode(err) !== "EEXIST") throw err;
  }
}

/** For the container: it is reader and writer at once, so that it never gets SIGPIPE or end of file while no agent is there. */
export function openBothEnds(path: string): number {
  return openSync(path, constants.O_RDWR);
}

/** The agent's end for reading; it ends when the last writer has closed. Open it before the writer runs. */
export function openReader(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
}

/** The agent's end for writing; fails with ENXIO when nobody reads. */
export function openWriter(path: string): number {
  return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
}

export function readFrom(fd: number): Socket {
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.on("error", () => {});
  return socket;
}

export function writeTo(fd: number): Socket {
  const socket = new Socket({ fd, readable: false, writable: true });
  // The program may close its input whenever it likes.
  socket.on("error", () => {});
  return socket;
}

export interface PipeEnds {
  readonly readFd: number;
  readonly writeFd: number;
}

/** Both ends of a named pipe, blocking: what is read ends when the writer closes. */
export function openEnds(path: string): PipeEnds {
  // A blocking open waits for the other end, so one of them goes first without waiting.
  const first = openReader(path);
  const writeFd = openSync(path, constants.O_WRONLY);
  const readFd = openSync(path, constants.O_RDONLY);
  closeSync(first);
  return { readFd, writeFd };
}

/** Both ends of a named pipe; the reader never sees the end, since it is a writer too. */
export function openEndless(path: string): PipeEnds {
  return { readFd: openBothEnds(path), writeFd: openWriter(path) };
}

/** A pipe without a name. */
export function openPipe(dir: string): PipeEnds {
  const path = `${dir}/pipe-${process.pid}-${Math.random().toString(36).slice(2)}`;
  mkfifo(path, 0o600);
  try {
    return openEnds(path);
  } finally {
    rmSync(path, { force: true });
  }
}
