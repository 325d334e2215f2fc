// The client's side of SPDY/3.1 for tests: opens streams as kubectl does.
import { connect, type Socket } from "node:net";
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
  SYN_REPLY,
  SYN_STREAM,
} from "../server/spdy/frames.ts";

export class SpdyTestClient {
  /** By stream id: what has come, and whether it has ended. */
  readonly received: Map<number, { text: string; ended: boolean }> = new Map();
  readonly replies: number[] = [];
  readonly pings: number[] = [];
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #deflate: Deflate = createDeflate({ dictionary: DICTIONARY, flush: constants.Z_SYNC_FLUSH });
  readonly #inflate: Inflate = createInflate({ dictionary: DICTIONARY, finishFlush: constants.Z_SYNC_FLUSH });
  readonly #reader = new FrameReader();
  #next = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
  }

  /** Asks for the upgrade; rejects with the answer when it is another one. */
  static async open(port: number, path: string, token: string): Promise<SpdyTestClient> {
    const socket = connect(port, "127.0.0.1");
    const client = new SpdyTestClient(socket);
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: kubelet\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n` +
        "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\nContent-Length: 0\r\n\r\n",
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

  async openStream(type: string): Promise<number> {
    const id = this.#next;
    this.#next += 2;
    this.received.set(id, { text: "", ended: false });
    const word = (text: string): Buffer => {
      const bytes = Buffer.alloc(4 + text.length);
      bytes.writeUInt32BE(text.length);
      bytes.write(text, 4);
      return bytes;
    };
    const block = Buffer.concat([Buffer.of(0, 0, 0, 1), word("streamtype"), word(type)]);
    const header = Buffer.alloc(10);
    header.writeUInt32BE(id);
    this.#socket.write(encodeControl(SYN_STREAM, 0, Buffer.concat([header, await through(this.#deflate, block)])));
    return id;
  }

  send(id: number, text: string, isLast = false): void {
    this.#socket.write(encodeData(id, isLast ? FLAG_FIN : 0, Buffer.from(text)));
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
