// Header blocks of SPDY/3: pairs of length-prefixed names and values, through one zlib stream per direction of a connection
// (draft-mbelshe-httpbis-spdy-00 §2.6.10).

import type { Transform } from "node:stream";
import { constants, createDeflate, createInflate, type Zlib } from "node:zlib";
import { SPDY_DICTIONARY } from "./dictionary.ts";

export type Headers = ReadonlyMap<string, string>;

type ZlibStream = Transform & Zlib;

/** Compresses or decompresses block after block in the order of the calls. */
export class HeaderCodec {
  readonly #deflate: ZlibStream = createDeflate({ dictionary: SPDY_DICTIONARY, flush: constants.Z_SYNC_FLUSH });
  readonly #inflate: ZlibStream = createInflate({ dictionary: SPDY_DICTIONARY, flush: constants.Z_SYNC_FLUSH });

  async encode(headers: Headers): Promise<Buffer> {
    return through(this.#deflate, encodePairs(headers));
  }

  async decode(block: Buffer): Promise<Headers> {
    return decodePairs(await through(this.#inflate, block));
  }

  close(): void {
    this.#deflate.destroy();
    this.#inflate.destroy();
  }
}

/** Everything that comes out of `stream` for `input`: with Z_SYNC_FLUSH that is complete when the write is done. */
function through(stream: ZlibStream, input: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const onData = (chunk: Buffer): void => void chunks.push(chunk);
    const end = (): void => {
      stream.off("data", onData).off("error", onError);
    };
    const onError = (err: Error): void => {
      end();
      reject(err);
    };
    stream.on("data", onData).on("error", onError);
    stream.write(input, () => {
      end();
      resolve(Buffer.concat(chunks));
    });
  });
}

function encodePairs(headers: Headers): Buffer {
  const parts: Buffer[] = [uint32(headers.size)];
  for (const pair of headers) {
    for (const text of pair) {
      const bytes = Buffer.from(text, "utf8");
      parts.push(uint32(bytes.length), bytes);
    }
  }
  return Buffer.concat(parts);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function decodePairs(bytes: Buffer): Headers {
  const headers = new Map<string, string>();
  let at = 4;
  const text = (): string => {
    const end = at + 4 + bytes.readUInt32BE(at);
    const value = bytes.toString("utf8", at + 4, end);
    at = end;
    return value;
  };
  for (let n = bytes.readUInt32BE(0); n > 0; n--) {
    const name = text();
    headers.set(name.toLowerCase(), text());
  }
  return headers;
}
