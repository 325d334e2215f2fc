// DNS messages as plain data (RFC 1035 §4). Names are text without the final dot ("cluster.local", "" for the root); a dot, a backslash
// or an unprintable byte inside a label is written `\.`, `\\`, `\DDD` (RFC 1035 §5.1). Case is kept as it came.
import { FairleadError } from "#base";
import type { Addr } from "#ip";

/** Codes of record types (IANA "DNS Parameters"). */
export const DNS_TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  NAPTR: 35,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

export const DNS_CLASS_IN = 1;

export const DNS_RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

const TYPE_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(DNS_TYPE).map(([name, code]) => [code, name]));
const RCODE_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(DNS_RCODE).map(([name, code]) => [code, name]));

/** "A", or "TYPE1234" (RFC 3597 §5). */
export function dnsTypeName(code: number): string {
  return TYPE_NAMES.get(code) ?? `TYPE${code}`;
}

export function dnsRcodeName(code: number): string {
  return RCODE_NAMES.get(code) ?? `RCODE${code}`;
}

export interface DnsQuestion {
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

export interface SoaData {
  readonly primary: string;
  readonly mailbox: string;
  readonly serial: number;
  readonly refreshSeconds: number;
  readonly retrySeconds: number;
  readonly expireSeconds: number;
  readonly minimumSeconds: number;
}

export type DnsData =
  | { readonly type: "A" | "AAAA"; readonly address: Addr }
  | { readonly type: "CNAME" | "NS" | "PTR"; readonly target: string }
  | { readonly type: "SRV"; readonly priority: number; readonly weight: number; readonly port: number; readonly target: string }
  | { readonly type: "TXT"; readonly strings: readonly Uint8Array[] }
  | ({ readonly type: "SOA" } & SoaData)
  /** Every other type: its data as it came, which is only meaningful elsewhere when it has no compressed names (RFC 3597 §4). */
  | { readonly type: "other"; readonly code: number; readonly data: Uint8Array };

export type DnsRecord = { readonly name: string; readonly ttlSeconds: number; readonly class?: number } & DnsData;

export interface EdnsOption {
  readonly code: number;
  readonly data: Uint8Array;
}

/** EDNS(0), RFC 6891: the OPT pseudo-record. The extended rcode is part of the message's `rcode`. */
export interface Edns {
  readonly udpSize: number;
  readonly version: number;
  readonly dnssecOk: boolean;
  readonly options: readonly EdnsOption[];
}

export interface DnsMessage {
  readonly id: number;
  readonly response: boolean;
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionDesired: boolean;
  readonly recursionAvailable: boolean;
  readonly authenticData: boolean;
  readonly checkingDisabled: boolean;
  /** 12 bits with EDNS, 4 without. */
  readonly rcode: number;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
  readonly edns?: Edns;
}

/** Thrown when bytes are not a DNS message, or data cannot be written as one. */
export class DnsFormatError extends FairleadError {
  constructor(message: string) {
    super(message, { code: "FORMERR", op: "convert DNS message" });
  }
}

/** A message with nothing set but what is given: a query with recursion desired needs only `id` and `questions`. */
export function dnsMessage(parts: Partial<DnsMessage>): DnsMessage {
  return {
    id: 0,
    response: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [],
    answers: [],
    authorities: [],
    additionals: [],
    ...parts,
  };
}

export function dnsRecordType(record: DnsData): number {
  return record.type === "other" ? record.code : DNS_TYPE[record.type];
}
