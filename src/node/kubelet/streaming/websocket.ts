// Streams over WebSocket: the first byte of each binary message names the channel. `v5.channel.k8s.io` can close a channel, which ends
// standard input; `v4.channel.k8s.io` cannot (KEP-4006).
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import { type Carrier, carryStreams } from "./carry.ts";
import type { StartSession } from "./index.ts";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;
const RESIZE = 4;
const CLOSE = 255;

const PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const HIGH_WATER_BYTES = 1 << 20;
const NORMAL_CLOSURE = 1000;

const server: WebSocketServer = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  handleProtocols: (offered) => PROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
});

export function serveWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer, start: StartSession): void {
  server.handleUpgrade(request, socket, head, (client) => {
    const carrier: Carrier = carryStreams(start, {
      stdout: (chunk) => send(STDOUT, chunk),
      stderr: (chunk) => send(STDERR, chunk),
      finish: (status) => finish(client, status),
    });
    function send(channel: number, chunk: Uint8Array): boolean {
      client.send(Buffer.concat([Buffer.of(channel), chunk]), () => {
        if (client.bufferedAmount < HIGH_WATER_BYTES) carrier.resume();
      });
      return client.bufferedAmount < HIGH_WATER_BYTES;
    }
    client.on("message", (data: RawData) => receive(carrier, toBuffer(data)));
    client.on("error", () => client.terminate());
    client.once("close", () => carrier.disconnected());
  });
}

function receive(carrier: Carrier, message: Buffer): void {
  const body = message.subarray(1);
  if (message[0] === STDIN && body.length > 0) carrier.stdin(body);
  else if (message[0] === RESIZE) carrier.resize(body);
  else if (message[0] === CLOSE && body[0] === STDIN) carrier.stdinEnd();
}

function finish(client: WebSocket, status: object): void {
  client.send(Buffer.concat([Buffer.of(STATUS), Buffer.from(JSON.stringify(status))]));
  client.close(NORMAL_CLOSURE);
}

function toBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
