// A flow, and what is said of it: for the eyes of people and programs, so places are the API's own (`spec.ingress[0].from[1]`).
import type { Addr, Family } from "#ip";
import type { Labels } from "#kube";
import type { ClusterPolicy } from "./cluster-types.ts";
import type { Cluster, Direction, PodFacts, Policy } from "./types.ts";

export interface FlowEnd {
  readonly addr: Addr;
  /** The pod that has the address now. A pod with the node's network is judged as its node. */
  readonly pod?: PodFacts;
  /** The node on which the pod at the other end runs: nothing keeps the two apart. */
  readonly isOwnNode?: boolean;
}

/** The first packet of a connection, after a Service's translation of its destination and before any change of its source. */
export interface Flow {
  readonly from: FlowEnd;
  readonly to: FlowEnd;
  /** IPPROTO_*. */
  readonly protocol: number;
  /** The destination's; absent where the protocol has none. */
  readonly port?: number;
}

export interface World {
  readonly cluster: Cluster;
  /** By namespace, then by key. */
  readonly policies: ReadonlyMap<string, ReadonlyMap<string, Policy>>;
  /** In any order. */
  readonly clusterPolicies?: readonly ClusterPolicy[];
}

export type PolicyKind = "NetworkPolicy" | "ClusterNetworkPolicy";

export interface PolicyRef {
  readonly kind: PolicyKind;
  /** `namespace/name`; of a ClusterNetworkPolicy its name. */
  readonly key: string;
}

export interface RulePlace {
  readonly policy: PolicyRef;
  /** Of a ClusterNetworkPolicy. */
  readonly tier?: "Admin" | "Baseline";
  readonly action?: "Accept" | "Deny" | "Pass";
  readonly rule: number;
  /** Absent where the rule is about everyone. */
  readonly peer?: number;
  /** Absent where the rule is about every port. */
  readonly port?: number;
  /** The most exact place of whom it is about: `spec.ingress[0].from[1]`, or `spec.ingress[0]`. */
  readonly path: string;
  /** `spec.ingress[0].ports[0]`. */
  readonly portPath?: string;
}

export type Decision =
  /** Not a pod, or one with the node's network: policies are not about it. */
  | { readonly by: "not a pod" }
  /** No policy is about it in this direction. */
  | { readonly by: "nothing isolates" }
  /** Its own node, or the pod itself: always allowed. */
  | { readonly by: "origin"; readonly because: "own node" | "itself" }
  | ({ readonly by: "rule" } & RulePlace)
  /** Isolated by these, and no rule of theirs allows it. */
  | { readonly by: "default deny"; readonly policies: readonly PolicyRef[] };

/** A policy that selects the subject for the direction. */
export interface Isolation {
  readonly policy: PolicyRef;
  /** `spec.podSelector`. */
  readonly path: string;
  /** Each term of its selector with the label that matched it; empty where it selects every pod of its namespace. */
  readonly because: readonly { readonly term: string; readonly label: string }[];
}

export type LackKind = "peer" | "namespace" | "port" | "protocol" | "block";

/** What keeps a rule from allowing the flow. */
export interface Lack {
  readonly what: LackKind;
  readonly expected: string;
  readonly actual: string;
  readonly path: string;
  /** One sentence part: `port 8081/TCP is not 8080/TCP`. */
  readonly text: string;
}

export type Edit =
  | {
      readonly kind: "label";
      readonly object: "Pod" | "Namespace";
      /** `namespace/name` of a Pod. */
      readonly name: string;
      readonly set: Labels;
      readonly remove: readonly string[];
    }
  /** `value` into the list at the place, before what is there; the place may be the list's end, and the list absent. */
  | { readonly kind: "insert"; readonly policy: PolicyRef; readonly path: string; readonly value: unknown };

export interface Fix {
  /** All of them together. */
  readonly edits: readonly Edit[];
  /** `label pod x/a app=web; add port 8081/TCP to spec.ingress[0].ports of x/db`. */
  readonly text: string;
}

/** What else a fix would open, from a pod to a pod; both ends of the ports belong to them. */
export interface Opened {
  /** `namespace/name`. */
  readonly from: string;
  readonly to: string;
  readonly families: readonly Family[];
  /** IPPROTO_*; "other" is every one without ports. */
  readonly protocol: number | "other";
  readonly first: number;
  readonly last: number;
}

/** A rule of an isolating policy that does not allow the flow, the fewest lacks first. */
export interface NearMiss {
  readonly policy: PolicyRef;
  /** `spec.ingress[0]`; of a policy without rules `spec.ingress`. */
  readonly path: string;
  /** The best peer and port of the rule; absent where it names none. */
  readonly peer?: number;
  readonly port?: number;
  readonly matched: readonly { readonly what: LackKind; readonly path: string; readonly text: string }[];
  readonly lacks: readonly Lack[];
  /** The smallest edit with which this direction allows the flow; absent where there is none. */
  readonly fix?: Fix;
  /** Besides the flow itself; only where it was asked for. */
  readonly opens?: readonly Opened[];
}

export interface DirectionJudgement {
  readonly direction: Direction;
  /** `namespace/name` of the pod whose policies count. */
  readonly subject?: string;
  readonly allowed: boolean;
  /** The rules of ClusterNetworkPolicies that sent the flow on to the next tier. */
  readonly passedBy: readonly RulePlace[];
  readonly decidedBy: Decision;
  readonly isolatedBy: readonly Isolation[];
  /** Where it is not allowed. */
  readonly nearMisses: readonly NearMiss[];
}

/** Where the API leaves the answer open, or a fact is missing. */
export interface Note {
  readonly kind: "implementation-defined" | "undecidable";
  readonly text: string;
  /** Public sources. */
  readonly sources: readonly string[];
}

export interface Judgement {
  readonly allowed: boolean;
  readonly egress: DirectionJudgement;
  readonly ingress: DirectionJudgement;
  readonly notes: readonly Note[];
}

export interface JudgeOptions {
  /** How many near misses each direction tells of. Default 5. */
  readonly nearMisses?: number;
  /** Say what else each fix would open. Default false: it costs a look at every pair of pods. */
  readonly opens?: boolean;
}
