// Builds netlink messages, one or many, in one growing buffer that is sent as it stands.
// Integers are in host order, which on all machines we run on is little endian; the *be methods write network order.
import { NLA_F_NESTED, NLA_HDRLEN, NLM_F_REQUEST, NLMSG_HDRLEN } from "../uapi/netlink.ts";

let lastSeq = 0;

function nextSeq(): number {
  lastSeq = (lastSeq + 1) >>> 0 || 1;
  return lastSeq;
}

export class MessageWriter {
  #buf: Buffer;
  #at = 0;
  #messageStart = -1;
  #messages = 0;
  #lastSeq = 0;

  constructor(initialBytes = 1024) {
    this.#buf = Buffer.allocUnsafeSlow(initialBytes);
  }

  /** The whole buffer; the first `byteLength` bytes of it are written. */
  get buffer(): Buffer {
    return this.#buf;
  }

  get byteLength(): number {
    return this.#at;
  }

  get messages(): number {
    return this.#messages;
  }

  /** The sequence number of the last message. Those before need not count up by one: all writers count together. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** A copy of what is written. */
  bytes(): Uint8Array {
    return Uint8Array.from(this.#buf.subarray(0, this.#at));
  }

  /** Starts a message (NLM_F_REQUEST is added to `flags`) and returns its sequence number. */
  begin(type: number, flags: number): number {
    const seq = nextSeq();
    this.#reserve(NLMSG_HDRLEN);
    this.#messageStart = this.#at;
    const at = this.#at;
    this.#buf.writeUInt32LE(0, at);
    this.#buf.writeUInt16LE(type, at + 4);
    this.#buf.writeUInt16LE(flags | NLM_F_REQUEST, at + 6);
    this.#buf.writeUInt32LE(seq, at + 8);
    this.#buf.writeUInt32LE(0, at + 12);
    this.#at = at + NLMSG_HDRLEN;
    this.#messages++;
    this.#lastSeq = seq;
    return seq;
  }

  /** Ends the message that `begin` started: writes its length. */
  end(): void {
    this.#buf.writeUInt32LE(this.#at - this.#messageStart, this.#messageStart);
    this.#align();
    this.#messageStart = -1;
  }

  reset(): void {
    this.#at = 0;
    this.#messages = 0;
  }

  // Fields of the family's fixed header, which stands between the message header and the attributes.
  putU8(value: number): this {
    this.#reserve(1);
    this.#buf[this.#at++] = value;
    return this;
  }

  putU16(value: number): this {
    this.#reserve(2);
    this.#at = this.#buf.writeUInt16LE(value, this.#at);
    return this;
  }

  putU16be(value: number): this {
    this.#reserve(2);
    this.#at = this.#buf.writeUInt16BE(value, this.#at);
    return this;
  }

  putU32(value: number): this {
    this.#reserve(4);
    this.#at = this.#buf.writeUInt32LE(value >>> 0, this.#at);
    return this;
  }

  putU32be(value: number): this {
    this.#reserve(4);
    this.#at = this.#buf.writeUInt32BE(value >>> 0, this.#at);
    return this;
  }

  putBytes(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#buf.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  // Attributes.
  u8(type: number, value: number): this {
    this.#attr(type, 1);
    this.#buf[this.#at] = value;
    this.#at += 1;
    this.#align();
    return this;
  }

  u16(type: number, value: number): this {
    this.#attr(type, 2);
    this.#at = this.#buf.writeUInt16LE(value, this.#at);
    this.#align();
    return this;
  }

  u16be(type: number, value: number): this {
    this.#attr(type, 2);
    this.#at = this.#buf.writeUInt16BE(value, this.#at);
    this.#align();
    return this;
  }

  u32(type: number, value: number): this {
    this.#attr(type, 4);
    this.#at = this.#buf.writeUInt32LE(value >>> 0, this.#at);
    return this;
  }

  u32be(type: number, value: number): this {
    this.#attr(type, 4);
    this.#at = this.#buf.writeUInt32BE(value >>> 0, this.#at);
    return this;
  }

  u64(type: number, value: number | bigint): this {
    this.#attr(type, 8);
    this.#at = this.#buf.writeBigUInt64LE(BigInt(value), this.#at);
    return this;
  }

  u64be(type: number, value: number | bigint): this {
    this.#attr(type, 8);
    this.#at = this.#buf.writeBigUInt64BE(BigInt(value), this.#at);
    return this;
  }

  attrBytes(type: number, value: Uint8Array): this {
    this.#attr(type, value.length);
    this.#buf.set(value, this.#at);
    this.#at += value.length;
    this.#align();
    return this;
  }

  /** A string with its terminating zero (NLA_NUL_STRING). */
  string(type: number, value: string): this {
    const length = Buffer.byteLength(value);
    this.#attr(type, length + 1);
    this.#buf.write(value, this.#at);
    this.#at += length;
    this.#buf[this.#at++] = 0;
    this.#align();
    return this;
  }

  /** An attribute without a value. */
  flag(type: number): this {
    this.#attr(type, 0);
    return this;
  }

  /** Opens a nested attribute; give what it returns to `closeNest`. */
  openNest(type: number): number {
    const at = this.#at;
    this.#attr(type | NLA_F_NESTED, 0);
    return at;
  }

  closeNest(at: number): this {
    this.#buf.writeUInt16LE(this.#at - at, at);
    return this;
  }

  nest(type: number, fill: () => void): this {
    const at = this.openNest(type);
    fill();
    return this.closeNest(at);
  }

  #attr(type: number, length: number): void {
    this.#reserve(NLA_HDRLEN + length + 3);
    this.#buf.writeUInt16LE(NLA_HDRLEN + length, this.#at);
    this.#buf.writeUInt16LE(type, this.#at + 2);
    this.#at += NLA_HDRLEN;
  }

  #align(): void {
    const padding = -this.#at & 3;
    if (padding === 0) return;
    this.#reserve(padding);
    this.#buf.fill(0, this.#at, this.#at + padding);
    this.#at += padding;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buf.length) return;
    const bigger = Buffer.allocUnsafeSlow(Math.max(this.#buf.length * 2, this.#at + bytes));
    this.#buf.copy(bigger, 0, 0, this.#at);
    this.#buf = bigger;
  }
}
