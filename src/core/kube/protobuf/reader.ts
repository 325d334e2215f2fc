// The protobuf wire format: varints and length-delimited pieces (protobuf.dev/programming-guides/encoding).
import { InputError } from "#base";

export type WireType = 0 | 1 | 2 | 5;

export interface Tag {
  readonly number: number;
  readonly wire: WireType;
}

const utf8: TextDecoder = new TextDecoder("utf-8", { fatal: true });

/** Reads a slice of bytes from front to back; throws InputError where they end too early. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  tag(): Tag {
    const key = this.varint32();
    const wire = key & 7;
    if (wire !== 0 && wire !== 1 && wire !== 2 && wire !== 5) throw damaged(`wire type ${wire} at byte ${this.#at} is not supported`);
    return { number: key >>> 3, wire };
  }

  /** The low 32 bits, signed. */
  varint32(): number {
    return Number(BigInt.asIntN(32, this.#varint()));
  }

  /** As a JSON number: beyond 2^53 it loses digits, as any JSON number does in JavaScript. */
  varint64(): number {
    return Number(BigInt.asIntN(64, this.#varint()));
  }

  #varint(): bigint {
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt(low);
    }
    let value = BigInt(low);
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw damaged(`the number before byte ${this.#at} has more than ten bytes`);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw damaged(`it ends at byte ${this.#bytes.length}, inside of a number`);
    return byte;
  }

  double(): number {
    const bytes = this.#take(8);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
  }

  bytes(): Uint8Array {
    return this.#take(this.varint32());
  }

  string(): string {
    const bytes = this.bytes();
    try {
      return utf8.decode(bytes);
    } catch {
      throw damaged(`the text before byte ${this.#at} is not UTF-8`);
    }
  }

  skip(wire: WireType): void {
    if (wire === 0) this.#varint();
    else if (wire === 2) this.bytes();
    else this.#take(wire === 1 ? 8 : 4);
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length)
      throw damaged(`it ends at byte ${this.#bytes.length}, before byte ${end} that a length speaks of`);
    const piece = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return piece;
  }
}

export function damaged(why: string): InputError {
  return new InputError("body", `cannot read the protobuf message: ${why}`);
}
