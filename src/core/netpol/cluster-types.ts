import type { Addr, Family } from "#ip";
import type { ClusterNetworkPolicy, Labels, ParsedLabelSelector } from "#kube";
import type { Interval } from "#nft";
import type { Direction, PolicyRule } from "./types.ts";

/** Asked before (`admin`) and after (`baseline`) the NetworkPolicies. */
export type ClusterTier = "admin" | "baseline";

/** `pass` leaves the tier, not only the policy. */
export type ClusterAction = "accept" | "deny" | "pass";

/** Pods with these labels in namespaces with these labels; an empty selector selects all. */
export interface NamespacedPodSelector {
  readonly namespaces: ParsedLabelSelector;
  readonly pods: ParsedLabelSelector;
}

/** Any of them. All empty: nobody. */
export interface ClusterPeers {
  readonly selectors: readonly NamespacedPodSelector[];
  /** Addresses, those of pods and nodes too. Undefined: the rule has no networks. */
  readonly blocks: Readonly<Record<Family, readonly Interval[]>> | undefined;
  /** By the labels of nodes: all addresses of such a node. */
  readonly nodes: readonly ParsedLabelSelector[];
  /** Names such as `example.com` and `*.example.com`, in lower case. Nothing enforces them: they match nobody. */
  readonly domains: readonly string[];
}

export interface ClusterRule {
  readonly direction: Direction;
  /** Its place in `spec.ingress` or `spec.egress`, which is its precedence. */
  readonly index: number;
  readonly name: string | undefined;
  readonly action: ClusterAction;
  /** Undefined: everybody. Only a rule that could not be understood has that, see `parseClusterPolicy`. */
  readonly peers: ClusterPeers | undefined;
  /** Undefined: everything, ICMP too. A name without a protocol is in `names` once for each protocol. */
  readonly ports: PolicyRule["ports"];
}

/** A ClusterNetworkPolicy, understood. In one tier `compareClusterPolicies` says who is asked first. */
export interface ClusterPolicy {
  readonly name: string;
  readonly tier: ClusterTier;
  /** 0 to 1000. */
  readonly priority: number;
  /** Undefined: nobody. Pods with hostNetwork never are. */
  readonly subjects: NamespacedPodSelector | undefined;
  /** Those of ingress in their order, then those of egress. */
  readonly rules: readonly ClusterRule[];
  /** What of it cannot be understood or is not enforced. */
  readonly problems: readonly string[];
  /** As the API has it: for who asks which entry of a list it was. */
  readonly spec: ClusterNetworkPolicy["spec"] | undefined;
}

/** What of a Node matters to policy. */
export interface NodeFacts {
  readonly name: string;
  readonly labels: Labels;
  /** All addresses of its status. */
  readonly addrs: readonly Addr[];
}
