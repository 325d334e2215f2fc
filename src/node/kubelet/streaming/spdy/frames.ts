// Frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00 §2.2, §2.6): cutting them out of a byte stream, and making them.

const VERSION = 3;
export const FLAG_FIN = 0x01;

export const FRAME = { SYN_STREAM: 1, SYN_REPLY: 2, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7, HEADERS: 8, WINDOW_UPDATE: 9 } as const;

export type SpdyFrame =
  | { readonly kind: "data"; readonly streamId: number; readonly flags: number; readonly data: Buffer }
  | { readonly kind: "control"; readonly type: number; readonly flags: number; readonly data: Buffer };

const HEADER_BYTES = 8;

/** Cuts frames out of chunks as they arrive. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): SpdyFrame[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: SpdyFrame[] = [];
    for (;;) {
      const length = this.#rest.length < HEADER_BYTES ? Number.POSITIVE_INFINITY : HEADER_BYTES + this.#rest.readUIntBE(5, 3);
      if (this.#rest.length < length) return frames;
      frames.push(parseFrame(this.#rest.subarray(0, length)));
      this.#rest = this.#rest.subarray(length);
    }
  }
}

function parseFrame(bytes: Buffer): SpdyFrame {
  const first = bytes.readUInt32BE(0);
  const flags = bytes.readUInt8(4);
  const data = bytes.subarray(HEADER_BYTES);
  if (first >>> 31 === 0) return { kind: "data", streamId: first, flags, data };
  return { kind: "control", type: first & 0xffff, flags, data };
}

export function controlFrame(type: number, flags: number, data: Buffer): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(0x8000 | VERSION, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(data.length, 5, 3);
  return Buffer.concat([head, data]);
}

export function dataFrame(streamId: number, flags: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt32BE(streamId, 0);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(data.length, 5, 3);
  return Buffer.concat([head, data]);
}
