import type { Addr, Family, Mac, Prefix } from "#ip";
import type { Fdb, LinkAddr, Neigh, NewLink, Route } from "#linux";

/** The link over which nodes reach each other. */
export interface Underlay {
  readonly link: string;
  readonly mtu: number;
  /** The subnets that are on-link there: a neighbour in one of them is reached without a router. */
  readonly onLink: readonly Prefix[];
}

export interface LocalNode {
  readonly name: string;
  /** The node's addresses on the underlay, at most one per family. */
  readonly addrs: readonly Addr[];
  readonly podCidrs: readonly Prefix[];
  readonly underlay: Underlay;
}

export interface PeerNode {
  readonly name: string;
  readonly addrs: readonly Addr[];
  readonly podCidrs: readonly Prefix[];
  /** What the peer's agent published; absent until its device stands. */
  readonly vtepMac?: Mac;
}

/** What an overlay has in the kernel, or should have: plain data. */
export interface OverlayState {
  readonly links: readonly NewLink[];
  readonly addrs: readonly LinkAddr[];
  readonly routes: readonly Route[];
  readonly neighs: readonly Neigh[];
  readonly fdb: readonly Fdb[];
}

/** Why (part of) a peer cannot be reached through the overlay. */
export interface OverlayProblem {
  readonly node: string;
  readonly reason:
    | "PeerNotOnLink"
    | "NoUnderlayAddress"
    | "OverlappingPodCidr"
    | "PodCidrOutsideCluster"
    | "DuplicateVtepMac"
    | "BadAddress"
    | "BadNode";
  readonly message: string;
}

export interface Compiled {
  readonly state: OverlayState;
  readonly problems: readonly OverlayProblem[];
}

/** One way to carry pod traffic between nodes. A backend decides and does nothing else: the rest of the room acts. */
export interface OverlayBackend {
  readonly name: "vxlan" | "host-gw";
  /** How many bytes it adds to a pod's packet, where the underlay speaks `family`. */
  overhead(family: Family): number;
  /** The MAC that peers need to know of this node, where the backend has one. */
  vtepMac(local: Pick<LocalNode, "addrs">): Mac | undefined;
  compile(local: LocalNode, peers: readonly PeerNode[]): Compiled;
}

/** One request to the kernel. */
export type OverlayStep =
  | { readonly op: "add link"; readonly link: NewLink }
  | { readonly op: "change link"; readonly link: NewLink }
  | { readonly op: "del link"; readonly name: string }
  | { readonly op: "set addr" | "del addr"; readonly addr: LinkAddr }
  | { readonly op: "set route" | "del route"; readonly route: Route }
  | { readonly op: "set neigh" | "del neigh"; readonly neigh: Neigh }
  | { readonly op: "set fdb" | "del fdb"; readonly fdb: Fdb };
