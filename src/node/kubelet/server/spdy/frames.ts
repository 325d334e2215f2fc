// SPDY/3.1 frames, as far as they are used (draft-mbelshe-httpbis-spdy-00 §2.2): from and to bytes. Pure.

const SPDY_VERSION = 3;

export const SYN_STREAM = 1;
export const SYN_REPLY = 2;
export const RST_STREAM = 3;
export const PING = 6;
export const GOAWAY = 7;
export const HEADERS = 8;

export const FLAG_FIN = 0x01;

export interface Frame {
  /** Undefined for a data frame. */
  readonly control: number | undefined;
  /** Of data frames; control frames have it in their payload. */
  readonly streamId: number;
  readonly flags: number;
  readonly payload: Buffer;
}

const HEADER_BYTES = 8;
/** What a sender should not exceed; nothing legitimate comes near it. */
const MAX_PAYLOAD = 1 << 22;

/** Cuts a byte stream into frames. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** Throws when what comes is no SPDY. */
  push(chunk: Buffer): Frame[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    while (this.#rest.length >= HEADER_BYTES) {
      const first = this.#rest.readUInt32BE(0);
      const second = this.#rest.readUInt32BE(4);
      const length = second & 0xff_ff_ff;
      if (length > MAX_PAYLOAD) throw new Error(`a SPDY frame of ${length} bytes is too long`);
      if (this.#rest.length < HEADER_BYTES + length) break;
      const payload = this.#rest.subarray(HEADER_BYTES, HEADER_BYTES + length);
      this.#rest = this.#rest.subarray(HEADER_BYTES + length);
      frames.push(toFrame(first, second >>> 24, payload));
    }
    return frames;
  }
}

function toFrame(first: number, flags: number, payload: Buffer): Frame {
  if (first >>> 31 === 0) return { control: undefined, streamId: first, flags, payload };
  const version = (first >>> 16) & 0x7f_ff;
  if (version !== SPDY_VERSION) throw new Error(`SPDY version ${version} is not supported`);
  return { control: first & 0xff_ff, streamId: 0, flags, payload };
}

export function encodeControl(type: number, flags: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(0x80_00 | SPDY_VERSION, 0);
  header.writeUInt16BE(type, 2);
  header.writeUInt32BE(((flags << 24) | payload.length) >>> 0, 4);
  return Buffer.concat([header, payload]);
}

export function encodeData(streamId: number, flags: number, data: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(streamId, 0);
  header.writeUInt32BE(((flags << 24) | data.length) >>> 0, 4);
  return Buffer.concat([header, data]);
}

/** A decompressed header block (§2.6.10): names in lower case, values as they came. */
export function decodeHeaders(block: Buffer): Map<string, string> {
  const headers = new Map<string, string>();
  let at = 4;
  const text = (): string => {
    const length = block.readUInt32BE(at);
    at += 4 + length;
    return block.toString("latin1", at - length, at);
  };
  for (let count = block.readUInt32BE(0); count > 0; count--) {
    const name = text().toLowerCase();
    headers.set(name, text());
  }
  return headers;
}

/** A header block without headers. */
export const NO_HEADERS: Buffer = Buffer.alloc(4);
