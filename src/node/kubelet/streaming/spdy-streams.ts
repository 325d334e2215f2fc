// Streams over SPDY/3.1: the client opens one for each of error, stdin, stdout, stderr and resize, named by its `streamtype` header
// (apimachinery `remotecommand`, `v4.channel.k8s.io`); the status comes on the error stream.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type Carrier, carryStreams } from "./carry.ts";
import type { StartSession } from "./index.ts";
import { SpdyConnection, type SpdyStream } from "./spdy/connection.ts";

/** In our order of preference. Versions 1 and 2 have no status; nobody has sent them alone since 2015. */
const PROTOCOLS = ["v4.channel.k8s.io", "v3.channel.k8s.io"];

export function serveSpdy(request: IncomingMessage, socket: Duplex, head: Buffer, start: StartSession): void {
  const offered = (request.headersDistinct["x-stream-protocol-version"] ?? []).flatMap((value) => value.split(",").map((v) => v.trim()));
  const protocol = PROTOCOLS.find((version) => offered.includes(version));
  if (protocol === undefined) {
    socket.end(`HTTP/1.1 403 Forbidden\r\nX-Accepted-Stream-Protocol-Versions: ${PROTOCOLS.join(", ")}\r\nContent-Length: 0\r\n\r\n`);
    return;
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  const streams = new Map<string, SpdyStream>();
  const expected = expectedStreams(request.url ?? "");
  let carrier: Carrier | undefined;
  const connection = new SpdyConnection(socket, {
    onStream(stream) {
      streams.set(stream.headers.get("streamtype") ?? "", stream);
      if (carrier === undefined && expected.every((type) => streams.has(type))) begin();
    },
    onDrain: () => carrier?.resume(),
    onClose: () => carrier?.disconnected(),
  });
  const finish = (status: object): void => {
    streams.get("error")?.write(Buffer.from(JSON.stringify(status)));
    for (const type of ["error", "stdout", "stderr"]) streams.get(type)?.end();
    // The client closes the connection when it has read the status.
  };
  const begin = (): void => {
    const made = carryStreams(start, {
      stdout: (chunk) => streams.get("stdout")?.write(chunk) ?? true,
      stderr: (chunk) => streams.get("stderr")?.write(chunk) ?? true,
      finish,
    });
    carrier = made;
    listen(
      streams.get("stdin"),
      (chunk) => made.stdin(chunk),
      () => made.stdinEnd(),
    );
    listen(
      streams.get("resize"),
      (chunk) => made.resize(chunk),
      () => {},
    );
  };
  connection.feed(head);
}

function listen(stream: SpdyStream | undefined, onData: (chunk: Buffer) => void, onEnd: () => void): void {
  if (stream === undefined) return;
  stream.onData = onData;
  stream.onEnd = onEnd;
}

/** The streams that the client opens, by the request's query. `resize` comes with a terminal. */
function expectedStreams(url: string): string[] {
  const query = new URL(url, "http://kubelet").searchParams;
  const asked = (...names: string[]): boolean => names.some((name) => ["1", "true"].includes(query.get(name) ?? ""));
  const tty = asked("tty");
  return [
    "error",
    ...(asked("stdin", "input") ? ["stdin"] : []),
    ...(asked("stdout", "output") ? ["stdout"] : []),
    ...(asked("stderr", "error") && !tty ? ["stderr"] : []),
    ...(tty ? ["resize"] : []),
  ];
}
