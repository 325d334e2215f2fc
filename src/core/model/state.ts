// What the model walks over: network namespaces as plain data. Whoever compiles desired state can make it, and so can whoever reads a
// kernel; both may leave out what the kernel makes by itself (routes to own addresses and subnets).
import type { Addr, Family, Mac, Prefix } from "#ip";
import type { Table } from "#nft";
import type { ConntrackEntry } from "./conntrack/types.ts";

export interface NetworkState {
  readonly namespaces: readonly Namespace[];
}

export interface Namespace {
  /** A pod, a node, "outside": unique. */
  readonly name: string;
  readonly links: readonly Link[];
  readonly addrs: readonly LinkAddr[];
  readonly routes: readonly Route[];
  /** Absent: local, main and default tables in that order. */
  readonly rules?: readonly RoutingRule[];
  readonly neighs?: readonly Neigh[];
  readonly fdb?: readonly Fdb[];
  /** By path with slashes: `net/ipv4/ip_forward`, `net/ipv4/conf/cni0/rp_filter`. What is absent has the kernel's default. */
  readonly sysctls?: Readonly<Record<string, number>>;
  /** In the order in which they were made. */
  readonly tables?: readonly Table[];
  readonly listeners?: readonly Listener[];
}

export type LinkType =
  | { readonly kind: "loopback" }
  | { readonly kind: "veth"; readonly peer: { readonly namespace: string; readonly link: string } }
  | { readonly kind: "bridge" }
  | {
      readonly kind: "vxlan";
      readonly vni: number;
      readonly port: number;
      readonly local?: Addr;
      readonly device?: string;
      readonly learning: boolean;
    }
  | { readonly kind: "dummy" }
  /** A kind that the model does not know. Packets end there. */
  | { readonly kind: "other"; readonly name: string };

export interface Link {
  readonly name: string;
  /** Absent: its place in the list, from 1. */
  readonly index?: number;
  readonly type: LinkType;
  /** Absent: the model makes one up. */
  readonly mac?: Mac;
  /** Absent: 1500, and 65536 for loopback. */
  readonly mtu?: number;
  readonly up: boolean;
  /** The bridge that it is a port of. */
  readonly master?: string;
  readonly port?: { readonly isolated?: boolean; readonly hairpin?: boolean; readonly learning?: boolean; readonly proxyArp?: boolean };
}

export interface LinkAddr {
  readonly link: string;
  readonly prefix: Prefix;
}

export interface NextHop {
  readonly via?: Addr;
  readonly link?: string;
  readonly onlink?: boolean;
  readonly weight?: number;
}

export type RouteType = "unicast" | "local" | "broadcast" | "blackhole" | "unreachable" | "prohibit";

export interface Route {
  readonly dst: Prefix;
  readonly type?: RouteType;
  readonly nextHops: readonly NextHop[];
  readonly src?: Addr;
  readonly mtu?: number;
  /** Absent: 0 for IPv4, 1024 for IPv6. */
  readonly metric?: number;
  /** Absent: 254, main. */
  readonly table?: number;
}

export interface RoutingRule {
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  readonly from?: Prefix;
  readonly to?: Prefix;
  readonly fwmark?: { readonly value: number; readonly mask: number };
  readonly iif?: string;
}

export interface Neigh {
  readonly link: string;
  readonly addr: Addr;
  readonly mac?: Mac;
  readonly state?: "permanent" | "reachable" | "stale" | "noarp" | "failed" | "incomplete" | "delay" | "probe";
  /** NTF_PROXY: answer for this address. */
  readonly proxy?: boolean;
}

export interface Fdb {
  readonly link: string;
  readonly mac: Mac;
  /** Of vxlan links: the underlay address. */
  readonly dst?: Addr;
  /** True unless told. On a bridge port such an entry is the bridge's own address, and what is sent there goes to the bridge itself. */
  readonly permanent?: boolean;
}

/** A socket that takes what comes from anybody. */
export interface Listener {
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly port: number;
  /** Absent: every address of the namespace. */
  readonly addr?: Addr;
  /** Where `addr` is absent: one family only. */
  readonly family?: Family;
  /** Whose it is, for people. */
  readonly name?: string;
}

/** What namespaces remember between packets, by name: connections, and elements that packets put into sets. */
export interface Memory {
  readonly conntrack: Readonly<Record<string, readonly ConntrackEntry[]>>;
  readonly elements: Readonly<Record<string, readonly RememberedElement[]>>;
}

/** An element of a dynamic set. Its key and data are in the evaluator's form (see `evaluate/scalar.ts`). */
export interface RememberedElement {
  /** `family table set`. */
  readonly set: string;
  readonly key: string | number;
  readonly data?: readonly (string | number)[];
  /** In milliseconds of the time that walks are given; absent: for ever. */
  readonly expiresMs?: number;
}
