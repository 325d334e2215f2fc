// exec and attach over SPDY/3.1: a stream each, told apart by the header `streamtype`, and a negotiation of what is said on them
// (apimachinery `util/httpstream` and `remotecommand`).
import { finished } from "node:stream/promises";
import type { RemoteStreams, StreamRequest, TerminalSize } from "../remote.ts";
import type { Upgrade } from "../websocket.ts";
import { SpdySession, type SpdyStream } from "./session.ts";

/** v4 tells exit codes as a Status; all clients of the last ten years speak it. */
export const EXEC_PROTOCOL = "v4.channel.k8s.io";

/** How long the client may take to open its streams (kubelet `streamCreationTimeout`). */
const CREATION_TIMEOUT_MS = 30_000;

/** Answers the request and resolves when the client has opened what it wants. */
export async function acceptSpdy({ socket, head }: Upgrade, request: StreamRequest): Promise<RemoteStreams> {
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${EXEC_PROTOCOL}\r\n\r\n`,
  );
  const wanted = ["error", ...(request.stdin ? ["stdin"] : []), ...(request.stdout ? ["stdout"] : [])];
  if (request.stderr && !request.tty) wanted.push("stderr");
  if (request.tty) wanted.push("resize");
  const streams = new Map<string, SpdyStream>();
  const complete = Promise.withResolvers<void>();
  const session = new SpdySession(socket, head, (stream) => {
    streams.set(stream.headers.get("streamtype") ?? "", stream);
    if (wanted.every((type) => streams.has(type))) complete.resolve();
  });
  const timer = setTimeout(() => complete.reject(new Error("the client did not open its streams in time")), CREATION_TIMEOUT_MS);
  void session.closed.then(() => complete.reject(new Error("the client has gone")));
  try {
    await complete.promise;
  } catch (err) {
    session.close();
    throw err;
  } finally {
    clearTimeout(timer);
  }
  return new SpdyStreams(session, streams);
}

class SpdyStreams implements RemoteStreams {
  readonly stdin: SpdyStream | undefined;
  readonly stdout: SpdyStream | undefined;
  readonly stderr: SpdyStream | undefined;
  readonly closed: Promise<void>;
  readonly #session: SpdySession;
  readonly #streams: ReadonlyMap<string, SpdyStream>;

  constructor(session: SpdySession, streams: ReadonlyMap<string, SpdyStream>) {
    this.#session = session;
    this.#streams = streams;
    this.stdin = streams.get("stdin");
    this.stdout = streams.get("stdout");
    this.stderr = streams.get("stderr");
    this.closed = session.closed;
  }

  /** The client sends JSON objects, one after the other. */
  onResize(listener: (size: TerminalSize) => void): void {
    let text = "";
    this.#streams.get("resize")?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const sizes = [...text.matchAll(/\{[^{}]*\}/g)];
      const last = sizes.at(-1);
      if (last === undefined) return;
      text = text.slice(last.index + last[0].length);
      try {
        const { Width: width, Height: height } = JSON.parse(last[0]) as { Width?: number; Height?: number };
        if (width !== undefined && height !== undefined) listener({ width, height });
      } catch {
        // A size that cannot be read is a size that stays.
      }
    });
  }

  async finish(status: object): Promise<void> {
    const error = this.#streams.get("error");
    error?.write(JSON.stringify(status));
    const ending = [error, this.stdout, this.stderr].filter((stream) => stream !== undefined);
    for (const stream of ending) stream.end();
    await Promise.all(ending.map((stream) => finished(stream, { readable: false }).catch(() => undefined)));
    this.#session.close();
    await this.closed;
  }
}
