// exec and attach over WebSocket: each binary message begins with the number of its stream (apimachinery `util/httpstream/wsstream` and
// `remotecommand`; KEP-4006). v5 adds message 255, which closes a stream.
import type { IncomingMessage } from "node:http";
import { type Duplex, PassThrough, Writable } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { RemoteStreams, StreamRequest, TerminalSize } from "./remote.ts";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;
const CLOSE = 255;

/** The best first. */
export const WEBSOCKET_PROTOCOLS: readonly string[] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

const NORMAL_CLOSURE = 1000;

export interface Upgrade {
  readonly req: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** Completes the handshake. */
export function acceptWebSocket({ req, socket, head }: Upgrade, request: StreamRequest): Promise<RemoteStreams> {
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    handleProtocols: (offered) => WEBSOCKET_PROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
  });
  return new Promise((resolve) => {
    server.handleUpgrade(req, socket, head, (client) => resolve(new WebSocketStreams(client, request)));
  });
}

class WebSocketStreams implements RemoteStreams {
  readonly stdin: PassThrough | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  readonly closed: Promise<void>;
  readonly #client: WebSocket;
  /** The client may tell it before anyone asks. */
  #size: TerminalSize | undefined;
  #resize: (size: TerminalSize) => void = () => {};

  constructor(client: WebSocket, request: StreamRequest) {
    this.#client = client;
    this.stdin = request.stdin ? new PassThrough() : undefined;
    this.stdout = request.stdout ? this.#channel(STDOUT) : undefined;
    this.stderr = request.stderr && !request.tty ? this.#channel(STDERR) : undefined;
    this.closed = new Promise((resolve) => client.once("close", () => resolve()));
    void this.closed.then(() => this.stdin?.end());
    client.on("error", () => {});
    client.on("message", (data) => this.#receive(toBuffer(data)));
    // An empty message on the first stream says that the connection stands (`remotecommand` createWebSocketStreams).
    client.send(Buffer.of(request.stdout ? STDOUT : request.stderr ? STDERR : ERROR));
  }

  onResize(listener: (size: TerminalSize) => void): void {
    this.#resize = listener;
    if (this.#size !== undefined) listener(this.#size);
  }

  async finish(status: object): Promise<void> {
    await this.#send(ERROR, Buffer.from(JSON.stringify(status)));
    this.#client.close(NORMAL_CLOSURE);
    await this.closed;
  }

  #receive(message: Buffer): void {
    const data = message.subarray(1);
    switch (message[0]) {
      case STDIN:
        if (this.stdin !== undefined && !this.stdin.writableEnded && !this.stdin.write(data)) this.#pause(this.stdin);
        break;
      case RESIZE:
        this.#resized(data.toString());
        break;
      case CLOSE:
        if (data[0] === STDIN) this.stdin?.end();
        break;
      default:
        break;
    }
  }

  #pause(stdin: PassThrough): void {
    this.#client.pause();
    stdin.once("drain", () => this.#client.resume());
  }

  #resized(text: string): void {
    try {
      const size: unknown = JSON.parse(text);
      if (typeof size !== "object" || size === null || !("Width" in size) || !("Height" in size)) return;
      this.#size = { width: Number(size.Width), height: Number(size.Height) };
      this.#resize(this.#size);
    } catch {
      // A size that cannot be read is a size that stays.
    }
  }

  #channel(number: number): Writable {
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        void this.#send(number, chunk).then(() => done());
      },
    });
  }

  /** Resolves when it is on its way, or the client has gone. */
  #send(channel: number, data: Buffer): Promise<void> {
    return new Promise((resolve) => {
      if (this.#client.readyState !== this.#client.OPEN) resolve();
      else this.#client.send(Buffer.concat([Buffer.of(channel), data]), () => resolve());
    });
  }
}

function toBuffer(data: Buffer | ArrayBuffer | Buffer[]): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}
