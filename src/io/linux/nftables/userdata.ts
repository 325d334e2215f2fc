// The userdata that nft attaches to objects, for itself to read later: comments, and how keys are to be printed. Type-length-value
// with one byte each for type and length (libnftnl udata.h, nftables src/netlink.c and src/expression.c).
import type { Datatype, SetHeader } from "#nft";
import { DATATYPES, needsTypeof } from "#nft";

/** In tables and rules comments have type 0, in chains and elements too; in sets 7. */
const COMMENT = 0;
const SET_KEY_BYTEORDER = 0;
const SET_DATA_BYTEORDER = 1;
const SET_KEY_TYPEOF = 3;
const SET_DATA_TYPEOF = 4;
const SET_COMMENT = 7;

/** NFT_USERDATA_MAXLEN is 256; a length byte holds 255; the text ends with a zero. */
const COMMENT_MAX_BYTES = 250;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function tlv(type: number, value: Uint8Array): Uint8Array {
  const out = new Uint8Array(2 + value.length);
  out[0] = type;
  out[1] = value.length;
  out.set(value, 2);
  return out;
}

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function text(type: number, value: string): Uint8Array {
  return tlv(type, encoder.encode(`${value.slice(0, COMMENT_MAX_BYTES)}\0`));
}

export function encodeComment(comment: string): Uint8Array {
  return text(COMMENT, comment);
}

/** The value of the first TLV of that type. */
function find(bytes: Uint8Array, type: number): Uint8Array | undefined {
  for (let at = 0; at + 2 <= bytes.length; ) {
    const length = bytes[at + 1] ?? 0;
    if (bytes[at] === type) return bytes.subarray(at + 2, at + 2 + length);
    at += 2 + length;
  }
  return undefined;
}

function decodeText(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

export function decodeComment(bytes: Uint8Array): string | undefined {
  return decodeText(find(bytes, COMMENT));
}

export function decodeSetComment(bytes: Uint8Array): string | undefined {
  return decodeText(find(bytes, SET_COMMENT));
}

/** Numbers of nft's expression types (enum expr_types), protocol descriptions and header templates (include/proto.h). */
const PAYLOAD = 7;
const META = 9;
const CONCAT = 13;
const NUMGEN = 23;

/** nft reads the type of a key from an example expression; these print what `nft list` then shows after "typeof". */
const EXAMPLES: Partial<Record<Datatype, Uint8Array>> = {
  ipv4_addr: example(PAYLOAD, 12, 12),
  ipv6_addr: example(PAYLOAD, 13, 9),
  inet_service: example(PAYLOAD, 11, 2),
  inet_proto: example(META, 16),
  nf_proto: example(META, 15),
  mark: example(META, 3),
  ifname: example(META, 6),
  iface_index: example(META, 4),
  index: example(NUMGEN, 1, 2, 0),
};

function example(type: number, ...numbers: readonly number[]): Uint8Array {
  return join(tlv(0, u32(type)), tlv(1, join(...numbers.map((number, i) => tlv(i, u32(number))))));
}

function typeofTlv(attr: number, types: readonly Datatype[]): Uint8Array {
  const examples = types.map((type) => EXAMPLES[type]);
  const [only] = examples;
  if (examples.length === 1 && only !== undefined) return tlv(attr, only);
  // An unknown one: nft falls back to the key's type numbers.
  const known = examples.flatMap((bytes) => (bytes === undefined ? [] : [bytes]));
  if (known.length !== types.length) return new Uint8Array(0);
  return tlv(attr, join(tlv(0, u32(CONCAT)), tlv(1, join(...known.map((bytes, i) => tlv(i, bytes))))));
}

/** enum byteorder: a concatenation has none, and names of links count as numbers of the host. */
function byteOrder(types: readonly Datatype[]): number {
  const [only] = types;
  if (types.length !== 1 || only === undefined) return 0;
  return DATATYPES[only].order === "host" || only === "ifname" ? 1 : 2;
}

/** The whole userdata of a set or map. */
export function encodeSetUserdata(set: SetHeader): Uint8Array {
  const data = set.data === undefined || set.data === "verdict" ? undefined : set.data;
  const byExample = needsTypeof([...set.key, ...(data ?? [])]);
  return join(
    tlv(SET_KEY_BYTEORDER, u32(byteOrder(set.key))),
    ...(set.data === undefined ? [] : [tlv(SET_DATA_BYTEORDER, u32(byteOrder(data ?? [])))]),
    ...(byExample ? [typeofTlv(SET_KEY_TYPEOF, set.key)] : []),
    ...(byExample && data !== undefined ? [typeofTlv(SET_DATA_TYPEOF, data)] : []),
    ...(set.comment === undefined ? [] : [text(SET_COMMENT, set.comment)]),
  );
}
