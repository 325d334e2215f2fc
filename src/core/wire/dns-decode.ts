import { addrFromBytes } from "#ip";
import { decodeDnsName } from "./dns-names.ts";
import {
  DNS_TYPE,
  type DnsData,
  DnsFormatError,
  type DnsMessage,
  type DnsQuestion,
  type DnsRecord,
  type Edns,
  type EdnsOption,
} from "./dns-types.ts";

const HEADER_BYTES = 12;

class Cursor {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  name(): string {
    const { name, end } = decodeDnsName(this.bytes, this.at);
    this.at = end;
    return name;
  }

  take(length: number): Uint8Array {
    const from = this.#advance(length);
    return this.bytes.slice(from, from + length);
  }

  #advance(length: number): number {
    const from = this.at;
    if (from + length > this.bytes.length)
      throw new DnsFormatError(`the message ends in the middle of a field, at byte ${this.bytes.length}`);
    this.at += length;
    return from;
  }
}

interface OptRecord {
  readonly edns: Edns;
  readonly extendedRcode: number;
}

/** Reads a whole message. Throws DnsFormatError. Bytes after the last record are ignored, as servers do. */
export function decodeDns(bytes: Uint8Array): DnsMessage {
  if (bytes.length < HEADER_BYTES) throw new DnsFormatError(`${bytes.length} bytes are too few for a DNS message`);
  const cursor = new Cursor(bytes);
  const id = cursor.u16();
  const flags = cursor.u16();
  const counts = [cursor.u16(), cursor.u16(), cursor.u16(), cursor.u16()] as const;
  const questions = times(counts[0], () => decodeQuestion(cursor));
  const opts: OptRecord[] = [];
  const records = (count: number): DnsRecord[] =>
    times(count, () => decodeRecord(cursor)).flatMap((record) => {
      if (!("edns" in record)) return [record];
      opts.push(record);
      return [];
    });
  const answers = records(counts[1]);
  const authorities = records(counts[2]);
  if (opts.length > 0) throw new DnsFormatError("there is an OPT record outside the additional section");
  const additionals = records(counts[3]);
  if (opts.length > 1) throw new DnsFormatError("there is more than one OPT record");
  const opt = opts[0];
  return {
    id,
    ...decodeFlags(flags),
    rcode: (flags & 0xf) | ((opt?.extendedRcode ?? 0) << 4),
    questions,
    answers,
    authorities,
    additionals,
    ...(opt === undefined ? {} : { edns: opt.edns }),
  };
}

function decodeFlags(flags: number): Omit<DnsMessage, "id" | "rcode" | "questions" | "answers" | "authorities" | "additionals" | "edns"> {
  return {
    response: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 0xf,
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    recursionDesired: (flags & 0x0100) !== 0,
    recursionAvailable: (flags & 0x0080) !== 0,
    authenticData: (flags & 0x0020) !== 0,
    checkingDisabled: (flags & 0x0010) !== 0,
  };
}

/** A count may promise more than there is: reading stops with an error at the end of the bytes, never by allocating. */
function times<T>(count: number, read: () => T): T[] {
  const out: T[] = [];
  for (let i = 0; i < count; i++) out.push(read());
  return out;
}

function decodeQuestion(cursor: Cursor): DnsQuestion {
  return { name: cursor.name(), type: cursor.u16(), class: cursor.u16() };
}

function decodeRecord(cursor: Cursor): DnsRecord | OptRecord {
  const name = cursor.name();
  const type = cursor.u16();
  const classOrSize = cursor.u16();
  const ttl = cursor.u32();
  const length = cursor.u16();
  const end = cursor.at + length;
  if (end > cursor.bytes.length) throw new DnsFormatError("the data of a record runs past the end of the message");
  if (type === DNS_TYPE.OPT) {
    if (name !== "") throw new DnsFormatError("the OPT record's name is not the root");
    return { edns: decodeEdns(cursor, end, classOrSize, ttl), extendedRcode: ttl >>> 24 };
  }
  const data = decodeData(cursor, type, length);
  if (cursor.at !== end) throw new DnsFormatError(`the data of a record has ${length} bytes, but its type needs another number`);
  return { name, ttlSeconds: ttl, class: classOrSize, ...data };
}

function decodeEdns(cursor: Cursor, end: number, udpSize: number, ttl: number): Edns {
  const options: EdnsOption[] = [];
  while (cursor.at < end) {
    const code = cursor.u16();
    options.push({ code, data: cursor.take(cursor.u16()) });
  }
  if (cursor.at !== end) throw new DnsFormatError("an option of the OPT record runs past the record's end");
  return { udpSize, version: (ttl >>> 16) & 0xff, dnssecOk: (ttl & 0x8000) !== 0, options };
}

function decodeData(cursor: Cursor, type: number, length: number): DnsData {
  switch (type) {
    case DNS_TYPE.A:
    case DNS_TYPE.AAAA: {
      const wanted = type === DNS_TYPE.A ? 4 : 16;
      if (length !== wanted) throw new DnsFormatError(`an address has ${length} bytes, not ${wanted}`);
      return { type: type === DNS_TYPE.A ? "A" : "AAAA", address: addrFromBytes(cursor.take(length)) };
    }
    case DNS_TYPE.CNAME:
      return { type: "CNAME", target: cursor.name() };
    case DNS_TYPE.NS:
      return { type: "NS", target: cursor.name() };
    case DNS_TYPE.PTR:
      return { type: "PTR", target: cursor.name() };
    case DNS_TYPE.SRV:
      return { type: "SRV", priority: cursor.u16(), weight: cursor.u16(), port: cursor.u16(), target: cursor.name() };
    case DNS_TYPE.TXT:
      return { type: "TXT", strings: decodeStrings(cursor, cursor.at + length) };
    case DNS_TYPE.SOA:
      return {
        type: "SOA",
        primary: cursor.name(),
        mailbox: cursor.name(),
        serial: cursor.u32(),
        refreshSeconds: cursor.u32(),
        retrySeconds: cursor.u32(),
        expireSeconds: cursor.u32(),
        minimumSeconds: cursor.u32(),
      };
    default:
      return { type: "other", code: type, data: cursor.take(length) };
  }
}

function decodeStrings(cursor: Cursor, end: number): Uint8Array[] {
  const strings: Uint8Array[] = [];
  while (cursor.at < end) strings.push(cursor.take(cursor.take(1)[0] ?? 0));
  return strings;
}
