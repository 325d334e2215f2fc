// Carries the streams of a process to and from a client, whatever the protocol between.

import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import type { ExecSession } from "#runtime";
import { exitStatus, failureStatus } from "./status.ts";

/** The client, as a protocol shows it. */
export interface RemoteTerminal {
  /** False when the client is slow: hold back until `resume` is called. */
  stdout(chunk: Buffer): boolean;
  stderr(chunk: Buffer): boolean;
  /** The last word: sends the status and closes. */
  finish(status: object): void;
}

export interface Carrier {
  stdin(chunk: Buffer): void;
  stdinEnd(): void;
  resize(json: Buffer): void;
  /** The client can take more. */
  resume(): void;
  /** The client is gone. */
  disconnected(): void;
}

/** Starts the process and carries its streams; what the client sends meanwhile waits for it. */
export function carryStreams(start: () => Promise<ExecSession>, remote: RemoteTerminal): Carrier {
  let carrier: Carrier | undefined;
  const waiting: ((carrier: Carrier) => void)[] = [];
  const pass = (step: (to: Carrier) => void): void => {
    if (carrier === undefined) waiting.push(step);
    else step(carrier);
  };
  start().then(
    (session) => {
      const started = carry(session, remote);
      carrier = started;
      for (const step of waiting) step(started);
    },
    (err: unknown) => remote.finish(failureStatus(err instanceof Error ? err.message : String(err))),
  );
  return {
    stdin: (chunk) => pass((to) => to.stdin(chunk)),
    stdinEnd: () => pass((to) => to.stdinEnd()),
    resize: (json) => pass((to) => to.resize(json)),
    resume: () => pass((to) => to.resume()),
    disconnected: () => pass((to) => to.disconnected()),
  };
}

function carry(session: ExecSession, remote: RemoteTerminal): Carrier {
  const outputs = [session.stdout, session.stderr].filter((stream): stream is Readable => stream !== undefined);
  const forward = (stream: Readable | undefined, send: (chunk: Buffer) => boolean): void => {
    stream?.on("data", (chunk: Buffer) => {
      if (!send(chunk)) for (const output of outputs) output.pause();
    });
  };
  forward(session.stdout, (chunk) => remote.stdout(chunk));
  forward(session.stderr, (chunk) => remote.stderr(chunk));
  session.stdin?.on("error", () => {});
  let over = false;
  // A terminal's stream ends with an error; either way its output has been read.
  const drained = Promise.allSettled(outputs.map((stream) => finished(stream, { writable: false })));
  void Promise.all([session.exit, drained]).then(([code]) => {
    if (over) return;
    over = true;
    remote.finish(exitStatus(code));
  });
  return {
    stdin: (chunk) => void session.stdin?.write(chunk),
    stdinEnd: () => void session.stdin?.end(),
    resize(json) {
      const size = parseSize(json);
      if (size !== undefined) session.resize(size);
    },
    resume() {
      for (const output of outputs) output.resume();
    },
    disconnected() {
      if (over) return;
      over = true;
      session.close();
    },
  };
}

/** `{"Width":80,"Height":24}` (client-go `remotecommand.TerminalSize`). */
function parseSize(json: Buffer): { width: number; height: number } | undefined {
  try {
    const value: unknown = JSON.parse(json.toString());
    if (typeof value !== "object" || value === null || !("Width" in value) || !("Height" in value)) return undefined;
    if (typeof value.Width !== "number" || typeof value.Height !== "number") return undefined;
    return { width: value.Width, height: value.Height };
  } catch {
    return undefined;
  }
}
