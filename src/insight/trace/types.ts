// A trace as data: what was asked, what should happen, what did, and why. Pure.
import type { Namespace as NamespaceObject, Node, Pod, Service, ServicePort } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { NetworkPolicy } from "kubernetes-types/networking/v1";
import type { Addr, Family } from "#ip";
import type { ClusterNetworkPolicy, Stored } from "#kube";
import type * as model from "#model";
import type { NodeReport, Place, ProbeResult, Protocol, Sighting } from "#observe";
import type { ServiceReport } from "#proxy";

/** The API's objects that a question may be about. */
export interface ClusterObjects {
  readonly pods: readonly Stored<Pod>[];
  readonly services: readonly Stored<Service>[];
  readonly slices: readonly Stored<EndpointSlice>[];
  readonly nodes: readonly Stored<Node>[];
  readonly namespaces: readonly Stored<NamespaceObject>[];
  readonly networkPolicies: readonly Stored<NetworkPolicy>[];
  readonly clusterNetworkPolicies: readonly Stored<ClusterNetworkPolicy>[];
}

/** What a person wrote. */
export interface RawQuestion {
  readonly from: string;
  readonly to: string;
  /** `80`, `80/udp`, or the name of a port. */
  readonly port?: string;
  readonly protocol?: Protocol;
  readonly namespace: string;
  readonly family?: Family;
}

export interface Asker {
  /** "pod default/web", "node node-1", "outside". */
  readonly text: string;
  readonly place: Place;
  /** The model's name for where it is. */
  readonly namespace: string;
  readonly pod?: Stored<Pod>;
}

export type Target =
  | { readonly kind: "pod"; readonly pod: Stored<Pod> }
  | {
      readonly kind: "service";
      readonly service: Stored<Service>;
      /** Absent: the Service has no such port. */
      readonly port?: ServicePort;
      readonly via: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalIP";
    }
  | { readonly kind: "node"; readonly name: string }
  | { readonly kind: "address" };

export interface Ask {
  readonly from: Asker;
  readonly protocol: Protocol;
  readonly dst: Addr;
  /** Absent for ICMP. */
  readonly dstPort?: number;
  readonly to: Target;
  /** "Service default/api:80/TCP (10.96.0.1)". */
  readonly text: string;
}

/** A name that has to be asked for before anything can be sent. */
export interface NameLookup {
  readonly name: string;
  /** In the order in which they are tried (resolv.conf's search list and ndots). */
  readonly candidates: readonly string[];
  /** Where a name server is asked, as a trace of its own. */
  readonly ask: Ask;
  readonly family: Family;
}

export type Resolved =
  | { readonly kind: "ask"; readonly ask: Ask; readonly lookup?: NameLookup }
  /** The name is not one of the cluster's: only its name server knows. */
  | { readonly kind: "lookup"; readonly lookup: NameLookup; readonly port?: number; readonly protocol: Protocol }
  /** Nothing can be sent: why. */
  | { readonly kind: "impossible"; readonly cause: Cause };

/** One short word for each thing that can be wrong; programs compare them. */
export type CauseCode =
  | "policy"
  | "policy default deny"
  | "no endpoints"
  | "endpoints not ready"
  | "selector matches nothing"
  | "named port mismatch"
  | "no local endpoints"
  | "no such service port"
  | "no such ClusterIP"
  | "source range"
  | "port closed"
  | "localhost only"
  | "other protocol"
  | "mtu"
  | "no route"
  | "no neighbour"
  | "no FDB entry"
  | "foreign rule"
  | "fairlead rule"
  | "conntrack full"
  | "link down"
  | "rp_filter"
  | "not forwarding"
  | "martian"
  | "ttl"
  | "dns blocked"
  | "dns refused"
  | "no such name"
  | "pod not running"
  | "no address"
  | "no NodePort"
  | "no answer"
  | "unknown";

/** A place in an API object, to be shown with an arrow. */
export interface YamlPlace {
  /** "NetworkPolicy x/db". */
  readonly object: string;
  /** `spec.ingress[0].ports[0]`. */
  readonly path: string;
  readonly line: number;
  /** The lines around it; `at` is the one that is meant. */
  readonly lines: readonly { readonly number: number; readonly text: string; readonly at: boolean }[];
}

export interface Cause {
  readonly code: CauseCode;
  /** One sentence, without what was asked. */
  readonly sentence: string;
  /** What shows that it is so: a rule, a route, a socket, an object. */
  readonly facts: readonly string[];
  readonly yaml?: readonly YamlPlace[];
  /** The nearest rules, each with what it lacks. */
  readonly nearMisses?: readonly string[];
  /** The smallest change with which it would be allowed, and what that would open besides. */
  readonly fixes?: readonly string[];
}

/** How it ended, from the model's words or from what was seen. */
export interface Ending {
  readonly direction: "request" | "reply";
  readonly namespace: string;
  readonly why: model.DropReason;
  readonly said: "refused" | "silence";
  readonly by?: Culprit;
  readonly link?: string;
  /** The packet as it was then. */
  readonly packet: FlowPacket;
}

/** The rule, or the chain whose policy it was. */
export interface Culprit {
  /** `family name`. */
  readonly table: string;
  readonly chain: string;
  readonly comment?: string;
  /** Comments of the rule's elements and of the rules that led to it, the nearest first. */
  readonly led: readonly string[];
  readonly text: string;
}

/** What causes ask of a packet. */
export interface FlowPacket {
  readonly src: Addr;
  readonly dst: Addr;
  readonly protocol: number;
  readonly dstPort?: number;
  readonly length: number;
}

/** One way that it can go. */
export interface Way {
  readonly probability: number;
  readonly roundTrip: model.RoundTrip;
  /** Who is asked in the end, and why this one. */
  readonly endpoint?: { readonly addr: Addr; readonly port?: number; readonly pod?: string; readonly why: readonly string[] };
  readonly cause?: Cause;
}

/** "allowed": it is answered. */
export type Verdict = "allowed" | "refused" | "silence";

export interface Predicted {
  readonly verdict: Verdict | "depends";
  /** Alike ones are told once; the likeliest first. */
  readonly ways: readonly Way[];
  /** What a full-size packet meets, where that is something else. */
  readonly large?: { readonly bytes: number; readonly roundTrip: model.RoundTrip };
  readonly cause?: Cause;
}

/** A packet at a place, as it was seen first. */
export interface SeenPoint {
  readonly timeNs: bigint;
  readonly namespace: string;
  readonly link: string;
  readonly way: "in" | "out";
  readonly direction: "request" | "reply";
  readonly text: string;
  readonly isEncapsulated: boolean;
}

export interface Observed {
  readonly verdict: Verdict;
  readonly probe: ProbeResult;
  /** From which it was sent; an echo's identifier. */
  readonly clientPort: number;
  readonly points: readonly SeenPoint[];
  readonly sightings: readonly Sighting[];
  /** What could not be watched. */
  readonly problems: readonly string[];
  readonly cause?: Cause;
}

export interface Leg {
  readonly ask: Ask;
  readonly predicted: Predicted;
  readonly observed?: Observed;
  /** Where the two disagree, and what explains it. */
  readonly differences: readonly string[];
}

export interface Trace {
  readonly question: string;
  readonly dns?: { readonly name: string; readonly answer?: string; readonly leg?: Leg; readonly cause?: Cause };
  readonly leg?: Leg;
  readonly verdict: Verdict | "depends";
  /** One sentence. */
  readonly sentence: string;
  readonly cause?: Cause;
}

/** All that causes are looked for in. */
export interface Scene {
  readonly objects: ClusterObjects;
  readonly reports: readonly NodeReport[];
  readonly state: model.NetworkState;
  readonly ask: Ask;
  /** Of the node where Services are translated, and the target is one. */
  readonly service?: ServiceReport;
}
