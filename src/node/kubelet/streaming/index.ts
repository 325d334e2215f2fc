/** A process's streams over an upgraded HTTP connection: WebSocket or SPDY/3.1, by what the client asks for. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { ExecSession } from "#runtime";
import { serveSpdy } from "./spdy-streams.ts";
import { serveWebSocket } from "./websocket.ts";

/** Starts the process. A rejection is told to the client as the command's result. */
export type StartSession = () => Promise<ExecSession>;

/** For the "upgrade" event of an HTTP server; authentication is the caller's. */
export function serveStreams(request: IncomingMessage, socket: Duplex, head: Buffer, start: StartSession): void {
  const protocol = request.headers.upgrade?.toLowerCase();
  if (protocol === "websocket") serveWebSocket(request, socket, head, start);
  else if (protocol === "spdy/3.1") serveSpdy(request, socket, head, start);
  else {
    const text = `cannot stream over "${request.headers.upgrade ?? ""}": ask for websocket or SPDY/3.1\n`;
    socket.end(`HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }
}
