import { encodeDnsName, splitDnsName } from "./dns-names.ts";
import { DNS_CLASS_IN, DNS_TYPE, DnsFormatError, type DnsMessage, type DnsRecord, dnsRecordType, type Edns } from "./dns-types.ts";

const MAX_MESSAGE_BYTES = 65535;
const MAX_POINTER = 0x3fff;
const HEADER_BYTES = 12;
const TRUNCATED = 0x0200;

/** A growing buffer that remembers where names stand, so that later ones can point there. */
class Writer {
  #bytes: Uint8Array = new Uint8Array(512);
  #view: DataView = new DataView(this.#bytes.buffer);
  readonly #names: [name: string, at: number][] = [];
  readonly #offsets = new Map<string, number>();
  at = 0;

  u16(value: number): void {
    const at = this.#grow(2);
    this.#view.setUint16(at, value);
  }

  u32(value: number): void {
    const at = this.#grow(4);
    this.#view.setUint32(at, value);
  }

  setU16(at: number, value: number): void {
    this.#view.setUint16(at, value);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** A name with compression. Only names of the same case are shared: the question's case must come back as it was (0x20). */
  name(name: string): void {
    const encoded = encodeDnsName(name);
    const labels = splitDnsName(name);
    let from = 0;
    for (let i = 0; i < labels.length; i++) {
      const suffix = labels.slice(i).join(".");
      const known = this.#offsets.get(suffix);
      if (known !== undefined) {
        this.u16(0xc000 | known);
        return;
      }
      if (this.at <= MAX_POINTER) {
        this.#offsets.set(suffix, this.at);
        this.#names.push([suffix, this.at]);
      }
      const size = (encoded[from] ?? 0) + 1;
      this.raw(encoded.subarray(from, from + size));
      from += size;
    }
    this.raw(Uint8Array.of(0));
  }

  /** Takes back everything from `at` on. */
  rewind(at: number): void {
    this.at = at;
    while ((this.#names.at(-1)?.[1] ?? -1) >= at) this.#offsets.delete(this.#names.pop()?.[0] ?? "");
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.at);
  }

  #grow(length: number): number {
    const from = this.at;
    this.at += length;
    if (this.at > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.at, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return from;
  }
}

/**
 * Writes a message in at most `maxBytes`. Records that do not fit are left out, from the end; TC is set when that hits the answer
 * or the authority (RFC 2181 §9: additional records are a courtesy). The OPT record always stays.
 */
export function encodeDns(message: DnsMessage, maxBytes: number = MAX_MESSAGE_BYTES): Uint8Array {
  const writer = new Writer();
  writer.u16(message.id);
  writer.u16(encodeFlags(message));
  writer.u16(message.questions.length);
  for (let i = 0; i < 3; i++) writer.u16(0);
  for (const question of message.questions) {
    writer.name(question.name);
    writer.u16(question.type);
    writer.u16(question.class);
  }
  const limit = Math.min(maxBytes, MAX_MESSAGE_BYTES) - (message.edns === undefined ? 0 : ednsBytes(message.edns));
  const sections = [message.answers, message.authorities, message.additionals];
  let full = false;
  let truncated = message.truncated;
  for (const [i, section] of sections.entries()) {
    const written: number = full ? 0 : writeSection(writer, section, limit);
    const cut: boolean = written < section.length;
    full ||= cut;
    if (cut && i < 2) truncated = true;
    writer.setU16(HEADER_BYTES - 6 + 2 * i, written);
    if (i === 2 && message.edns !== undefined) {
      writeEdns(writer, message.edns, message.rcode >> 4);
      writer.setU16(HEADER_BYTES - 2, written + 1);
    }
  }
  if (truncated) writer.setU16(2, encodeFlags(message) | TRUNCATED);
  return writer.finish();
}

function encodeFlags(message: DnsMessage): number {
  return (
    (message.response ? 0x8000 : 0) |
    ((message.opcode & 0xf) << 11) |
    (message.authoritative ? 0x0400 : 0) |
    (message.truncated ? TRUNCATED : 0) |
    (message.recursionDesired ? 0x0100 : 0) |
    (message.recursionAvailable ? 0x0080 : 0) |
    (message.authenticData ? 0x0020 : 0) |
    (message.checkingDisabled ? 0x0010 : 0) |
    (message.rcode & 0xf)
  );
}

/** Returns how many records fit. */
function writeSection(writer: Writer, records: readonly DnsRecord[], limit: number): number {
  for (const [i, record] of records.entries()) {
    const before = writer.at;
    writeRecord(writer, record);
    if (writer.at > limit) {
      writer.rewind(before);
      return i;
    }
  }
  return records.length;
}

function writeRecord(writer: Writer, record: DnsRecord): void {
  writer.name(record.name);
  writer.u16(dnsRecordType(record));
  writer.u16(record.class ?? DNS_CLASS_IN);
  writer.u32(record.ttlSeconds);
  const lengthAt = writer.at;
  writer.u16(0);
  writeData(writer, record);
  writer.setU16(lengthAt, writer.at - lengthAt - 2);
}

function writeData(writer: Writer, record: DnsRecord): void {
  switch (record.type) {
    case "A":
    case "AAAA":
      if ((record.type === "A" ? 4 : 6) !== record.address.family) {
        throw new DnsFormatError(`${record.name}: an ${record.type} record cannot hold an address of IPv${record.address.family}`);
      }
      writer.raw(record.address.bytes);
      break;
    case "CNAME":
    case "NS":
    case "PTR":
      writer.name(record.target);
      break;
    case "SRV":
      for (const value of [record.priority, record.weight, record.port]) writer.u16(value);
      // RFC 2782: the target is not compressed.
      writer.raw(encodeDnsName(record.target));
      break;
    case "TXT":
      for (const text of record.strings) writeString(writer, text);
      break;
    case "SOA":
      writer.name(record.primary);
      writer.name(record.mailbox);
      for (const value of [record.serial, record.refreshSeconds, record.retrySeconds, record.expireSeconds, record.minimumSeconds]) {
        writer.u32(value);
      }
      break;
    case "other":
      writer.raw(record.data);
  }
}

function writeString(writer: Writer, text: Uint8Array): void {
  if (text.length > 255) throw new DnsFormatError(`a string of a TXT record has ${text.length} bytes, more than 255`);
  writer.raw(Uint8Array.of(text.length, ...text));
}

function ednsBytes(edns: Edns): number {
  return 11 + edns.options.reduce((sum, option) => sum + 4 + option.data.length, 0);
}

function writeEdns(writer: Writer, edns: Edns, extendedRcode: number): void {
  writer.raw(Uint8Array.of(0));
  writer.u16(DNS_TYPE.OPT);
  writer.u16(edns.udpSize);
  writer.u32((((extendedRcode & 0xff) << 24) | (edns.version << 16) | (edns.dnssecOk ? 0x8000 : 0)) >>> 0);
  writer.u16(ednsBytes(edns) - 11);
  for (const { code, data } of edns.options) {
    writer.u16(code);
    writer.u16(data.length);
    writer.raw(data);
  }
}
