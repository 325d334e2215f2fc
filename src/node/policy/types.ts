import type { NetworkPolicy } from "kubernetes-types/networking/v1";
import type { Logger } from "#base";
import type { Client } from "#client";
import type { Addr, Family } from "#ip";
import type { Labels, ParsedLabelSelector } from "#kube";
import type { NftSocket } from "#linux";
import type { Interval } from "#nft";
import type { PolicyMetrics } from "./metrics.ts";

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

/** A pod of this node, from its addresses until it is disconnected. */
export interface LocalPod {
  readonly containerId: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly addrs: readonly Addr[];
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
}

export interface Cluster {
  readonly pods: ReadonlyMap<string, PodFacts>;
  /** Labels by name. */
  readonly namespaces: ReadonlyMap<string, Labels>;
}

/** A pod of this node with what is known of it; without `facts` it is isolated from everything. */
export interface Subject {
  readonly addrs: readonly Addr[];
  readonly facts: PodFacts | undefined;
}

export interface PoliciesOptions {
  readonly client: Client;
  readonly nodeName: string;
  /** In the node's network namespace; the caller's, who also closes it. */
  readonly nft: NftSocket;
  readonly logger: Logger;
  readonly signal?: AbortSignal;
}

export interface Policies {
  /**
   * Takes over what an earlier process left, with the pods that are connected. To be called once. The kernel is changed when the API's
   * objects are known; until then it goes on enforcing what it has.
   */
  open(pods: readonly LocalPod[]): void;
  /**
   * Resolves when the kernel enforces for the pod's addresses all policies that were there when it was called. Throws "PolicyNotReady"
   * or what the kernel said: then the pod must not start.
   */
  add(pod: LocalPod): Promise<void>;
  /** To be called when its link is gone. Content with what is not there. Does not throw: what the kernel refuses is tried again. */
  del(containerId: string): void;
  /** Resolves when the kernel has what the API wants for the first time. */
  readonly ready: Promise<void>;
  readonly metrics: PolicyMetrics;
  /** What is in the kernel stays. */
  stop(): void;
}

export type { NetworkPolicy };
