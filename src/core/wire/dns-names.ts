import { DnsFormatError } from "./dns-types.ts";

const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
const DOT = 0x2e;
const BACKSLASH = 0x5c;

export interface NameAt {
  readonly name: string;
  /** Where the bytes after the name begin. */
  readonly end: number;
}

/** Reads the name at `at`, following compression pointers (RFC 1035 §4.1.4), which may only point backwards. */
export function decodeDnsName(bytes: Uint8Array, at: number): NameAt {
  const labels: string[] = [];
  let size = 1;
  let pos = at;
  let end = -1;
  let lowest = at;
  for (;;) {
    const length = bytes[pos];
    if (length === undefined) throw new DnsFormatError(`the name at byte ${at} runs past the end of the message`);
    if (length === 0) break;
    if (length >= 0xc0) {
      const low = bytes[pos + 1];
      if (low === undefined) throw new DnsFormatError(`the name at byte ${at} runs past the end of the message`);
      if (end < 0) end = pos + 2;
      pos = ((length & 0x3f) << 8) | low;
      // Strictly backwards, so that no chain of pointers can be endless.
      if (pos >= lowest) throw new DnsFormatError(`the name at byte ${at} has a compression pointer that does not point backwards`);
      lowest = pos;
      continue;
    }
    if (length > MAX_LABEL_BYTES) throw new DnsFormatError(`the name at byte ${at} has a label of an unknown kind`);
    size += length + 1;
    if (size > MAX_NAME_BYTES) throw new DnsFormatError(`the name at byte ${at} is longer than ${MAX_NAME_BYTES} bytes`);
    labels.push(decodeLabel(bytes, pos + 1, pos + 1 + length));
    pos += length + 1;
  }
  return { name: labels.join("."), end: end < 0 ? pos + 1 : end };
}

function decodeLabel(bytes: Uint8Array, from: number, to: number): string {
  if (to > bytes.length) throw new DnsFormatError("a label runs past the end of the message");
  let text = "";
  for (let i = from; i < to; i++) text += formatByte(bytes[i] ?? 0);
  return text;
}

function formatByte(byte: number): string {
  if (byte === DOT || byte === BACKSLASH) return `\\${String.fromCharCode(byte)}`;
  if (byte > 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return `\\${String(byte).padStart(3, "0")}`;
}

/** The labels of a name, each still escaped. A final dot is allowed and means nothing. */
export function splitDnsName(name: string): string[] {
  const absolute = name.endsWith(".") && !/(^|[^\\])(\\\\)*\\\.$/.test(name) ? name.slice(0, -1) : name;
  if (absolute === "") return [];
  return absolute.includes("\\") ? splitEscaped(absolute) : absolute.split(".");
}

function splitEscaped(name: string): string[] {
  const labels: string[] = [];
  let from = 0;
  for (let i = 0; i < name.length; i++) {
    if (name[i] === "\\") i++;
    else if (name[i] === ".") {
      labels.push(name.slice(from, i));
      from = i + 1;
    }
  }
  labels.push(name.slice(from));
  return labels;
}

/** The bytes of one label, without its length. Throws DnsFormatError. */
export function encodeDnsLabel(label: string): Uint8Array {
  const bytes: number[] = [];
  for (let i = 0; i < label.length; i++) {
    let code = label.charCodeAt(i);
    if (code === BACKSLASH) {
      const digits = /^\d{3}/.exec(label.slice(i + 1))?.[0];
      code = digits === undefined ? label.charCodeAt(i + 1) : Number(digits);
      i += digits === undefined ? 1 : 3;
    }
    if (!(code <= 0xff)) throw new DnsFormatError(`the label "${label}" has a character that is not a byte; write it as \\DDD`);
    bytes.push(code);
  }
  if (bytes.length === 0 || bytes.length > MAX_LABEL_BYTES) {
    throw new DnsFormatError(`the label "${label}" has ${bytes.length} bytes, not 1 to ${MAX_LABEL_BYTES}`);
  }
  return Uint8Array.from(bytes);
}

/** The uncompressed bytes of a name. Throws DnsFormatError. */
export function encodeDnsName(name: string): Uint8Array {
  const labels = splitDnsName(name).map(encodeDnsLabel);
  const size = labels.reduce((sum, label) => sum + label.length + 1, 1);
  if (size > MAX_NAME_BYTES) throw new DnsFormatError(`the name "${name}" is longer than ${MAX_NAME_BYTES} bytes`);
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const label of labels) {
    bytes[at] = label.length;
    bytes.set(label, at + 1);
    at += label.length + 1;
  }
  return bytes;
}
