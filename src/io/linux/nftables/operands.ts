// The attributes of one expression, by number.
import { AttrReader } from "../netlink/index.ts";
import { NFTA_DATA_VALUE } from "../uapi/nf-tables.ts";

const NOTHING = new Uint8Array(0);

/** Absent numbers read as 0, absent bytes as none. */
export class Operands {
  readonly #values = new Map<number, Buffer>();

  constructor(attrs?: AttrReader) {
    while (attrs?.next() === true) this.#values.set(attrs.type, Buffer.from(attrs.bytes()));
  }

  has(attr: number): boolean {
    return this.#values.has(attr);
  }

  u8(attr: number): number {
    return this.#values.get(attr)?.readUInt8() ?? 0;
  }

  u16(attr: number): number {
    return this.#values.get(attr)?.readUInt16BE() ?? 0;
  }

  u32(attr: number): number {
    return this.#values.get(attr)?.readUInt32BE() ?? 0;
  }

  u64(attr: number): number {
    return Number(this.#values.get(attr)?.readBigUInt64BE() ?? 0n);
  }

  string(attr: number): string {
    const bytes = this.#values.get(attr) ?? Buffer.alloc(0);
    const end = bytes.indexOf(0);
    return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
  }

  /** The value inside an attribute that holds NFTA_DATA_VALUE. */
  data(attr: number): Uint8Array {
    const bytes = this.#values.get(attr);
    if (bytes === undefined) return NOTHING;
    const nested = new AttrReader(bytes, 0, bytes.length);
    while (nested.next()) if (nested.type === NFTA_DATA_VALUE) return nested.bytes();
    return NOTHING;
  }

  /** Reads an attribute as `decode` does, which is given a reader that stands on it. */
  read<T>(attr: number, decode: (attrs: AttrReader) => T): T | undefined {
    const bytes = this.#values.get(attr);
    if (bytes === undefined) return undefined;
    const whole = Buffer.concat([Buffer.alloc(4), bytes]);
    whole.writeUInt16LE(whole.length, 0);
    const reader = new AttrReader(whole, 0, whole.length);
    reader.next();
    return decode(reader);
  }
}
