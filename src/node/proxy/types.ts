import type { Addr, Family, Prefix } from "#ip";

/** Where this proxy runs. */
export interface ProxyNode {
  readonly name: string;
  /** The node's primary address of each family. */
  readonly addresses: readonly Addr[];
  /** Where NodePorts answer; absent: at `addresses`, and nowhere else (KEP-3866, `nodePortAddresses: primary`). */
  readonly nodePortAddresses?: readonly Addr[];
  /** Its label `topology.kubernetes.io/zone`. */
  readonly zone?: string;
}

/** One endpoint of a service port. */
export interface Backend {
  readonly addr: Addr;
  readonly port: number;
  /** `addr:port`, which is what makes two backends the same. */
  readonly id: string;
  /** Whether it runs on this node, or may do so: then its own packets may come back to it. */
  readonly local: boolean;
}

export type FrontendKind = "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalIP";

/** An address, protocol and port that clients use, and who answers there. The unit of everything that follows. */
export interface Frontend {
  /** `addr protocol port`: no two may be in the kernel at a time. */
  readonly key: string;
  readonly kind: FrontendKind;
  readonly family: Family;
  readonly addr: Addr;
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly port: number;
  /** `namespace/name:port` of the Service: what is made for it in the kernel says so. Frontends that share it are one service port. */
  readonly service: string;
  /** When the Service was created: of two with the same key, the older one wins. */
  readonly since: string;
  /** Local: `backends` are endpoints of this node only (for a ClusterIP internalTrafficPolicy, else externalTrafficPolicy). */
  readonly policy?: "Local";
  /** Who gets new connections. */
  readonly backends: readonly Backend[];
  /**
   * With externalTrafficPolicy Local `backends` are for the outside, whose clients keep their addresses; those on the inside, which are
   * pods and the node itself, reach these, as if the packet had been to the load balancer and back.
   */
  readonly inside?: readonly Backend[];
  /** Who only keeps the connections that are there: serving endpoints that get no new ones. */
  readonly draining: readonly Backend[];
  /** What happens to new connections while there are no backends. */
  readonly whenEmpty: "reject" | "drop";
  /** Who may use it (loadBalancerSourceRanges), none of them within another; absent: everybody. */
  readonly sources?: readonly Prefix[];
  /** ClientIP affinity: how long a client stays with its backend after its last connection. */
  readonly affinitySeconds?: number;
}

/** Something in a Service or its EndpointSlices that cannot be done, in words for who wrote it. The same on every node. */
export interface ServiceProblem {
  /** UpperCamelCase, for an Event. */
  readonly reason: "UnusableAddress" | "UnusableSourceRange" | "UnusableEndpoint" | "DuplicatePort";
  /** Names the field, its value, and what follows. */
  readonly message: string;
}

/** All that follows from one Service and its EndpointSlices on this node. */
export interface CompiledService {
  readonly frontends: readonly Frontend[];
  /** What was left out, and why; all else is done. */
  readonly problems?: readonly ServiceProblem[];
  /** A load balancer asks here whether this node has endpoints (`healthCheckNodePort`); those that terminate do not count. */
  readonly healthCheck?: { readonly port: number; readonly localEndpoints: number };
}

/** What the ruleset needs to know of the cluster. */
export interface ClusterCidrs {
  readonly podCidrs: readonly Prefix[];
  /**
   * Of this node; absent: `podCidrs`. Pods of other nodes are outside for traffic policies: their connection to an endpoint elsewhere
   * would be answered past this node.
   */
  readonly localPodCidrs?: readonly Prefix[];
  readonly serviceCidrs: readonly Prefix[];
}
