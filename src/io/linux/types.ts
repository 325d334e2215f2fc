// The shape of the kernel as the rest of the code sees it. Implemented over netlink in this room, in memory in ./fake; one
// contract suite runs over both. All calls are synchronous: a netlink request takes about 12 µs.
import type { Addr, Family, Mac, Prefix } from "#ip";
import type { Fdb, Neigh, NextHop, RoutingRule, Tuple } from "#model";

export type { Fdb, Neigh, NextHop, RoutingRule as Rule, Tuple };

/** A network namespace that is open in this process. */
export interface NetNs {
  /** Where it is bound, or `/proc/<pid>/ns/net`. */
  readonly path: string;
  readonly fd: number;
  /** The inode number: two handles with the same one are the same namespace. */
  readonly inode: number;
  /**
   * Runs `fn` inside the namespace and comes back. Sockets and child processes made by `fn` stay in it for life. `fn` must be
   * synchronous: it may not return a promise, and what it leaves for later runs outside.
   */
  run<R>(fn: () => R extends PromiseLike<unknown> ? never : R): R;
  /** Reads or writes a sysctl of this namespace: `net.ipv4.ip_forward`, or with a "/" in a link's name `net/ipv4/conf/eth0.1/rp_filter`. */
  sysctl(name: string): string;
  setSysctl(name: string, value: string | number): void;
  close(): void;
}

export type LinkKind =
  | { readonly kind: "veth"; readonly peer: { readonly name: string; readonly mac?: Mac; readonly mtu?: number; readonly netns?: NetNs } }
  | { readonly kind: "bridge" }
  | {
      readonly kind: "vxlan";
      readonly vni: number;
      /** Underlay device and source address; `port` 8472 is Linux's and flannel's, 4789 IANA's. */
      readonly device?: string;
      readonly local?: Addr;
      readonly port: number;
      readonly learning: boolean;
    }
  | { readonly kind: "macvlan"; readonly parent: string; readonly mode: "bridge" | "private" | "vepa" | "passthru" }
  | { readonly kind: "vlan"; readonly parent: string; readonly id: number }
  | { readonly kind: "dummy" }
  | { readonly kind: "tun"; readonly mode: "tun" | "tap" };

export interface NewLink {
  readonly name: string;
  readonly type: LinkKind;
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly master?: string;
  readonly up?: boolean;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  /** As the kernel names it: "veth", "bridge", …; "" for loopback and hardware. */
  readonly kind: string;
  readonly mac: Mac | undefined;
  readonly mtu: number;
  readonly up: boolean;
  /** IFLA_OPERSTATE: "up", "down", "lowerlayerdown", "unknown", … */
  readonly operState: string;
  readonly masterIndex: number | undefined;
  /** The other end of a veth, in the namespace where it is. */
  readonly peerIndex: number | undefined;
  /** Number of the peer's namespace, as this one counts others (`netnsIds`); absent: it is this one. */
  readonly peerNetnsId?: number;
  /** What a vlan, macvlan or vxlan stands on. */
  readonly parentIndex?: number | undefined;
  /** Set on ports of a bridge. */
  readonly bridgePort?: BridgePort;
  readonly vxlan?: { readonly vni: number; readonly port: number; readonly local: Addr | undefined; readonly learning: boolean };
  /** `net/ipv4/conf/LINK/NAME`; absent where it has no IPv4. */
  readonly ipv4Conf?: Readonly<Record<Ipv4Conf, number>>;
  readonly stats: { readonly rxPackets: number; readonly rxBytes: number; readonly txPackets: number; readonly txBytes: number };
}

export type Ipv4Conf = "forwarding" | "rp_filter" | "accept_local" | "route_localnet" | "proxy_arp" | "proxy_arp_pvlan";

/** Flags of a bridge port (IFLA_BRPORT_*). */
export interface BridgePort {
  /** Isolated ports do not see each other's frames. */
  readonly isolated: boolean;
  readonly hairpin: boolean;
  readonly learning: boolean;
  readonly proxyArp: boolean;
}

/** What may change on a link that exists; absent means "leave it". */
export interface LinkChange {
  readonly name?: string;
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: Mac;
  /** A link name, or null for "no master". */
  readonly master?: string | null;
  readonly netns?: NetNs;
  /** For ports of a bridge; may come in one change with the `master`. */
  readonly bridgePort?: Partial<BridgePort>;
  /** `proxy_arp_pvlan` and the like are sysctls: see NetNs.setSysctl. */
  readonly addrGenModeNone?: boolean;
}

export interface LinkAddr {
  readonly link: string;
  readonly prefix: Prefix;
  /** IFA_F_NODAD: usable at once, without duplicate address detection. Default true. */
  readonly noDad?: boolean;
}

export interface Route {
  readonly dst: Prefix;
  readonly type?: "unicast" | "local" | "blackhole" | "unreachable" | "prohibit";
  readonly nextHops: readonly NextHop[];
  readonly src?: Addr;
  readonly mtu?: number;
  /** Absent: the family's default, 0 for IPv4 and 1024 for IPv6. Lists leave out the default too. */
  readonly metric?: number;
  /** 254 (main) unless told. */
  readonly table?: number;
  /** RTPROT_*; ours are 200 (overlay) and 201 (pod links), so that we know what we own. */
  readonly protocol?: number;
  readonly scope?: "global" | "link" | "host";
}

/** What an event says has changed; the receiver reads the present state itself. */
export interface RouteEvent {
  readonly object: "link" | "addr" | "route" | "neigh" | "rule";
  readonly action: "new" | "del";
  /** Link name, where the event has one. */
  readonly link?: string;
}

/**
 * Links, addresses, routes, rules, neighbours and forwarding entries of one namespace. `add` fails with EEXIST, `set` adds or
 * replaces, `del` is content when the object is absent. Errors are `KernelError`.
 */
export interface RouteSocket {
  readonly links: {
    list(): Link[];
    get(name: string): Link | undefined;
    add(link: NewLink): void;
    change(name: string, change: LinkChange): void;
    del(name: string): void;
  };
  readonly addrs: { list(link?: string): LinkAddr[]; set(addr: LinkAddr): void; del(addr: LinkAddr): void };
  readonly routes: {
    list(filter?: { family?: Family; table?: number; protocol?: number }): Route[];
    set(route: Route): void;
    /** Sets all that can be set, in few system calls, then throws the first refusal (`facts.refused`: how many). */
    setMany(routes: readonly Route[]): void;
    /** Deletes the route with this destination, table and, as far as they are said, metric, type, protocol, scope and next hops. */
    del(route: Route): void;
    /** What the kernel would do with a packet to `dst` (RTM_GETROUTE). */
    lookup(dst: Addr, from?: Addr): Route | undefined;
  };
  readonly rules: { list(family: Family): RoutingRule[]; add(rule: RoutingRule): void; del(rule: RoutingRule): void };
  readonly neighs: {
    list(link?: string): Neigh[];
    set(neigh: Neigh): void;
    setMany(neighs: readonly Neigh[]): void;
    del(neigh: Neigh): void;
  };
  readonly fdb: { list(link: string): Fdb[]; set(entry: Fdb): void; setMany(entries: readonly Fdb[]): void; del(entry: Fdb): void };
  /**
   * Calls `listener` for every event on `objects` (all kinds unless told) until `close`. Lost events (ENOBUFS) are reported as one
   * event per object kind, without a link.
   */
  watch(listener: (event: RouteEvent) => void, objects?: readonly RouteEvent["object"][]): { close(): void };
  close(): void;
}

export interface ConntrackEntry {
  readonly original: Tuple;
  readonly reply: Tuple;
  readonly id: number;
  readonly mark: number;
  readonly zone: number;
  readonly timeoutSeconds: number;
  readonly status: number;
  /** TCP_CONNTRACK_*. Absent: not TCP, or a flow that is offloaded (IPS_OFFLOAD: nf_conntrack_netlink.c then tells neither state nor timeout). */
  readonly tcpState?: number;
}

/** How many connections a namespace has, and how many each may have (0: no limit). */
export interface ConntrackUse {
  readonly count: number;
  readonly max: number;
}

export interface ConntrackSocket {
  use(): ConntrackUse;
  /** Of both families unless told. The kernel goes through all of its table either way: 262,144 buckets, where there is memory, take 10 ms. */
  list(family?: Family): ConntrackEntry[];
  /** Returns false when the entry was gone already. */
  del(entry: ConntrackEntry): boolean;
  /** Deletes many in few system calls; how many of them were still there. */
  delMany(entries: readonly ConntrackEntry[]): number;
  close(): void;
}
