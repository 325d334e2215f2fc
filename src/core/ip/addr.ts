import { InputError } from "#base";

/** 4 or 6. */
export type Family = 4 | 6;

export const FAMILIES: readonly Family[] = [4, 6];

/** An IP address as a value: `bytes` has 4 or 16 bytes in network order and is never changed after it was made. */
export interface Addr {
  readonly family: Family;
  readonly bytes: Uint8Array;
}

export interface AddrPort {
  readonly addr: Addr;
  readonly port: number;
}

export function addrFromBytes(bytes: Uint8Array): Addr {
  if (bytes.length !== 4 && bytes.length !== 16) throw new InputError("address", `has ${bytes.length} bytes, not 4 or 16`);
  return { family: bytes.length === 4 ? 4 : 6, bytes };
}

/** Parses `10.0.0.1` or `fd00::1` (RFC 4291 §2.2, embedded IPv4 included; no zone, no leading zeros in IPv4: CVE-2021-29923). */
export function parseAddr(text: string, field = "address"): Addr {
  const addr = tryParseAddr(text);
  if (addr === undefined) throw new InputError(field, `"${text}" is not an IP address`);
  return addr;
}

export function tryParseAddr(text: string): Addr | undefined {
  const bytes = text.includes(":") ? parse6(text) : parse4(text);
  return bytes && { family: bytes.length === 4 ? 4 : 6, bytes };
}

function parse4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parse6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const gap = 16 - head.length - tail.length;
  if (halves.length === 1 ? gap !== 0 : gap < 2) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set(head);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** The bytes of `a:b:c`, the last group possibly an IPv4 address where `last` says that the text ends the address. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const out: number[] = [];
  const groups = text.split(":");
  for (const [i, group] of groups.entries()) {
    if (last && i === groups.length - 1 && group.includes(".")) {
      const four = parse4(group);
      if (four === undefined) return undefined;
      out.push(...four);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      out.push(value >> 8, value & 0xff);
    } else return undefined;
  }
  return out;
}

/** The canonical text: dotted decimal, or RFC 5952 for IPv6. */
export function formatAddr(addr: Addr): string {
  const b = addr.bytes;
  if (addr.family === 4) return `${b[0]}.${b[1]}.${b[2]}.${b[3]}`;
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((b[i] ?? 0) << 8) | (b[i + 1] ?? 0));
  if (isMapped(groups)) return `::ffff:${b[12]}.${b[13]}.${b[14]}.${b[15]}`;
  const gap = longestZeros(groups);
  const hex = (part: number[]): string => part.map((g) => g.toString(16)).join(":");
  if (gap.length < 2) return hex(groups);
  return `${hex(groups.slice(0, gap.start))}::${hex(groups.slice(gap.start + gap.length))}`;
}

function isMapped(groups: readonly number[]): boolean {
  return groups[5] === 0xffff && groups.slice(0, 5).every((g) => g === 0);
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (i < groups.length && groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}

/** `10.0.0.1:80` or `[fd00::1]:80`. */
export function formatAddrPort(addr: Addr, port: number): string {
  return addr.family === 4 ? `${formatAddr(addr)}:${port}` : `[${formatAddr(addr)}]:${port}`;
}

export function addrEquals(a: Addr, b: Addr): boolean {
  return a.family === b.family && compareBytes(a.bytes, b.bytes) === 0;
}

/** Orders IPv4 before IPv6, then by number. */
export function compareAddrs(a: Addr, b: Addr): number {
  return a.family - b.family || compareBytes(a.bytes, b.bytes);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    const d = (a[i] ?? 0) - (b[i] ?? 0);
    if (d !== 0) return d;
  }
  return 0;
}

export function addrToBigInt(addr: Addr): bigint {
  let value = 0n;
  for (const byte of addr.bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

export function addrFromBigInt(family: Family, value: bigint): Addr {
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  let rest = value;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return { family, bytes };
}

/** The address `n` after `addr` (before it, where `n` is negative); wraps around at the end of the family's space. */
export function addrPlus(addr: Addr, n: number | bigint): Addr {
  return addrFromBigInt(addr.family, addrToBigInt(addr) + BigInt(n));
}
