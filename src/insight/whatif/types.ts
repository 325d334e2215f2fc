import type { Addr, Family } from "#ip";
import type { Labels, ParsedLabelSelector } from "#kube";
import type { Direction, PodFacts, Policy, PolicyRef } from "#netpol";
import type { Interval } from "#nft";
import type { PortRange } from "./ports.ts";

export interface NodeFacts {
  readonly name: string;
  readonly labels: Labels;
  /** Whom policies take for the node. */
  readonly addrs: readonly Addr[];
  /** All of its own that are known: these and more, such as the gateways of its Pod CIDRs. */
  readonly own: readonly Addr[];
}

/** A cluster at one time, as policies see it. */
export interface World {
  /** By `namespace/name`. */
  readonly pods: ReadonlyMap<string, PodFacts>;
  readonly namespaces: ReadonlyMap<string, Labels>;
  readonly nodes: readonly NodeFacts[];
  readonly policies: readonly Policy[];
  /** Understood already, in no order. */
  readonly clusterPolicies?: readonly LayeredPolicy[];
}

/** Pods: of one namespace, or of those that a selector chooses. */
export interface PodTerm {
  readonly kind: "pods";
  readonly namespaces: string | ParsedLabelSelector;
  readonly pods: ParsedLabelSelector;
}

/** Addresses, whoever has them. */
export interface BlockTerm {
  readonly kind: "blocks";
  readonly intervals: Readonly<Record<Family, readonly Interval[]>>;
}

export interface NodeTerm {
  readonly kind: "nodes";
  readonly nodes: ParsedLabelSelector;
}

export type Term = PodTerm | BlockTerm | NodeTerm;

export interface LayeredRule {
  readonly direction: Direction;
  /** `spec.ingress[0]`. */
  readonly path: string;
  readonly action: "Accept" | "Deny" | "Pass";
  /** Undefined: from and to everywhere. */
  readonly peers: readonly Term[] | undefined;
  /** Undefined: every port of every protocol. */
  readonly ports:
    | {
        readonly numbers: readonly PortRange[];
        readonly names: readonly { readonly name: string; readonly protocol: number | undefined }[];
      }
    | undefined;
  /** Names of ports count for pods that a selector chooses, and not for those whose address a block has. */
  readonly namesOfSelected?: boolean;
}

/** Both kinds of policies in one shape: what decides first comes first. */
export interface LayeredPolicy {
  readonly ref: PolicyRef;
  readonly tier: "Admin" | "NetworkPolicy" | "Baseline";
  /** Among those of a tier; lower comes first. */
  readonly priority: number;
  readonly subjects: readonly PodTerm[];
  /** A NetworkPolicy denies, in these directions, what no rule allows. */
  readonly isolates: readonly Direction[];
  /** In order. */
  readonly rules: readonly LayeredRule[];
  /** What of it cannot be understood. */
  readonly problems: readonly string[];
}

/** Who decided, and how. */
export type Reason =
  | { readonly by: "nothing isolates"; readonly direction: Direction }
  | {
      readonly by: "rule";
      readonly direction: Direction;
      readonly policy: PolicyRef;
      readonly path: string;
      readonly action: "Accept" | "Deny";
    }
  | { readonly by: "default deny"; readonly direction: Direction; readonly policies: readonly PolicyRef[] }
  | { readonly by: "absent" };
