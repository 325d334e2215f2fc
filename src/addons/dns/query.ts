// Queries and replies as bytes: what can be read and written without decoding a whole message, because most queries need no more.
import { DNS_RCODE, DNS_TYPE, DnsFormatError, type DnsMessage, decodeDns, decodeDnsName, type Edns, encodeDns } from "#wire";

export const HEADER_BYTES = 12;
/** What a client can take over UDP that does not say (RFC 1035 §4.2.1). */
const PLAIN_UDP_BYTES = 512;
/** What we say that we take, and the most that we send over UDP: no fragments on any sane path (DNS flag day 2020). */
export const EDNS_UDP_BYTES = 1232;
const OPT_BYTES = 11;

const FLAG_QR = 0x80;
const FLAG_TC = 0x02;
const FLAG_RD = 0x01;
const FLAG_RA = 0x80;
const FLAG_AD = 0x20;
const FLAG_CD = 0x10;

export interface Query {
  /** As it came. */
  readonly bytes: Buffer;
  /** Where the question ends. */
  readonly end: number;
  /** The question's name as bytes of the wire, in lower case, as text: two names are equal when these are. */
  readonly nameKey: string;
  readonly type: number;
  readonly class: number;
  readonly edns: { readonly udpSize: number; readonly version: number; readonly dnssecOk: boolean } | undefined;
}

/** "ignore": not a query at all. A number: the rcode of the only reply it deserves. */
export type Unusable = "ignore" | number;

const scratch: Buffer = Buffer.alloc(256);

/** Reads a query. Never throws. */
export function parseQuery(bytes: Buffer): Query | Unusable {
  const flags = bytes[2] ?? FLAG_QR;
  // Answering an answer would let two servers talk forever.
  if (bytes.length < HEADER_BYTES || (flags & FLAG_QR) !== 0) return "ignore";
  if ((flags & 0x78) !== 0) return DNS_RCODE.NOTIMP;
  if (bytes.readUInt16BE(4) !== 1) return DNS_RCODE.FORMERR;
  const nameEnd = lowerNameBytes(bytes);
  const end = nameEnd + 4;
  if (nameEnd < 0 || end > bytes.length) return DNS_RCODE.FORMERR;
  const nameKey = scratch.toString("latin1", 0, nameEnd - HEADER_BYTES);
  const question = { bytes, end, nameKey, type: bytes.readUInt16BE(nameEnd), class: bytes.readUInt16BE(nameEnd + 2) };
  const edns = readEdns(bytes, end);
  return edns === "malformed" ? DNS_RCODE.FORMERR : { ...question, edns };
}

/** Copies the question's name to `scratch` in lower case. Returns where it ends, or -1 when it is malformed. */
function lowerNameBytes(bytes: Buffer): number {
  let at = HEADER_BYTES;
  for (;;) {
    const length = bytes[at];
    // A pointer has nothing to point at in the first name of a message.
    if (length === undefined || length > 63 || at + length - HEADER_BYTES > 254) return -1;
    scratch[at - HEADER_BYTES] = length;
    at++;
    if (length === 0) return at;
    for (const stop = at + length; at < stop; at++) {
      const byte = bytes[at] ?? 0;
      scratch[at - HEADER_BYTES] = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
    }
  }
}

function readEdns(bytes: Buffer, end: number): Query["edns"] | "malformed" {
  const hasAnswers = bytes.readUInt32BE(6) !== 0;
  const additionals = bytes.readUInt16BE(10);
  if (additionals === 0 && !hasAnswers) return undefined;
  const isOpt = bytes[end] === 0 && end + OPT_BYTES <= bytes.length && bytes.readUInt16BE(end + 1) === DNS_TYPE.OPT;
  if (additionals === 1 && !hasAnswers && isOpt && end + OPT_BYTES + bytes.readUInt16BE(end + 9) <= bytes.length) {
    return { udpSize: bytes.readUInt16BE(end + 3), version: bytes[end + 6] ?? 0, dnssecOk: ((bytes[end + 7] ?? 0) & 0x80) !== 0 };
  }
  try {
    return decodeDns(bytes).edns;
  } catch (err) {
    if (err instanceof DnsFormatError) return "malformed";
    throw err;
  }
}

/** How long a reply may be. */
export function replyLimit(query: Query, tcp: boolean): number {
  if (tcp) return 65535;
  return query.edns === undefined ? PLAIN_UDP_BYTES : Math.min(Math.max(query.edns.udpSize, PLAIN_UDP_BYTES), EDNS_UDP_BYTES);
}

/** The query as data, its name in lower case, without EDNS. */
export function queryMessage(query: Query): DnsMessage & { readonly questions: readonly [DnsMessage["questions"][0] & object] } {
  const flags = query.bytes[2] ?? 0;
  const more = query.bytes[3] ?? 0;
  const { name } = decodeDnsName(Buffer.from(query.nameKey, "latin1"), 0);
  return {
    id: query.bytes.readUInt16BE(0),
    response: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: (flags & FLAG_RD) !== 0,
    recursionAvailable: false,
    authenticData: (more & FLAG_AD) !== 0,
    checkingDisabled: (more & FLAG_CD) !== 0,
    rcode: 0,
    questions: [{ name, type: query.type, class: query.class }],
    answers: [],
    authorities: [],
    additionals: [],
  };
}

/** A reply of nothing but a header, to what cannot be read further. */
export function bareReply(bytes: Buffer, rcode: number): Buffer {
  const reply = Buffer.alloc(HEADER_BYTES);
  bytes.copy(reply, 0, 0, 2);
  reply[2] = FLAG_QR | ((bytes[2] ?? 0) & 0x79);
  reply[3] = rcode;
  return reply;
}

export interface EncodeOptions {
  readonly limit: number;
  /** Extended DNS error (RFC 8914): why, in a code and words. Sent to clients that speak EDNS. */
  readonly reason?: readonly [code: number, text: string] | undefined;
}

/** Encodes a reply to `query`, and puts the client's spelling of the question back (the reply's names point there: dns-encode.ts). */
export function encodeReply(query: Query, reply: DnsMessage, options: EncodeOptions): Buffer {
  const edns = query.edns === undefined ? undefined : ednsOf(query.edns.dnssecOk, options.reason);
  const bytes = Buffer.from(encodeDns(edns === undefined ? reply : { ...reply, edns }, options.limit).buffer);
  return withQuestion(bytes, query);
}

function ednsOf(dnssecOk: boolean, reason: EncodeOptions["reason"]): Edns {
  const options =
    reason === undefined
      ? []
      : [{ code: 15, data: Buffer.concat([Buffer.from([reason[0] >> 8, reason[0] & 0xff]), Buffer.from(reason[1])]) }];
  return { udpSize: EDNS_UDP_BYTES, version: 0, dnssecOk, options };
}

function withQuestion(reply: Buffer, query: Query): Buffer {
  query.bytes.copy(reply, HEADER_BYTES, HEADER_BYTES, query.end);
  return reply;
}

/** The query that we send upstream for a client's: the same question and wishes, nothing else that the client may have added. */
export function forwardedQuery(query: Query): Buffer {
  const bytes = Buffer.alloc(query.end + (query.edns === undefined ? 0 : OPT_BYTES));
  query.bytes.copy(bytes, 0, 0, query.end);
  bytes[2] = FLAG_RD;
  bytes[3] = (query.bytes[3] ?? 0) & (FLAG_AD | FLAG_CD);
  bytes.writeUInt32BE(0, 6);
  bytes.writeUInt16BE(query.edns === undefined ? 0 : 1, 10);
  if (query.edns !== undefined) writeOpt(bytes, query.end, query.edns.dnssecOk);
  return bytes;
}

function writeOpt(bytes: Buffer, at: number, dnssecOk: boolean): void {
  bytes.fill(0, at, at + OPT_BYTES);
  bytes.writeUInt16BE(DNS_TYPE.OPT, at + 1);
  bytes.writeUInt16BE(EDNS_UDP_BYTES, at + 3);
  if (dnssecOk) bytes[at + 7] = 0x80;
}

/** What makes two forwarded queries the same one. */
export function forwardKey(query: Query): string {
  const wishes = ((query.bytes[3] ?? 0) & (FLAG_AD | FLAG_CD)) | (query.edns === undefined ? 0 : query.edns.dnssecOk ? 3 : 1);
  return `${query.nameKey}${String.fromCharCode(query.type, query.class, wishes)}`;
}

/** An upstream's reply as the client's: its id, its spelling, and cut down to a truncated nothing where it is too long. */
export function forwardedReply(query: Query, upstream: Buffer, limit: number): Buffer {
  if (upstream.length > limit || upstream.length < query.end) return truncatedReply(query, upstream);
  const reply = Buffer.from(upstream);
  query.bytes.copy(reply, 0, 0, 2);
  reply[2] = ((reply[2] ?? 0) & ~FLAG_RD) | ((query.bytes[2] ?? 0) & FLAG_RD);
  return withQuestion(reply, query);
}

function truncatedReply(query: Query, upstream: Buffer): Buffer {
  const tooLong = upstream.length >= query.end;
  const reply = Buffer.alloc(query.end + (query.edns === undefined ? 0 : OPT_BYTES));
  query.bytes.copy(reply, 0, 0, query.end);
  reply[2] = FLAG_QR | (tooLong ? FLAG_TC : 0) | ((query.bytes[2] ?? 0) & FLAG_RD);
  reply[3] = FLAG_RA | ((upstream[3] ?? 0) & 0x0f);
  reply.writeUInt32BE(0, 6);
  reply.writeUInt16BE(query.edns === undefined ? 0 : 1, 10);
  if (query.edns !== undefined) writeOpt(reply, query.end, query.edns.dnssecOk);
  return reply;
}

/** A reply that was encoded once and is sent many times; only id, flags, question, order and OPT differ from client to client. */
export interface Template {
  /** Bytes 2 to 11 of the header, and everything after the question. */
  readonly header: Buffer;
  readonly tail: Buffer;
  /** Bytes of one record where the tail is nothing but that many records of one name and type: those are rotated. */
  readonly stride: number;
}

const ADDRESS_RECORD_BYTES: ReadonlyMap<number, number> = new Map([
  [DNS_TYPE.A, 16],
  [DNS_TYPE.AAAA, 28],
]);

export function makeTemplate(query: Query, reply: DnsMessage): Template {
  const bytes = Buffer.from(encodeDns(reply).buffer);
  const tail = Buffer.from(bytes.subarray(query.end));
  const stride = ADDRESS_RECORD_BYTES.get(query.type) ?? 0;
  const onlyAnswers = reply.authorities.length === 0 && reply.additionals.length === 0;
  const rotates = onlyAnswers && reply.answers.length > 1 && tail.length === stride * reply.answers.length;
  return { header: Buffer.from(bytes.subarray(2, HEADER_BYTES)), tail, stride: rotates ? stride : 0 };
}

/** The reply to `query` from a template; undefined when it is longer than `limit`. `turn` rotates addresses. */
export function fillTemplate(query: Query, template: Template, limit: number, turn: number): Buffer | undefined {
  const { header, tail, stride } = template;
  const length = query.end + tail.length + (query.edns === undefined ? 0 : OPT_BYTES);
  if (length > limit) return undefined;
  const reply = Buffer.allocUnsafe(length);
  query.bytes.copy(reply, 0, 0, query.end);
  header.copy(reply, 2);
  reply[2] = ((header[0] ?? 0) & ~FLAG_RD) | ((query.bytes[2] ?? 0) & FLAG_RD);
  reply[3] = ((header[1] ?? 0) & ~FLAG_CD) | ((query.bytes[3] ?? 0) & FLAG_CD);
  const split = stride === 0 ? 0 : (turn % (tail.length / stride)) * stride;
  tail.copy(reply, query.end, split);
  tail.copy(reply, query.end + tail.length - split, 0, split);
  if (query.edns !== undefined) {
    reply.writeUInt16BE(reply.readUInt16BE(10) + 1, 10);
    writeOpt(reply, length - OPT_BYTES, query.edns.dnssecOk);
  }
  return reply;
}
