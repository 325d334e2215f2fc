// The server's side of a SPDY/3.1 connection, as far as Kubernetes' streams use it: the client opens streams, both sides send data and
// half-close, pings are answered. There is no flow control: the clients (moby/spdystream) have none.
import type { Duplex } from "node:stream";
import { controlFrame, dataFrame, FLAG_FIN, FRAME, FrameReader, type SpdyFrame } from "./frames.ts";
import { HeaderCodec, type Headers } from "./headers.ts";

export interface SpdyStream {
  readonly id: number;
  readonly headers: Headers;
  /** Called for data and for the end of what the client sends. */
  onData: (chunk: Buffer) => void;
  onEnd: () => void;
  /** False when the connection's buffer is full: wait for `onDrain`. */
  write(chunk: Uint8Array): boolean;
  end(): void;
  reset(): void;
}

export interface SpdyHandlers {
  onStream(stream: SpdyStream): void;
  onDrain(): void;
  /** Once, when the connection is gone. */
  onClose(): void;
}

export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #handlers: SpdyHandlers;
  readonly #codec = new HeaderCodec();
  readonly #reader = new FrameReader();
  readonly #streams = new Map<number, SpdyStream>();
  /** Frames are handled in order, though header blocks are decoded asynchronously. */
  #tail: Promise<void> = Promise.resolve();

  constructor(socket: Duplex, handlers: SpdyHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    socket.on("data", (chunk: Buffer) => this.#onBytes(chunk));
    socket.on("drain", () => handlers.onDrain());
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.end());
    socket.once("close", () => {
      this.#codec.close();
      handlers.onClose();
    });
  }

  /** What had arrived with the upgrade request. */
  feed(chunk: Buffer): void {
    if (chunk.length > 0) this.#onBytes(chunk);
  }

  /** Sends what is left and closes. */
  close(): void {
    const goaway = Buffer.alloc(8);
    this.#socket.end(controlFrame(FRAME.GOAWAY, 0, goaway));
  }

  #onBytes(chunk: Buffer): void {
    for (const frame of this.#reader.push(chunk)) {
      this.#tail = this.#tail.then(() => this.#onFrame(frame)).catch(() => void this.#socket.destroy());
    }
  }

  async #onFrame(frame: SpdyFrame): Promise<void> {
    if (frame.kind === "data") {
      const stream = this.#streams.get(frame.streamId);
      if (frame.data.length > 0) stream?.onData(frame.data);
      if ((frame.flags & FLAG_FIN) !== 0) stream?.onEnd();
      return;
    }
    switch (frame.type) {
      case FRAME.SYN_STREAM:
        await this.#onSynStream(frame.data, frame.flags);
        return;
      case FRAME.PING:
        this.#socket.write(controlFrame(FRAME.PING, 0, frame.data));
        return;
      case FRAME.RST_STREAM:
        this.#streams.get(frame.data.readUInt32BE(0))?.onEnd();
        return;
      case FRAME.HEADERS:
        // Nobody uses it, but the decompressor must see every block.
        await this.#codec.decode(frame.data.subarray(4));
        return;
    }
  }

  async #onSynStream(data: Buffer, flags: number): Promise<void> {
    const id = data.readUInt32BE(0) & 0x7fffffff;
    // Behind the stream ids: priority and slot, two bytes.
    const headers = await this.#codec.decode(data.subarray(10));
    const stream = this.#makeStream(id, headers);
    this.#streams.set(id, stream);
    const reply = Buffer.alloc(4);
    reply.writeUInt32BE(id);
    const block = await this.#codec.encode(new Map());
    this.#socket.write(controlFrame(FRAME.SYN_REPLY, 0, Buffer.concat([reply, block])));
    this.#handlers.onStream(stream);
    if ((flags & FLAG_FIN) !== 0) stream.onEnd();
  }

  #makeStream(id: number, headers: Headers): SpdyStream {
    const socket = this.#socket;
    const send = (frame: Buffer): boolean => socket.writable && socket.write(frame);
    const reset = Buffer.alloc(8);
    reset.writeUInt32BE(id, 0);
    reset.writeUInt32BE(RST_CANCEL, 4);
    return {
      id,
      headers,
      onData() {},
      onEnd() {},
      write: (chunk) => send(dataFrame(id, 0, chunk)),
      end: () => void send(dataFrame(id, FLAG_FIN, Buffer.alloc(0))),
      reset: () => void send(controlFrame(FRAME.RST_STREAM, 0, reset)),
    };
  }
}

/** RST_STREAM status 5. */
const RST_CANCEL = 5;
