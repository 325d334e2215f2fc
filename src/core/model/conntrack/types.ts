// Connections as nf_conntrack knows them. Plain data.
import type { Addr } from "#ip";

/** One direction of a flow. For ICMP the source port is the identifier, the destination port is type * 256 + code. */
export interface Tuple {
  readonly src: Addr;
  readonly dst: Addr;
  readonly protocol: number;
  readonly srcPort: number;
  readonly dstPort: number;
}

/** IPS_* of nf_conntrack_common.h; the numbers are those of nft's `ct status`. */
export const STATUS = {
  seenReply: 0x002,
  assured: 0x004,
  confirmed: 0x008,
  srcNat: 0x010,
  dstNat: 0x020,
  srcNatDone: 0x080,
  dstNatDone: 0x100,
} as const;

export interface ConntrackEntry {
  readonly original: Tuple;
  readonly reply: Tuple;
  /** IPS_* bits. */
  readonly status: number;
  readonly mark: number;
  /** In milliseconds of the time that walks are given. */
  readonly expiresMs: number;
}

/** A connection while packets of it are walked: changed until it is confirmed, and by each packet after. */
export interface Connection {
  readonly original: Tuple;
  reply: Tuple;
  status: number;
  mark: number;
  expiresMs: number;
}

/** What conntrack thinks of one packet, in nft's words (`ct state`). */
export type CtState = "invalid" | "established" | "related" | "new" | "untracked";
