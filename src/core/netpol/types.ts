import type { NetworkPolicy, NetworkPolicySpec } from "kubernetes-types/networking/v1";
import type { Addr, Family } from "#ip";
import type { Labels, ParsedLabelSelector } from "#kube";
import type { Interval } from "#nft";
import type { NodeFacts } from "./cluster-types.ts";

export type Direction = "ingress" | "egress";

/** A named port of a pod; `protocol` is IPPROTO_*. */
export interface NamedPort {
  readonly name: string;
  readonly protocol: number;
  readonly port: number;
}

/** What of a Pod matters to policy. */
export interface PodFacts {
  /** `namespace/name`. */
  readonly key: string;
  readonly uid: string;
  readonly namespace: string;
  readonly nodeName: string;
  readonly labels: Labels;
  readonly addrs: readonly Addr[];
  readonly ports: readonly NamedPort[];
  /** Has addresses of its own and has not ended: an ended pod's address may be another's by now. */
  readonly isPeer: boolean;
}

/** `pods` undefined: of the policy's own namespace only where `namespaces` is absent. Both present: both must hold. */
export interface PeerSelector {
  readonly pods: ParsedLabelSelector;
  readonly namespaces: ParsedLabelSelector | undefined;
}

export interface PolicyRule {
  readonly direction: Direction;
  /** Its place in `spec.ingress` or `spec.egress`. */
  readonly index: number;
  /** Undefined: from and to everywhere. */
  readonly peers:
    | { readonly selectors: readonly PeerSelector[]; readonly blocks: Readonly<Record<Family, readonly Interval[]>> | undefined }
    | undefined;
  /** Undefined: every port of every protocol. */
  readonly ports:
    | { readonly numbers: readonly PortInterval[]; readonly names: readonly Pick<NamedPort, "name" | "protocol">[] }
    | undefined;
}

/** Both ends belong to it. */
export interface PortInterval {
  readonly protocol: number;
  readonly first: number;
  readonly last: number;
}

/** A NetworkPolicy, understood. */
export interface Policy {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly subjects: ParsedLabelSelector;
  /** The directions in which it isolates. */
  readonly isolates: readonly Direction[];
  readonly rules: readonly PolicyRule[];
  /** What of it cannot be understood, and therefore allows nothing. */
  readonly problems: readonly string[];
  /** As the API has it: for who asks which entry of a list it was. */
  readonly spec: NetworkPolicySpec;
}

export interface Cluster {
  readonly pods: ReadonlyMap<string, PodFacts>;
  /** Labels by name. */
  readonly namespaces: ReadonlyMap<string, Labels>;
  /** Only ClusterNetworkPolicies with `nodes` ask. Absent: none are known. */
  readonly nodes?: readonly NodeFacts[];
}

export type { NetworkPolicy };
