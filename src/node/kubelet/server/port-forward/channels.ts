// Port forwarding over a WebSocket without SPDY, as client libraries do it: the ports are in the query, and each has two channels, one for
// data and one for errors, which the server begins with the port's number (kubelet `pkg/kubelet/cri/streaming/portforward/websocket.go`).
import { Duplex, Writable } from "node:stream";
import type { WebSocket } from "ws";
import { forwardPort, type PortTarget } from "./forward.ts";

export const CHANNEL_PROTOCOL = "v4.channel.k8s.io";

const NORMAL_CLOSURE = 1000;

/** Resolves when the client has gone. The connection ends when all of its ports have. */
export async function forwardPortsOverChannels(client: WebSocket, ports: readonly number[], target: PortTarget): Promise<void> {
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  client.on("error", () => {});
  const channels = ports.map((_, i) => dataChannel(client, 2 * i));
  client.on("message", (message: Buffer) => {
    const number = message[0] ?? 0;
    const channel = number % 2 === 0 ? channels[number / 2] : undefined;
    // Nobody reads any more what comes for a port that has ended: it must not hold back the other ones.
    if (channel === undefined || channel.writableEnded) return;
    if (!channel.push(message.subarray(1))) client.pause();
  });
  void closed.then(() => {
    for (const channel of channels) channel.destroy();
  });
  const forwards = channels.map((data, i) => {
    const port = ports[i] ?? 0;
    const error = errorChannel(client, 2 * i + 1);
    const number = Buffer.alloc(2);
    number.writeUInt16LE(port);
    data.write(number);
    error.write(number);
    return forwardPort(target, port, { data, error });
  });
  await Promise.all(forwards);
  client.close(NORMAL_CLOSURE);
  await closed;
}

/** A channel has no end of its own: where the pod has said all, nothing more is taken from the client. */
function dataChannel(client: WebSocket, number: number): Duplex {
  const channel = new Duplex({
    autoDestroy: false,
    read: () => client.resume(),
    write: (chunk: Buffer, _encoding, done) => void send(client, number, chunk).then(() => done()),
    final(done) {
      this.push(null);
      client.resume();
      done();
    },
  });
  return channel.on("error", () => {});
}

function errorChannel(client: WebSocket, number: number): Writable {
  return new Writable({ write: (chunk: Buffer, _encoding, done) => void send(client, number, chunk).then(() => done()) });
}

/** Resolves when it is on its way, or the client has gone. */
function send(client: WebSocket, channel: number, data: Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (client.readyState !== client.OPEN) resolve();
    else client.send(Buffer.concat([Buffer.of(channel), data]), () => resolve());
  });
}
