// What expressions and statements are given: the packet with its metadata and connection, and the world around the hook.
import type { Addr, Family, Mac } from "#ip";
import type { Element, Expr, Hook, RejectWith, SetHeader, Verdict } from "#nft";
import type { Choices } from "../choices.ts";
import type { NatRange } from "../conntrack/nat.ts";
import type { Connection, CtState } from "../conntrack/types.ts";
import type { Packet } from "../packet.ts";
import type { Scalar } from "./scalar.ts";
import type { PreparedElement, PreparedSet } from "./set.ts";

/** A packet on its way through one namespace, with what the kernel keeps beside it (`sk_buff`). */
export interface Skb {
  packet: Packet;
  /** Bytes of its largest fragment, where it goes in fragments. */
  fragment?: number;
  mark: number;
  nftrace: boolean;
  ct: Connection | undefined;
  ctState: CtState;
  ctDirection: "original" | "reply";
  /** Of the frame that it came in. */
  srcMac?: Mac;
  dstMac?: Mac;
}

/** What rules ask of the namespace around them. */
export interface Surroundings {
  /** The number of a link; 0 where there is none. */
  linkIndex(link: string | undefined): number;
  /** RTN_*: `fib daddr type`, with a link `fib daddr . iif type`. */
  addrType(addr: Addr, link: string | undefined): number;
  /** The link that a packet to `dst` would leave by; undefined where none. */
  linkTo(dst: Addr, options: { readonly src: Addr; readonly mark: number; readonly link: string | undefined }): string | undefined;
  /** The address that masquerading over `link` gives (`nf_nat_masquerade_ipv4`, `_ipv6`). */
  masqueradeAddr(link: string, dst: Addr): Addr | undefined;
  /** The address that `redirect` gives to what came in over `link`. */
  redirectAddr(link: string, family: Family): Addr | undefined;
  /** `nf_nat_setup_info`: binds the connection of `skb`. */
  bind(skb: Skb, range: NatRange, what: "source" | "destination"): "accept" | "drop";
}

/** Elements that packets have put into sets, by set. */
export interface DynamicElements {
  find(header: SetHeader, id: string, key: Scalar): PreparedElement | undefined;
  /** False where the set is full. */
  put(
    set: PreparedSet,
    id: string,
    entry: { readonly key: Scalar; readonly data?: readonly Scalar[]; readonly expiresMs?: number },
  ): boolean;
  remove(set: string, key: Scalar): void;
  isRemoved(set: string, key: Scalar): boolean;
}

export interface Evaluation {
  readonly skb: Skb;
  readonly family: Family;
  readonly hook: Hook;
  readonly linkIn: string | undefined;
  readonly linkOut: string | undefined;
  readonly around: Surroundings;
  readonly dynamic: DynamicElements;
  readonly choices: Choices;
  /** Milliseconds; the same clock as of what is remembered. */
  readonly now: number;
  /** Elements that the present rule has found. */
  elements: MatchedElement[] | undefined;
  /** Rules that matched; undefined where nobody wants to know. */
  readonly steps: RuleStep[] | undefined;
}

export interface MatchedElement {
  readonly set: string;
  /** The set's types, without which an element cannot be read. */
  readonly header: SetHeader;
  readonly element: Element;
}

/** A rule whose statements were all carried out. */
export interface RuleStep {
  /** `family name`. */
  readonly table: string;
  readonly chain: string;
  /** Its place in the chain, from 0. */
  readonly index: number;
  readonly comment?: string;
  readonly verdict?: RuleVerdict;
  readonly elements?: readonly MatchedElement[];
}

export type RuleVerdict = Verdict | { readonly kind: "reject"; readonly with: RejectWith };

/** Reads one value, or a joined concatenation. Undefined is NFT_BREAK: the rule does not apply. */
export type Read = (evaluation: Evaluation) => Scalar | undefined;

/** Undefined: on to the next statement. */
export type Outcome = undefined | "break" | RuleVerdict;

export type Act = (evaluation: Evaluation) => Outcome;

/** What expressions are compiled against. */
export interface Compiling {
  /** `family name`, for messages and for the names of dynamic sets. */
  readonly table: string;
  set(name: string): PreparedSet;
  read(expr: Expr): Read;
}
