// Values as the evaluator compares them. What has up to 32 bits is a number, an IPv4 address too; IPv6 addresses and MACs are strings of
// 16-bit units in network order; interface names are themselves. Numbers compare as numbers, strings unit by unit: both as memcmp would.
import type { Addr, Family } from "#ip";
import { DATATYPES, type Datatype, type Value } from "#nft";

export type Scalar = number | string;

/** IFNAMSIZ of if.h. */
const IFNAME_UNITS = 16;

export function scalarOfAddr({ family, bytes }: Addr): Scalar {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  return family === 4 ? ((a << 24) | (b << 16) | (c << 8) | d) >>> 0 : unitsOfBytes(bytes);
}

export function addrOfScalar(family: Family, scalar: Scalar): Addr {
  if (typeof scalar === "number") {
    return { family: 4, bytes: Uint8Array.of(scalar >>> 24, (scalar >>> 16) & 0xff, (scalar >>> 8) & 0xff, scalar & 0xff) };
  }
  const bytes = new Uint8Array(scalar.length * 2);
  for (let i = 0; i < scalar.length; i++) {
    const unit = scalar.charCodeAt(i);
    bytes[2 * i] = unit >> 8;
    bytes[2 * i + 1] = unit & 0xff;
  }
  return { family, bytes };
}

function unitsOfBytes(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 2) text += String.fromCharCode(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  return text;
}

export function scalarOf(type: Datatype, value: Value): Scalar {
  if (typeof value === "number") return value >>> 0;
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return type === "ipv4_addr" ? scalarOfAddr({ family: 4, bytes: value }) : unitsOfBytes(value);
  return scalarOfAddr(value);
}

/** How many units a component of a concatenation has. */
export function unitsOf(type: Datatype): number {
  if (type === "ifname") return IFNAME_UNITS;
  return (DATATYPES[type].bytes + 1) >> 1;
}

/** The scalar as a component of a concatenation: of fixed width, so that nothing has to stand between two of them. */
export function component(type: Datatype, scalar: Scalar): string {
  if (typeof scalar === "string") return type === "ifname" ? scalar.padEnd(IFNAME_UNITS, "\0") : scalar;
  return unitsOf(type) === 1 ? String.fromCharCode(scalar) : String.fromCharCode(scalar >>> 16, scalar & 0xffff);
}

/** One value is itself; several are a string of their components. */
export function joined(types: readonly Datatype[], scalars: readonly Scalar[]): Scalar {
  const [first] = scalars;
  if (types.length === 1 && first !== undefined) return first;
  let text = "";
  for (const [i, type] of types.entries()) text += component(type, scalars[i] ?? 0);
  return text;
}

/** Undoes `joined`. */
export function parted(types: readonly Datatype[], key: Scalar): Scalar[] {
  if (types.length === 1 || typeof key === "number") return [key];
  let at = 0;
  return types.map((type) => {
    const units = key.slice(at, at + unitsOf(type));
    at += unitsOf(type);
    return fromComponent(type, units);
  });
}

function fromComponent(type: Datatype, units: string): Scalar {
  if (type === "ifname") return units.replace(/\0+$/, "");
  if (type === "ipv6_addr" || type === "ether_addr") return units;
  return units.length === 1 ? units.charCodeAt(0) : ((units.charCodeAt(0) << 16) | units.charCodeAt(1)) >>> 0;
}
