// The data types of set keys, map data and expressions, as nft names them (`nft describe`). A value's JavaScript form depends on its
// type: addresses are `Addr`, link-layer addresses `Mac`, interface names strings, everything else numbers.
import { FairleadError } from "#base";
import { type Addr, formatAddr, formatMac } from "#ip";

export type Datatype =
  | "ipv4_addr"
  | "ipv6_addr"
  | "ether_addr"
  | "inet_proto"
  | "inet_service"
  | "nf_proto"
  | "mark"
  | "ifname"
  | "iface_index"
  | "ct_state"
  | "ct_status"
  | "ct_dir"
  | "fib_addrtype"
  | "icmp_type"
  | "icmpv6_type"
  | "ether_type"
  /** A number of one or two bytes in network order: header fields without a type of their own. */
  | "integer8"
  | "integer16"
  /** What numgen, jhash and symhash return: 32 bits in host order. nft has no name for it: sets with it are declared by `typeof`. */
  | "index";

export type Value = number | string | Addr | Uint8Array;

/** Both ends belong to the interval. */
export interface Interval {
  readonly first: Value;
  readonly last: Value;
}

interface DatatypeInfo {
  readonly bytes: number;
  /** How numbers lie in a register: "big" is network order. Text and addresses are byte strings, and so "big". */
  readonly order: "big" | "host";
  readonly names?: Readonly<Record<string, number>>;
  /** The value is a set of flags, printed as a comma separated list of names. */
  readonly flags?: boolean;
}

const PROTOCOLS = { icmp: 1, igmp: 2, ipip: 4, tcp: 6, udp: 17, gre: 47, esp: 50, ah: 51, "ipv6-icmp": 58, sctp: 132 };

export const DATATYPES: Readonly<Record<Datatype, DatatypeInfo>> = {
  ipv4_addr: { bytes: 4, order: "big" },
  ipv6_addr: { bytes: 16, order: "big" },
  ether_addr: { bytes: 6, order: "big" },
  inet_proto: { bytes: 1, order: "big", names: PROTOCOLS },
  inet_service: { bytes: 2, order: "big" },
  nf_proto: { bytes: 1, order: "big", names: { ipv4: 2, ipv6: 10 } },
  mark: { bytes: 4, order: "host" },
  ifname: { bytes: 16, order: "big" },
  iface_index: { bytes: 4, order: "host" },
  ct_state: { bytes: 4, order: "host", flags: true, names: { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } },
  ct_status: {
    bytes: 4,
    order: "host",
    flags: true,
    names: { expected: 1, "seen-reply": 2, assured: 4, confirmed: 8, snat: 16, dnat: 32, dying: 512 },
  },
  ct_dir: { bytes: 1, order: "big", names: { original: 0, reply: 1 } },
  fib_addrtype: {
    bytes: 4,
    order: "host",
    names: { unspec: 0, unicast: 1, local: 2, broadcast: 3, anycast: 4, multicast: 5, blackhole: 6, unreachable: 7, prohibit: 8 },
  },
  icmp_type: {
    bytes: 1,
    order: "big",
    names: { "echo-reply": 0, "destination-unreachable": 3, redirect: 5, "echo-request": 8, "time-exceeded": 11 },
  },
  icmpv6_type: {
    bytes: 1,
    order: "big",
    names: {
      "destination-unreachable": 1,
      "packet-too-big": 2,
      "time-exceeded": 3,
      "echo-request": 128,
      "echo-reply": 129,
      "nd-router-solicit": 133,
      "nd-router-advert": 134,
      "nd-neighbor-solicit": 135,
      "nd-neighbor-advert": 136,
      "nd-redirect": 137,
    },
  },
  ether_type: { bytes: 2, order: "big", names: { ip: 0x0800, arp: 0x0806, ip6: 0x86dd } },
  integer8: { bytes: 1, order: "big" },
  integer16: { bytes: 2, order: "big" },
  index: { bytes: 4, order: "host" },
};

/** IPPROTO_*. */
export const TCP = 6;
export const UDP = 17;
export const SCTP = 132;

/** A component of a concatenation takes whole 32-bit registers. */
export function paddedBytes(type: Datatype): number {
  return (DATATYPES[type].bytes + 3) & ~3;
}

/** The bytes of a key or of data of these types: unpadded alone, padded to 4 bytes per component in a concatenation (`nft_set_desc`). */
export function keyBytes(types: readonly Datatype[]): number {
  const [only] = types;
  if (types.length === 1 && only !== undefined) return DATATYPES[only].bytes;
  return types.reduce((sum, type) => sum + paddedBytes(type), 0);
}

/** The value as it lies in a register of a little-endian machine. Writes `DATATYPES[type].bytes` bytes at `at`. */
export function writeValue(out: Uint8Array, at: number, type: Datatype, value: Value): void {
  const { bytes, order } = DATATYPES[type];
  if (typeof value === "number") {
    for (let i = 0; i < bytes; i++) {
      const shift = 8 * (order === "host" ? i : bytes - 1 - i);
      out[at + i] = (value >>> shift) & 0xff;
    }
    return;
  }
  const raw = rawBytes(value);
  if (raw.length > bytes) throw badValue(type, value);
  out.fill(0, at, at + bytes);
  out.set(raw, at);
}

function rawBytes(value: string | Addr | Uint8Array): Uint8Array {
  if (typeof value === "string") return new TextEncoder().encode(value);
  return value instanceof Uint8Array ? value : value.bytes;
}

function badValue(type: Datatype, value: Value): FairleadError {
  const shown = typeof value === "object" && "family" in value ? formatAddr(value) : String(value);
  return new FairleadError(`Cannot use ${shown} as ${type}: it is too long`, { code: "BadValue" });
}

export function readValue(bytes: Uint8Array, at: number, type: Datatype): Value {
  const info = DATATYPES[type];
  const raw = bytes.slice(at, at + info.bytes);
  if (type === "ipv4_addr") return { family: 4, bytes: raw };
  if (type === "ipv6_addr") return { family: 6, bytes: raw };
  if (type === "ether_addr") return raw;
  if (type === "ifname") {
    const end = raw.indexOf(0);
    return new TextDecoder().decode(end < 0 ? raw : raw.subarray(0, end));
  }
  let value = 0;
  for (let i = 0; i < info.bytes; i++) {
    const byte = raw[info.order === "host" ? info.bytes - 1 - i : i] ?? 0;
    value = value * 256 + byte;
  }
  return value;
}

/** The value as nft text. */
export function formatValue(type: Datatype, value: Value): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Uint8Array) return formatMac(value);
  if (typeof value === "object") return formatAddr(value);
  const { names, flags } = DATATYPES[type];
  if (flags === true) return formatFlags(names ?? {}, value);
  for (const name in names) if (names[name] === value) return name;
  return type === "mark" ? `0x${value.toString(16).padStart(8, "0")}` : String(value);
}

/** Flags in the order of their bits; a bit without a name makes the whole a number. */
export function formatFlags(names: Readonly<Record<string, number>>, value: number): string {
  const known = Object.entries(names).filter(([, bit]) => (value & bit) !== 0);
  const covered = known.reduce((sum, [, bit]) => sum | bit, 0);
  return value !== 0 && covered === value ? known.map(([name]) => name).join(",") : `0x${value.toString(16)}`;
}

/** A number from a name of the type, such as `named("ct_state", "new")`. */
export function named(type: Datatype, ...names: readonly string[]): number {
  return names.reduce((sum, name) => {
    const value = DATATYPES[type].names?.[name];
    if (value === undefined) throw new FairleadError(`"${name}" is not a ${type}`, { code: "BadValue" });
    return sum | value;
  }, 0);
}

export function isInterval(part: Value | Interval): part is Interval {
  return typeof part === "object" && "first" in part;
}
