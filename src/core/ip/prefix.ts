import { InputError } from "#base";
import { type Addr, addrEquals, addrFromBigInt, addrToBigInt, type Family, formatAddr, tryParseAddr } from "./addr.ts";

/** `addr` with `bits` significant bits. `addr` may have host bits set (an interface's address); `maskPrefix` clears them. */
export interface Prefix {
  readonly addr: Addr;
  readonly bits: number;
}

/** 32 or 128. */
export function addrBits(family: Family): number {
  return family === 4 ? 32 : 128;
}

export function parsePrefix(text: string, field = "prefix"): Prefix {
  const prefix = tryParsePrefix(text);
  if (prefix === undefined) throw new InputError(field, `"${text}" is not an address block such as 10.244.0.0/16 or fd00:244::/56`);
  return prefix;
}

export function tryParsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const addr = tryParseAddr(text.slice(0, slash));
  const bits = text.slice(slash + 1);
  if (addr === undefined || !/^(0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > addrBits(addr.family)) return undefined;
  return { addr, bits: Number(bits) };
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddr(prefix.addr)}/${prefix.bits}`;
}

/** `addr/32` or `addr/128`. */
export function hostPrefix(addr: Addr): Prefix {
  return { addr, bits: addrBits(addr.family) };
}

/** The prefix without its host bits: 10.1.2.3/16 is 10.1.0.0/16. */
export function maskPrefix(prefix: Prefix): Prefix {
  const host = BigInt(addrBits(prefix.addr.family) - prefix.bits);
  return { addr: addrFromBigInt(prefix.addr.family, (addrToBigInt(prefix.addr) >> host) << host), bits: prefix.bits };
}

export function prefixContains(prefix: Prefix, addr: Addr): boolean {
  if (prefix.addr.family !== addr.family) return false;
  const whole = prefix.bits >> 3;
  for (let i = 0; i < whole; i++) if (prefix.addr.bytes[i] !== addr.bytes[i]) return false;
  const rest = prefix.bits & 7;
  if (rest === 0) return true;
  const mask = 0xff & (0xff << (8 - rest));
  return ((prefix.addr.bytes[whole] ?? 0) & mask) === ((addr.bytes[whole] ?? 0) & mask);
}

export function prefixOverlaps(a: Prefix, b: Prefix): boolean {
  return a.bits <= b.bits ? prefixContains(a, b.addr) : prefixContains(b, a.addr);
}

export function prefixEquals(a: Prefix, b: Prefix): boolean {
  return a.bits === b.bits && addrEquals(a.addr, b.addr);
}

/** How many addresses the prefix has. */
export function prefixSize(prefix: Prefix): bigint {
  return 1n << BigInt(addrBits(prefix.addr.family) - prefix.bits);
}

/** The `n`-th address of the prefix, counted from its network address. */
export function nthAddr(prefix: Prefix, n: number | bigint): Addr {
  const index = BigInt(n);
  if (index < 0n || index >= prefixSize(prefix)) throw new InputError("address", `${formatPrefix(prefix)} has no address number ${n}`);
  return addrFromBigInt(prefix.addr.family, addrToBigInt(maskPrefix(prefix).addr) + index);
}

/** The `n`-th block of `bits` bits inside the prefix: number 1 of 10.244.0.0/16 with 24 bits is 10.244.1.0/24. */
export function nthSubnet(prefix: Prefix, bits: number, n: number | bigint): Prefix {
  const index = BigInt(n);
  if (bits < prefix.bits || bits > addrBits(prefix.addr.family) || index < 0n || index >= 1n << BigInt(bits - prefix.bits)) {
    throw new InputError("prefix", `${formatPrefix(prefix)} has no /${bits} number ${n}`);
  }
  const step = BigInt(addrBits(prefix.addr.family) - bits);
  return { addr: addrFromBigInt(prefix.addr.family, addrToBigInt(maskPrefix(prefix).addr) + (index << step)), bits };
}
