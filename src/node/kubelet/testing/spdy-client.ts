// The client's side of SPDY/3.1 for tests: opens streams as kubectl does.
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from "node:zlib";
import { DICTIONARY } from "../server/spdy/dictionary.ts";
import {
  decodeHeaders,
  encodeControl,
  encodeData,
  FLAG_FIN,
  type Frame,
  FrameReader,
  PING,
  RST_STREAM,
  SYN_REPLY,
  SYN_STREAM,
} from "../server/spdy/frames.ts";

const EXEC: readonly string[] = ["v4.channel.k8s.io", "v3.channel.k8s.io"];
/** Of RST_STREAM: nobody is interested any more. */
const CANCEL = 5;

export class SpdyTestClient {
  /** By stream id: what has come, and whether it has ended. */
  readonly received: Map<number, { text: string; ended: boolean }> = new Map();
  readonly replies: number[] = [];
  readonly pings: number[] = [];
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  readonly #deflate: Deflate = createDeflate({ dictionary: DICTIONARY, flush: constants.Z_SYNC_FLUSH });
  readonly #inflate: Inflate = createInflate({ dictionary: DICTIONARY, finishFlush: constants.Z_SYNC_FLUSH });
  readonly #reader = new FrameReader();
  #next = 1;

  /** Over a connection that is there already, such as a tunnel. */
  static over(carrier: Duplex): SpdyTestClient {
    const client = new SpdyTestClient(carrier);
    carrier.on("data", (data: Buffer) => client.#receive(data));
    return client;
  }

  private constructor(socket: Duplex) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
  }

  /** Asks for the upgrade; rejects with the answer when it is another one. */
  static async open(port: number, path: string, token: string, protocols: readonly string[] = EXEC): Promise<SpdyTestClient> {
    const socket = connect(port, "127.0.0.1");
    const client = new SpdyTestClient(socket);
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: kubelet\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n` +
        `${protocols.map((protocol) => `X-Stream-Protocol-Version: ${protocol}\r\n`).join("")}Content-Length: 0\r\n\r\n`,
    );
    let head = Buffer.alloc(0);
    await new Promise<void>((resolve, reject) => {
      const onData = (chunk: Buffer): void => {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        socket.off("data", onData);
        if (!head.toString().startsWith("HTTP/1.1 101 ")) {
          reject(new Error(head.toString()));
          return;
        }
        socket.on("data", (data: Buffer) => client.#receive(data));
        client.#receive(head.subarray(end + 4));
        resolve();
      };
      socket.on("data", onData);
      socket.once("error", reject);
    });
    return client;
  }

  /** `isLast`: nothing will be sent on it. */
  async openStream(type: string, headers: Readonly<Record<string, string>> = {}, isLast = false): Promise<number> {
    const id = this.#next;
    this.#next += 2;
    this.received.set(id, { text: "", ended: false });
    const word = (text: string): Buffer => {
      const bytes = Buffer.alloc(4 + text.length);
      bytes.writeUInt32BE(text.length);
      bytes.write(text, 4);
      return bytes;
    };
    const all = Object.entries({ streamtype: type, ...headers });
    const block = Buffer.concat([Buffer.of(0, 0, 0, all.length), ...all.flatMap(([name, value]) => [word(name), word(value)])]);
    const header = Buffer.alloc(10);
    header.writeUInt32BE(id);
    this.#socket.write(encodeControl(SYN_STREAM, isLast ? FLAG_FIN : 0, Buffer.concat([header, await through(this.#deflate, block)])));
    return id;
  }

  send(id: number, text: string, isLast = false): void {
    this.#socket.write(encodeData(id, isLast ? FLAG_FIN : 0, Buffer.from(text)));
  }

  reset(id: number): void {
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(id);
    payload.writeUInt32BE(CANCEL, 4);
    this.#socket.write(encodeControl(RST_STREAM, 0, payload));
  }

  close(): void {
    this.#socket.destroy();
  }

  ping(id: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(id);
    this.#socket.write(encodeControl(PING, 0, payload));
  }

  #receive(data: Buffer): void {
    for (const frame of this.#reader.push(data)) this.#handle(frame);
  }

  #handle(frame: Frame): void {
    if (frame.control === PING) this.pings.push(frame.payload.readUInt32BE());
    if (frame.control === SYN_REPLY) {
      this.replies.push(frame.payload.readUInt32BE());
      void through(this.#inflate, frame.payload.subarray(4)).then(decodeHeaders);
    }
    const stream = this.received.get(frame.streamId);
    if (frame.control !== undefined || stream === undefined) return;
    stream.text += frame.payload.toString();
    stream.ended ||= (frame.flags & FLAG_FIN) !== 0;
  }
}

function through(stream: Deflate | Inflate, block: Buffer): Promise<Buffer> {
  return new Promise((resolve) => stream.write(block, () => resolve(stream.read() as Buffer)));
}
