// A process beside the container's own, inside the same namespaces.
import { randomBytes } from "node:crypto";
import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { constants as osConstants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { ReadStream } from "node:tty";
import { type Namespaces, openTerminal, setTerminalSize } from "#linux";
import { type Launched, launch } from "./launch.ts";
import { type NodeFacts, planExec } from "./launch-plan.ts";
import { openPipe, readFrom, writeTo } from "./pipes.ts";
import { type ProcessId, signalProcess } from "./state.ts";
import type { ContainerConfig, ExecRequest, ExecResult, ExecSession, PodSandboxConfig } from "./types.ts";

export interface ExecTarget {
  readonly sandbox: PodSandboxConfig;
  readonly config: ContainerConfig;
  readonly process: ProcessId;
  readonly where: Namespaces;
  /** For what is needed while it starts. */
  readonly dir: string;
}

interface Streams {
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable | undefined;
  readonly master: number | undefined;
  readonly childFds: readonly [number | "ignore", number, number];
}

/** Rejects with RuntimeError when the command cannot be started. */
export async function execInContainer(node: NodeFacts, target: ExecTarget, request: ExecRequest): Promise<ExecSession> {
  mkdirSync(target.dir, { recursive: true });
  const streams = request.tty ? openTerminalStreams(target.process.pid) : openPipeStreams(target.dir, request.stdin);
  const spec = planExec(
    node,
    { sandbox: target.sandbox, config: target.config, pid: target.process.pid },
    { argv: request.command, tty: request.tty },
  );
  const specFile = `${target.dir}/exec-${randomBytes(8).toString("hex")}.json`;
  let launched: Launched;
  try {
    launched = launch({ programs: node.programs, specFile, spec, where: target.where, stdio: streams.childFds });
  } finally {
    for (const fd of new Set(streams.childFds)) if (typeof fd === "number") closeSync(fd);
  }
  const exit = exitOf(launched, streams);
  try {
    await launched.started;
  } catch (err) {
    await exit;
    closeStreams(streams);
    throw err;
  }
  return {
    stdin: request.stdin ? streams.stdin : undefined,
    stdout: streams.stdout,
    stderr: streams.stderr,
    exit,
    resize({ width, height }) {
      if (streams.master !== undefined && !streams.stdout.destroyed) setTerminalSize(streams.master, { rows: height, columns: width });
    },
    close() {
      signalProcess(-launched.process.pid, "SIGKILL");
      closeStreams(streams);
    },
  };
}

function closeStreams(streams: Streams): void {
  streams.stdin?.destroy();
  streams.stdout.destroy();
  streams.stderr?.destroy();
}

/** The exit code. The output is the caller's to read to its end. */
function exitOf(launched: Launched, streams: Streams): Promise<number> {
  const exit = Promise.withResolvers<number>();
  launched.child.once("exit", (code, signal) => {
    if (streams.master === undefined) streams.stdin?.destroy();
    exit.resolve(code ?? 128 + (osConstants.signals[signal ?? "SIGKILL"] ?? 0));
  });
  launched.child.once("error", () => exit.resolve(128));
  return exit.promise;
}

function openPipeStreams(dir: string, withStdin: boolean): Streams {
  const input = withStdin ? openPipe(dir) : undefined;
  const output = openPipe(dir);
  const errors = openPipe(dir);
  return {
    stdin: input && writeTo(input.writeFd),
    stdout: readFrom(output.readFd),
    stderr: readFrom(errors.readFd),
    master: undefined,
    childFds: [input?.readFd ?? "ignore", output.writeFd, errors.writeFd],
  };
}

/** The terminal is of the container's own devpts, so that its name means something in there. */
function openTerminalStreams(pid: number): Streams {
  const { master, slavePath } = openTerminal(`/proc/${pid}/root/dev/pts`);
  const slave = openSync(slavePath, constants.O_RDWR | constants.O_NOCTTY);
  const stream = new ReadStream(master);
  // EIO is how the end of a terminal is told.
  stream.on("error", () => {});
  return { stdin: stream, stdout: stream, stderr: undefined, master, childFds: [slave, slave, slave] };
}

const OUTPUT_LIMIT = 16 << 20;

/** Runs a command to its end. After `timeoutSeconds` (0: never) it is killed, and `undefined` is the result. */
export async function execToEnd(session: ExecSession, timeoutSeconds: number): Promise<ExecResult | undefined> {
  let timedOut = false;
  const timer =
    timeoutSeconds > 0
      ? setTimeout(() => {
          timedOut = true;
          session.close();
        }, timeoutSeconds * 1000)
      : undefined;
  const [stdout, stderr, exitCode] = await Promise.all([collect(session.stdout), collect(session.stderr), session.exit]);
  clearTimeout(timer);
  return timedOut ? undefined : { stdout, stderr, exitCode };
}

async function collect(stream: Readable | undefined): Promise<Buffer> {
  if (stream === undefined) return Buffer.alloc(0);
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= OUTPUT_LIMIT) chunks.push(chunk);
  });
  if (!stream.closed) await new Promise<void>((resolve) => stream.once("close", resolve));
  return Buffer.concat(chunks);
}
