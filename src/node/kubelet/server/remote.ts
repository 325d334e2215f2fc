// The two ends of exec and attach: a process's streams here, a client's streams there, whatever carries them.
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { errorMessage } from "#base";
import type { ExecSession } from "#runtime";

export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** What a client wants of a process. */
export interface StreamRequest {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** A client that is connected. */
export interface RemoteStreams {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  onResize(listener: (size: TerminalSize) => void): void;
  /** Says how it ended, and closes. */
  finish(status: object): Promise<void>;
  /** Resolves when the client has gone. */
  readonly closed: Promise<void>;
}

/** `metav1.Status` as the streaming protocols have it since v4 (`pkg/kubelet/cri/streaming/remotecommand/exec.go`). */
function exitStatus(code: number): object {
  if (code === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}

function errorStatus(err: unknown, what: string): object {
  const message = `${what}: ${errorMessage(err)}`;
  return {
    metadata: {},
    status: "Failure",
    message: `Internal error occurred: ${message}`,
    reason: "InternalError",
    details: { causes: [{ message }] },
    code: 500,
  };
}

/** Connects the two until the process ends or the client goes. */
export async function serveSession(
  open: () => Promise<ExecSession>,
  remote: RemoteStreams,
  { tty }: StreamRequest,
  what: string,
): Promise<void> {
  let session: ExecSession;
  try {
    session = await open();
  } catch (err) {
    await remote.finish(errorStatus(err, what));
    return;
  }
  remote.onResize((size) => session.resize(size));
  // A terminal has one descriptor for both directions: the end of the input must not close it.
  if (session.stdin !== undefined) remote.stdin?.pipe(session.stdin, { end: !tty });
  const outputs = [copy(session.stdout, remote.stdout), copy(session.stderr, remote.stderr)];
  let ended = false;
  // What the command left in the background lives on when it has ended by itself.
  void remote.closed.then(() => {
    if (!ended) session.close();
  });
  const code = await session.exit;
  ended = true;
  await Promise.all(outputs);
  await remote.finish(exitStatus(code));
}

/** Resolves when all has been passed on, or cannot be. */
async function copy(from: Readable | undefined, to: Writable | undefined): Promise<void> {
  if (from === undefined) return;
  if (to === undefined) from.resume();
  else from.pipe(to, { end: false });
  // A terminal and a client that went away end in errors.
  await finished(from, { writable: false }).catch(() => undefined);
}
