// Reads netlink messages where they lie: a message and its attributes are positions in the buffer that was received.
// Values read (`bytes`, `string`) are copies; a NetlinkMessage itself is valid only as long as its buffer is.
import { NLA_HDRLEN, NLA_TYPE_MASK, NLMSG_HDRLEN } from "../uapi/netlink.ts";

export class NetlinkMessage {
  readonly buf: Buffer;
  /** Where the message's header starts, and where the message ends. */
  readonly start: number;
  readonly end: number;
  readonly type: number;
  readonly flags: number;
  readonly seq: number;

  constructor(buf: Buffer, start: number, end: number) {
    this.buf = buf;
    this.start = start;
    this.end = end;
    this.type = buf.readUInt16LE(start + 4);
    this.flags = buf.readUInt16LE(start + 6);
    this.seq = buf.readUInt32LE(start + 8);
  }

  /** Where the family's fixed header starts. */
  get payload(): number {
    return this.start + NLMSG_HDRLEN;
  }

  /** The attributes after a fixed header of `headerBytes`. */
  attrs(headerBytes: number): AttrReader {
    return new AttrReader(this.buf, this.payload + ((headerBytes + 3) & ~3), this.end);
  }

  /** A message with memory of its own. */
  copy(): NetlinkMessage {
    const own = Buffer.from(this.buf.subarray(this.start, this.end));
    return new NetlinkMessage(own, 0, own.length);
  }
}

/** The messages of one datagram. A broken length ends it. */
export function* splitMessages(buf: Buffer, length: number): Generator<NetlinkMessage, void, void> {
  let at = 0;
  while (at + NLMSG_HDRLEN <= length) {
    const size = buf.readUInt32LE(at);
    if (size < NLMSG_HDRLEN || at + size > length) return;
    yield new NetlinkMessage(buf, at, at + size);
    at += (size + 3) & ~3;
  }
}

/** Goes over attributes: `while (attrs.next()) switch (attrs.type) { case IFLA_MTU: mtu = attrs.u32(); }`. */
export class AttrReader {
  readonly #buf: Buffer;
  readonly #end: number;
  #next: number;
  /** Type without the nested and byte order flags, and where the value starts and ends. */
  type = 0;
  start = 0;
  stop = 0;

  constructor(buf: Buffer, start: number, end: number) {
    this.#buf = buf;
    this.#next = start;
    this.#end = end;
  }

  next(): boolean {
    const at = this.#next;
    if (at + NLA_HDRLEN > this.#end) return false;
    const length = this.#buf.readUInt16LE(at);
    if (length < NLA_HDRLEN || at + length > this.#end) return false;
    this.type = this.#buf.readUInt16LE(at + 2) & NLA_TYPE_MASK;
    this.start = at + NLA_HDRLEN;
    this.stop = at + length;
    this.#next = at + ((length + 3) & ~3);
    return true;
  }

  get length(): number {
    return this.stop - this.start;
  }

  u8(): number {
    return this.#buf.readUInt8(this.start);
  }

  u16(): number {
    return this.#buf.readUInt16LE(this.start);
  }

  u16be(): number {
    return this.#buf.readUInt16BE(this.start);
  }

  u32(): number {
    return this.#buf.readUInt32LE(this.start);
  }

  u32be(): number {
    return this.#buf.readUInt32BE(this.start);
  }

  i32(): number {
    return this.#buf.readInt32LE(this.start);
  }

  u64(): bigint {
    return this.#buf.readBigUInt64LE(this.start);
  }

  u64be(): bigint {
    return this.#buf.readBigUInt64BE(this.start);
  }

  bytes(): Uint8Array {
    // Most are addresses; for those a loop is several times faster than a subarray and its copy.
    const out = new Uint8Array(this.stop - this.start);
    if (out.length > 32) out.set(this.#buf.subarray(this.start, this.stop));
    else for (let i = 0; i < out.length; i++) out[i] = this.#buf[this.start + i] ?? 0;
    return out;
  }

  /** The text up to its terminating zero. */
  string(): string {
    const zero = this.#buf.indexOf(0, this.start);
    return this.#buf.toString("utf8", this.start, zero < 0 || zero > this.stop ? this.stop : zero);
  }

  nested(): AttrReader {
    return new AttrReader(this.#buf, this.start, this.stop);
  }
}
