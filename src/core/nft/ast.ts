// The ruleset as plain data, at the level of nft's own text: expressions are what a match or statement reads, statements are what a
// rule does. How they become register operations is the encoder's affair (io/linux/nftables). `nft(8)` defines each term.

import type { Datatype, Interval, Value } from "./datatypes.ts";
import type { CtKey, FibKey, MetaKey, PayloadField } from "./fields.ts";

export type TableFamily = "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev";

export type Verdict =
  | { readonly kind: "accept" | "drop" | "continue" | "return" }
  | { readonly kind: "jump" | "goto"; readonly chain: string };

/** Reads a named map: its data for `key`. `type` is the map's data, needed to know which registers it fills. */
export interface MapExpr {
  readonly kind: "map";
  readonly key: Expr;
  readonly map: string;
  readonly type: readonly Datatype[];
}

export type Expr =
  | { readonly kind: "payload"; readonly field: PayloadField }
  | { readonly kind: "meta"; readonly key: MetaKey }
  | { readonly kind: "ct"; readonly key: CtKey; readonly direction?: "original" | "reply" }
  | { readonly kind: "fib"; readonly keys: readonly FibKey[]; readonly result: "type" | "oif" | "oifname" }
  | { readonly kind: "numgen"; readonly mode: "random" | "inc"; readonly mod: number; readonly offset?: number }
  | { readonly kind: "jhash"; readonly of: Expr; readonly mod: number; readonly seed?: number; readonly offset?: number }
  | { readonly kind: "symhash"; readonly mod: number; readonly offset?: number }
  | { readonly kind: "concat"; readonly parts: readonly Expr[] }
  /** `(of & mask) ^ xor`; mask and xor have the type of `of`. */
  | { readonly kind: "bitwise"; readonly of: Expr; readonly mask: Value; readonly xor?: Value }
  | { readonly kind: "value"; readonly type: Datatype; readonly value: Value }
  | MapExpr;

export type CompareOp = "==" | "!=" | "<" | "<=" | ">" | ">=";

export type NatFlag = "random" | "fully-random" | "persistent";

export type RejectWith =
  | "tcp reset"
  | `icmpx ${"no-route" | "port-unreachable" | "host-unreachable" | "admin-prohibited"}`
  | `icmp ${"net-unreachable" | "host-unreachable" | "port-unreachable" | "admin-prohibited"}`
  | `icmpv6 ${"no-route" | "admin-prohibited" | "addr-unreachable" | "port-unreachable"}`;

export type Statement =
  /** An interval as `right` goes with "==" and "!=" only. */
  | { readonly kind: "match"; readonly left: Expr; readonly op: CompareOp; readonly right: Value | Interval }
  /** Whether `left` is in a named set. */
  | { readonly kind: "in"; readonly left: Expr; readonly set: string; readonly not?: boolean }
  | { readonly kind: "vmap"; readonly key: Expr; readonly map: string }
  | { readonly kind: "verdict"; readonly verdict: Verdict }
  /** `to` yields an address, an address and a port, or a port. `family` is what the address is. */
  | { readonly kind: "dnat" | "snat"; readonly family: "ip" | "ip6"; readonly to: Expr; readonly flags?: readonly NatFlag[] }
  | { readonly kind: "masquerade"; readonly flags?: readonly NatFlag[] }
  | { readonly kind: "redirect"; readonly port?: Expr; readonly flags?: readonly NatFlag[] }
  | { readonly kind: "reject"; readonly with: RejectWith }
  /** The figures are the kernel's; what is written into them starts a counter there. */
  | { readonly kind: "counter"; readonly packets: number; readonly bytes: number }
  | { readonly kind: "limit"; readonly rate: number; readonly per: LimitUnit; readonly burst: number; readonly over?: boolean }
  | { readonly kind: "log"; readonly prefix?: string; readonly group?: number }
  | { readonly kind: "notrack" }
  /** An expression that somebody else put into a table of ours, and that this AST does not know. It cannot be written. */
  | { readonly kind: "other"; readonly name: string }
  | { readonly kind: "set"; readonly target: SetTarget; readonly value: Expr }
  /** Changes a set or map from the packet path. The set needs the flag "dynamic", and "timeout" where `timeoutMs` is given. */
  | {
      readonly kind: "dynset";
      readonly op: "add" | "update" | "delete";
      readonly set: string;
      readonly key: Expr;
      readonly data?: Expr;
      readonly timeoutMs?: number;
    };

export type LimitUnit = "second" | "minute" | "hour" | "day" | "week";

export type SetTarget = { readonly kind: "meta"; readonly key: "mark" | "nftrace" } | { readonly kind: "ct"; readonly key: "mark" };

export interface Rule {
  readonly statements: readonly Statement[];
  readonly comment?: string;
  /** The kernel's number for it; only rules that were read have one. */
  readonly handle?: number;
}

export type ChainType = "filter" | "nat" | "route";
export type Hook = "prerouting" | "input" | "forward" | "output" | "postrouting" | "ingress";

export interface BaseChain {
  readonly type: ChainType;
  readonly hook: Hook;
  readonly priority: number;
  readonly policy: "accept" | "drop";
  /** For the hook "ingress" and the family "netdev". */
  readonly device?: string;
}

export interface Chain {
  readonly name: string;
  readonly base?: BaseChain;
  readonly rules: readonly Rule[];
  readonly comment?: string;
}

export type SetFlag = "constant" | "interval" | "timeout" | "dynamic";

/** What a set or map is, without its elements. A map has `data`. */
export interface SetHeader {
  readonly name: string;
  readonly key: readonly Datatype[];
  readonly data?: readonly Datatype[] | "verdict";
  readonly flags?: readonly SetFlag[];
  readonly timeoutMs?: number;
  readonly gcIntervalMs?: number;
  /** The most elements it may hold. Sets with "dynamic" need one. */
  readonly size?: number;
  readonly comment?: string;
}

export interface NftSet extends SetHeader {
  readonly elements: readonly Element[];
}

export interface Element {
  /** One part per component of the set's key. */
  readonly key: readonly (Value | Interval)[];
  readonly data?: readonly Value[] | Verdict;
  readonly comment?: string;
  readonly timeoutMs?: number;
  /** What is left of the timeout; only elements that were read have it. */
  readonly expiresMs?: number;
}

export interface TableId {
  readonly family: TableFamily;
  readonly name: string;
}

export interface Table extends TableId {
  readonly comment?: string;
  readonly sets: readonly NftSet[];
  readonly chains: readonly Chain[];
}

/** One step of a transaction. All steps of a transaction happen, or none. */
export type Change =
  /** `owned`: nobody but this socket may change it, and it goes when the socket is closed (Linux >= 5.12). */
  | { readonly op: "add table"; readonly table: TableId; readonly comment?: string; readonly owned?: boolean }
  | { readonly op: "delete table"; readonly table: TableId }
  | { readonly op: "add set"; readonly table: TableId; readonly set: SetHeader }
  | { readonly op: "delete set"; readonly table: TableId; readonly set: string }
  | { readonly op: "add chain"; readonly table: TableId; readonly chain: string; readonly base?: BaseChain; readonly comment?: string }
  | { readonly op: "flush chain"; readonly table: TableId; readonly chain: string }
  | { readonly op: "delete chain"; readonly table: TableId; readonly chain: string }
  | { readonly op: "add rule"; readonly table: TableId; readonly chain: string; readonly rule: Rule }
  /** `set` tells the types of keys and data. An element that is there with other data is an error (EEXIST): delete it first. */
  | { readonly op: "add elements"; readonly table: TableId; readonly set: SetHeader; readonly elements: readonly Element[] }
  /** Only the keys count. An element that is absent is an error (ENOENT). */
  | { readonly op: "delete elements"; readonly table: TableId; readonly set: SetHeader; readonly elements: readonly Element[] };
