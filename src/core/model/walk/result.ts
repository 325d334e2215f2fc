// What a walk finds out, as plain data: hop by hop, what was decided and by what.
import type { Addr, Mac, Prefix } from "#ip";
import type { Hook } from "#nft";
import type { CtState } from "../conntrack/types.ts";
import type { RuleStep } from "../evaluate/evaluation.ts";
import type { IcmpErrorName, Packet } from "../packet.ts";
import type { Listener, Memory, RouteType } from "../state.ts";

export type Decision =
  | ({ readonly kind: "rule"; readonly hook: Hook } & RuleStep)
  /** No rule of a base chain decided, and its policy is drop. */
  | { readonly kind: "policy"; readonly hook: Hook; readonly table: string; readonly chain: string }
  | { readonly kind: "conntrack"; readonly state: CtState; readonly direction: "original" | "reply" }
  | { readonly kind: "nat"; readonly what: "source" | "destination"; readonly from: End; readonly to: End }
  | {
      readonly kind: "route";
      readonly type: RouteType;
      readonly dst: Prefix;
      readonly table: number;
      readonly link?: string;
      readonly via?: Addr;
    }
  /** `how`: it was written, is remembered, or is asked for. */
  | { readonly kind: "neigh"; readonly addr: Addr; readonly mac: Mac; readonly how: "permanent" | "known" | "asked" }
  | { readonly kind: "bridge"; readonly bridge: string; readonly from: string | undefined; readonly to: string }
  | { readonly kind: "encapsulate"; readonly link: string; readonly vni: number; readonly to: Addr }
  | { readonly kind: "decapsulate"; readonly link: string; readonly vni: number }
  | { readonly kind: "fragment"; readonly mtu: number };

/** One end of a packet. */
export interface End {
  readonly addr: Addr;
  readonly port?: number;
}

/** A packet in one namespace: from where it came in or was made to where it went out or ended. */
export interface Hop {
  readonly namespace: string;
  /** Absent: it was made here. */
  readonly linkIn?: string;
  /** Absent: it ended here. */
  readonly linkOut?: string;
  readonly before: Packet;
  readonly after: Packet;
  readonly decisions: readonly Decision[];
}

export type DropReason =
  /** A rule, or a chain's policy; `by` says which. */
  | "rule"
  /** No route leads there, or one that says so. */
  | "no route"
  | "no neighbour"
  /** Larger than what a link takes, and not to be fragmented. */
  | "mtu"
  | "ttl"
  /** Its source is not where it came from (rp_filter). */
  | "rp_filter"
  /** A source or destination that cannot be (fib_validate_source, ip_route_input_slow). */
  | "martian"
  | "link down"
  | "not forwarding"
  /** The frame was not for this link. */
  | "other host"
  /** Nobody behind a bridge or vxlan link has that MAC. */
  | "no such mac"
  /** Nobody listens, or the port is another connection's. */
  | "port closed"
  /** conntrack has no room, or the connection clashes with another one. */
  | "conntrack full"
  | "conntrack clash"
  /** Broadcast, multicast, links of unknown kinds. */
  | "not modelled"
  | "loop";

/** What decided: a rule, or a base chain's policy. */
export type By = RuleStep | { readonly table: string; readonly chain: string };

export type WalkEnd =
  /** `listener` is absent where the kernel itself answers (echo), or the asker gets its answer. */
  | { readonly kind: "delivered"; readonly namespace: string; readonly packet: Packet; readonly listener?: Listener }
  | {
      readonly kind: "refused";
      readonly namespace: string;
      readonly why: DropReason;
      readonly by?: By;
      readonly with: RefusedWith;
      readonly packet: Packet;
    }
  | { readonly kind: "dropped"; readonly namespace: string; readonly why: DropReason; readonly by?: By; readonly packet: Packet };

export type RefusedWith = "tcp reset" | "sctp abort" | IcmpErrorName;

export interface Walk {
  readonly hops: readonly Hop[];
  readonly end: WalkEnd;
}

/**
 * What whoever asks gets. "silence" is also what ends in the asker's own namespace, where some programs hear of it at once
 * (ENETUNREACH, EPERM, EMSGSIZE).
 */
export type Outcome =
  | { readonly kind: "answered"; readonly by: string; readonly listener?: Listener; readonly seenAs: End }
  | { readonly kind: "refused"; readonly by: string; readonly with: RefusedWith; readonly why: DropReason; readonly rule?: By }
  | {
      readonly kind: "silence";
      readonly at: string;
      readonly direction: "request" | "reply";
      readonly why: DropReason;
      readonly rule?: By;
    };

export interface RoundTrip {
  readonly outcome: Outcome;
  readonly request: Walk;
  /** The answer's way, or the refusal's. */
  readonly reply?: Walk;
  /** What the namespaces remember afterwards, where that is asked for. */
  readonly memory?: Memory;
}
