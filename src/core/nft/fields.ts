// What packets, their metadata and their connections offer to read, by nft's names.
import type { Datatype } from "./datatypes.ts";

export type PayloadField =
  | "ether saddr"
  | "ether daddr"
  | "ether type"
  | "ip saddr"
  | "ip daddr"
  | "ip protocol"
  | "ip ttl"
  | "ip6 saddr"
  | "ip6 daddr"
  | "ip6 nexthdr"
  | "ip6 hoplimit"
  | "th sport"
  | "th dport"
  | "tcp flags"
  | "icmp type"
  | "icmpv6 type";

export interface PayloadInfo {
  readonly base: "link" | "network" | "transport";
  readonly offset: number;
  readonly type: Datatype;
}

/**
 * Where each field lies. Places are unique within a header, except for the first byte of the transport header, which is the type of
 * both ICMPs: a decoder tells them apart by the protocol that the rule matched before.
 */
export const PAYLOAD_FIELDS: Readonly<Record<PayloadField, PayloadInfo>> = {
  "ether saddr": { base: "link", offset: 6, type: "ether_addr" },
  "ether daddr": { base: "link", offset: 0, type: "ether_addr" },
  "ether type": { base: "link", offset: 12, type: "ether_type" },
  "ip saddr": { base: "network", offset: 12, type: "ipv4_addr" },
  "ip daddr": { base: "network", offset: 16, type: "ipv4_addr" },
  "ip protocol": { base: "network", offset: 9, type: "inet_proto" },
  "ip ttl": { base: "network", offset: 8, type: "integer8" },
  "ip6 saddr": { base: "network", offset: 8, type: "ipv6_addr" },
  "ip6 daddr": { base: "network", offset: 24, type: "ipv6_addr" },
  "ip6 nexthdr": { base: "network", offset: 6, type: "inet_proto" },
  "ip6 hoplimit": { base: "network", offset: 7, type: "integer8" },
  "th sport": { base: "transport", offset: 0, type: "inet_service" },
  "th dport": { base: "transport", offset: 2, type: "inet_service" },
  "tcp flags": { base: "transport", offset: 13, type: "integer8" },
  "icmp type": { base: "transport", offset: 0, type: "icmp_type" },
  "icmpv6 type": { base: "transport", offset: 0, type: "icmpv6_type" },
};

export type MetaKey = "l4proto" | "nfproto" | "mark" | "iif" | "oif" | "iifname" | "oifname" | "protocol" | "nftrace";

export const META_KEYS: Readonly<Record<MetaKey, Datatype>> = {
  l4proto: "inet_proto",
  nfproto: "nf_proto",
  mark: "mark",
  iif: "iface_index",
  oif: "iface_index",
  iifname: "ifname",
  oifname: "ifname",
  protocol: "ether_type",
  nftrace: "integer8",
};

export type CtKey =
  | "state"
  | "status"
  | "mark"
  | "direction"
  | "protocol"
  | "ip saddr"
  | "ip daddr"
  | "ip6 saddr"
  | "ip6 daddr"
  | "proto-src"
  | "proto-dst";

/** The last seven need a direction: they are a side of the connection's original or reply tuple. */
export const CT_KEYS: Readonly<Record<CtKey, Datatype>> = {
  state: "ct_state",
  status: "ct_status",
  mark: "mark",
  direction: "ct_dir",
  protocol: "inet_proto",
  "ip saddr": "ipv4_addr",
  "ip daddr": "ipv4_addr",
  "ip6 saddr": "ipv6_addr",
  "ip6 daddr": "ipv6_addr",
  "proto-src": "inet_service",
  "proto-dst": "inet_service",
};

export type FibKey = "saddr" | "daddr" | "mark" | "iif" | "oif";

export const FIB_RESULTS: Readonly<Record<"type" | "oif" | "oifname", Datatype>> = {
  type: "fib_addrtype",
  oif: "iface_index",
  oifname: "ifname",
};
