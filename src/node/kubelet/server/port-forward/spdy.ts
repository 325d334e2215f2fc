// Port forwarding over SPDY/3.1, by itself or tunnelled through a WebSocket (KEP-4006): for each connection the client opens a stream for
// errors and one for data, which belong together by the header `requestid` (apimachinery `portforward`, kubelet `httpstream.go`).
import type { Duplex } from "node:stream";
import { SpdySession, type SpdyStream } from "../spdy/session.ts";
import { forwardPort, type PortTarget } from "./forward.ts";

export const PORT_FORWARD_PROTOCOL = "portforward.k8s.io";

interface Pair {
  error?: SpdyStream;
  data?: SpdyStream;
}

/** Resolves when the client has gone. `head`: what has been read of `carrier` already. */
export async function forwardPortsOverSpdy(carrier: Duplex, head: Buffer, target: PortTarget): Promise<void> {
  const pairs = new Map<string, Pair>();
  const session = new SpdySession(carrier, head, (stream) => {
    const type = stream.headers.get("streamtype");
    if (type !== "error" && type !== "data") {
      stream.destroy();
      return;
    }
    const id = requestId(stream, type);
    const pair = pairs.get(id) ?? {};
    pairs.set(id, pair);
    pair[type] = stream;
    const { error, data } = pair;
    if (error === undefined || data === undefined) return;
    pairs.delete(id);
    // The client says nothing on it, but its end must be read.
    error.resume();
    void forwardPort(target, Number(data.headers.get("port")), { data, error }).then(() => closeBoth(data, error));
  });
  await session.closed;
}

/** Very old clients do not number their requests; they open the stream for errors first, and the one for data right after. */
function requestId(stream: SpdyStream, type: "error" | "data"): string {
  return stream.headers.get("requestid") ?? `stream-${type === "error" ? stream.id : stream.id - 2}`;
}

/** They are of no more use once the client has been told of their ends. */
function closeBoth(...streams: readonly SpdyStream[]): void {
  for (const stream of streams) {
    if (stream.writableFinished) stream.destroy();
    else stream.once("finish", () => stream.destroy());
  }
}
