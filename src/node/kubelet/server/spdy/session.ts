// The server's side of a SPDY/3.1 connection as kubectl up to 1.30 makes it: the client opens a stream for each of standard input, output,
// error and so on. Without flow control, which its library (moby/spdystream) does not have either: TCP holds back who is too fast.
import { Duplex } from "node:stream";
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from "node:zlib";
import { DICTIONARY } from "./dictionary.ts";
import {
  decodeHeaders,
  encodeControl,
  encodeData,
  FLAG_FIN,
  type Frame,
  FrameReader,
  GOAWAY,
  HEADERS,
  NO_HEADERS,
  PING,
  RST_STREAM,
  SYN_REPLY,
  SYN_STREAM,
} from "./frames.ts";

const MAX_CHUNK = 32 * 1024;
/** Beyond this nothing more is read from the connection until somebody takes what has come. */
const MAX_UNREAD = 1 << 20;

export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly #session: SpdySession;
  #wanted: (() => void) | undefined;

  constructor(session: SpdySession, id: number, headers: ReadonlyMap<string, string>) {
    super({ allowHalfOpen: true, autoDestroy: false });
    this.#session = session;
    this.id = id;
    this.headers = headers;
    this.on("error", () => {});
  }

  /** What the client sent; resolves when more may come. */
  async receive(data: Buffer, isLast: boolean): Promise<void> {
    if (data.length > 0) this.push(data);
    if (isLast) this.push(null);
    if (this.readableLength < MAX_UNREAD || this.destroyed) return;
    await new Promise<void>((resolve) => {
      this.#wanted = resolve;
      this.once("close", resolve);
    });
  }

  override _read(): void {
    this.#wanted?.();
    this.#wanted = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    let last = Promise.resolve();
    for (let at = 0; at < chunk.length; at += MAX_CHUNK)
      last = this.#session.send(encodeData(this.id, 0, chunk.subarray(at, at + MAX_CHUNK)));
    void last.then(done);
  }

  override _final(done: () => void): void {
    void this.#session.send(encodeData(this.id, FLAG_FIN, Buffer.alloc(0))).then(done);
  }
}

export class SpdySession {
  readonly #socket: Duplex;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #inflate: Inflate = createInflate({ dictionary: DICTIONARY, finishFlush: constants.Z_SYNC_FLUSH });
  readonly #deflate: Deflate = createDeflate({ dictionary: DICTIONARY, flush: constants.Z_SYNC_FLUSH });
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;

  /** Begins to read at once; `head` came together with the request. */
  constructor(socket: Duplex, head: Buffer, onStream: (stream: SpdyStream) => void) {
    this.#socket = socket;
    this.#onStream = onStream;
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    void this.closed.then(() => this.#destroyStreams());
    void this.#read(head).catch(() => socket.destroy());
  }

  /** Resolves when the connection takes more; at once when it has ended. */
  send(bytes: Buffer): Promise<void> {
    if (this.#socket.destroyed || this.#socket.writableEnded) return Promise.resolve();
    if (this.#socket.write(bytes)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.once("drain", resolve);
      this.#socket.once("close", resolve);
    });
  }

  close(): void {
    this.#socket.end();
  }

  #destroyStreams(): void {
    for (const stream of this.#streams.values()) stream.destroy();
    this.#inflate.close();
    this.#deflate.close();
  }

  async #read(head: Buffer): Promise<void> {
    const reader = new FrameReader();
    for (const frame of reader.push(head)) await this.#handle(frame);
    for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
      for (const frame of reader.push(chunk)) await this.#handle(frame);
    }
    this.#socket.end();
  }

  async #handle(frame: Frame): Promise<void> {
    const isLast = (frame.flags & FLAG_FIN) !== 0;
    switch (frame.control) {
      case undefined:
        await this.#streams.get(frame.streamId)?.receive(frame.payload, isLast);
        break;
      case SYN_STREAM:
        await this.#open(frame.payload, isLast);
        break;
      case RST_STREAM:
        this.#streams.get(frame.payload.readUInt32BE(0))?.destroy();
        break;
      case PING:
        await this.send(encodeControl(PING, 0, frame.payload));
        break;
      case GOAWAY:
        this.#socket.end();
        break;
      case HEADERS:
        // Nobody uses them, but the compression context goes through every block.
        await transform(this.#inflate, frame.payload.subarray(4));
        break;
      default:
        // SETTINGS and WINDOW_UPDATE say nothing that matters here.
        break;
    }
  }

  async #open(payload: Buffer, isLast: boolean): Promise<void> {
    const id = payload.readUInt32BE(0) & 0x7f_ff_ff_ff;
    const headers = decodeHeaders(await transform(this.#inflate, payload.subarray(10)));
    const stream = new SpdyStream(this, id, headers);
    this.#streams.set(id, stream);
    stream.once("close", () => this.#streams.delete(id));
    const reply = Buffer.alloc(4);
    reply.writeUInt32BE(id);
    await this.send(encodeControl(SYN_REPLY, 0, Buffer.concat([reply, await transform(this.#deflate, NO_HEADERS)])));
    if (isLast) await stream.receive(Buffer.alloc(0), true);
    this.#onStream(stream);
  }
}

/** One header block through a compression context that lives as long as the connection. */
function transform(stream: Inflate | Deflate, block: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    stream.once("error", reject);
    stream.write(block, () => {
      stream.off("error", reject);
      const out: unknown = stream.read();
      if (Buffer.isBuffer(out)) resolve(out);
      else reject(new Error("a SPDY header block is empty"));
    });
  });
}
