// What kernels hold and what packets do, as a node tells it. Plain data; `codec.ts` carries it over JSON.
import type { Addr } from "#ip";
import type { ConntrackEntry } from "#linux";
import type * as model from "#model";
import type { Packet } from "#wire";

/** `underlay` and `outside` are a sandboxed cluster's: the nodes' switch and router, and the client behind it. */
export type NamespaceRole = "node" | "pod" | "underlay" | "outside";

export interface PodRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Of the sandbox that the runtime made for it. */
  readonly sandboxId: string;
}

/** What the processes and kernels of one node hold, at about one moment. */
export interface NodeReport {
  /** The node's name; "sandbox" for what belongs to no node. */
  readonly node: string;
  /** Milliseconds since the Unix epoch. */
  readonly timeMs: number;
  /** The kernel's boot id: inode numbers of namespaces are unique within it. */
  readonly machine: string;
  readonly namespaces: readonly ObservedNamespace[];
  /** What could not be read, and why. */
  readonly problems: readonly string[];
}

export interface ObservedNamespace {
  readonly role: NamespaceRole;
  /** Of the namespace's file (nsfs). */
  readonly inode: number;
  /**
   * Its name is the node's, `NAMESPACE/NAME` of a pod, "underlay" or "outside". Veths are of kind "other": `mergeReports` joins them.
   */
  readonly state: model.Namespace;
  readonly pod?: PodRef;
  readonly ends: readonly VethEnd[];
  readonly conntrack: ConntrackUse;
  /** Sockets that wait for connections or datagrams: more about `state.listeners`, in the same order. */
  readonly sockets: readonly ListeningSocket[];
}

/** One end of a veth pair, and what is known of the other one. */
export interface VethEnd {
  readonly link: string;
  readonly index: number;
  /** In the namespace where the peer is. */
  readonly peerIndex: number;
  /** Inode of the peer's namespace, where whoever read this end could tell. */
  readonly peerInode?: number;
}

export interface ConntrackUse {
  readonly count: number;
  /** 0: no limit. */
  readonly max: number;
  /** Absent: not asked for. */
  readonly entries?: readonly ConntrackEntry[];
}

export interface ListeningSocket {
  readonly pid?: number;
  /** The name of the process (comm), and its arguments where they could be read. */
  readonly command?: string;
  /** TCP: connections that wait to be accepted, and how many may. */
  readonly queued?: number;
  readonly backlog?: number;
}

export interface NetworkRequest {
  /** Default false: a node may have hundreds of thousands. */
  readonly conntrackEntries?: boolean;
  /** Default true. */
  readonly processes?: boolean;
}

/** Where a probe starts. */
export type Place =
  /** A pod with the node's network starts from the node. */
  | { readonly kind: "pod"; readonly namespace: string; readonly name: string }
  | { readonly kind: "node"; readonly name: string }
  | { readonly kind: "underlay" }
  | { readonly kind: "outside" };

export type Protocol = "tcp" | "udp" | "sctp" | "icmp";

/** One real connection, datagram or echo request. */
export interface ProbeRequest {
  readonly from: Place;
  readonly protocol: Protocol;
  readonly dst: Addr;
  /** Absent for ICMP. */
  readonly dstPort?: number;
  /** Absent: as the kernel chooses. */
  readonly src?: Addr;
  /** An echo's identifier. Absent: as the kernel chooses. */
  readonly srcPort?: number;
  /** Sent after the handshake of TCP and SCTP, and as the datagram; what is answered is in `firstBytes`. An echo's data. */
  readonly payload?: Uint8Array;
  readonly timeoutMs: number;
}

/**
 * - answered: a connection stood, or a datagram or echo came back.
 * - refused: somebody said no, with a TCP reset, an SCTP abort or an ICMP error.
 * - silence: nothing came in time.
 * - error: the own kernel did not send it (no route, too long, forbidden by a rule of the own output).
 */
export type ProbeOutcome = "answered" | "refused" | "silence" | "error";

export interface ProbeResult {
  readonly outcome: ProbeOutcome;
  /** Such as ECONNREFUSED, ENETUNREACH, EPERM. */
  readonly errno?: string;
  /** The error message of a person's words, with `errno`. */
  readonly message?: string;
  /** The ICMP error that came for it (IP_RECVERR), and who sent it. */
  readonly icmp?: { readonly type: number; readonly code: number; readonly from: Addr; readonly mtu?: number };
  /** Of TCP and SCTP: the handshake was completed, and what was sent after it was not acknowledged. */
  readonly connected?: boolean;
  /** The probe's own end. Absent where it had none. */
  readonly local?: { readonly addr: Addr; readonly port: number };
  /** From the first packet to the first answer of any kind. */
  readonly rttUs?: number;
  /** Of the answer, at most 512. */
  readonly firstBytes?: Uint8Array;
}

/**
 * Packets of `protocol` (and ICMP errors about them) with an end among `addrs` and a port, of either end, among `ports`. A list that
 * is empty matches all. Both directions, before and after translation: name the addresses and ports of both.
 */
export interface WatchMatch {
  readonly protocol: Protocol;
  readonly addrs: readonly Addr[];
  /** Of ICMP: identifiers of echo requests, in captures only. */
  readonly ports: readonly number[];
}

export interface WatchRequest {
  readonly match: WatchMatch;
  /** At most 600. It ends with the connection, too. */
  readonly seconds: number;
  /** Names of namespaces, as in reports; absent: all of the node. */
  readonly namespaces?: readonly string[];
  /** Default true. */
  readonly captures?: boolean;
  /** Default true. */
  readonly traces?: boolean;
}

/** One line of a watch. The first is `armed`: from then on nothing is missed. */
export type Sighting = Armed | CaptureSighting | TraceSighting | Lost;

export interface Armed {
  readonly kind: "armed";
  readonly node: string;
  /** Where it watches. */
  readonly namespaces: readonly string[];
  /** What could not be watched, and why. */
  readonly problems: readonly string[];
}

/** A packet at a link. */
export interface CaptureSighting {
  readonly kind: "capture";
  /** Since the Unix epoch, by the kernel. */
  readonly timeNs: bigint;
  readonly node: string;
  readonly namespace: string;
  readonly link: string;
  readonly direction: "in" | "out";
  /** As far as it was understood; payloads are cut to 64 bytes. Of vxlan, what it carries is in `packet.vxlan.inner`. */
  readonly packet: Packet;
  /** Bytes of the frame. */
  readonly length: number;
}

export type TraceVerdict = "accept" | "drop" | "stolen" | "queue" | "repeat" | "stop" | "continue" | "return" | "jump" | "goto";

/** A step of a packet through nftables (`nft monitor trace`). */
export interface TraceSighting {
  readonly kind: "trace";
  /** Since the Unix epoch, when it was read: later than the step itself. Steps of a namespace are in their order. */
  readonly timeNs: bigint;
  readonly node: string;
  readonly namespace: string;
  /** The same for all steps of one packet in one namespace; a number that comes back for other packets. */
  readonly traceId: number;
  /** "rule": that rule matched; "return": a chain ended without a verdict; "policy": a base chain did, and its policy holds. */
  readonly step: "rule" | "return" | "policy";
  readonly family: "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev";
  readonly table: string;
  readonly chain: string;
  /** Of the base chain that the packet is in, where it is known. */
  readonly hook?: string;
  readonly priority?: number;
  readonly handle?: number;
  /** Of the rule. Which element of a verdict map decided is not told by the kernel. */
  readonly comment?: string;
  /** The rule as nft text, where it is known. */
  readonly rule?: string;
  readonly verdict: TraceVerdict;
  /** Where a jump or goto leads. */
  readonly target?: string;
  readonly linkIn?: string;
  readonly linkOut?: string;
  readonly mark?: number;
  /** As it was when it came into this base chain. */
  readonly packet?: Packet;
}

/** More came than was read in time, or than one watch tells (`what`: "limit"): some is missing from here on. */
export interface Lost {
  readonly kind: "lost";
  readonly node: string;
  readonly namespace: string;
  readonly what: "captures" | "traces" | "limit";
}
