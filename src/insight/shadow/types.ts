import type { Namespace, Node, Pod, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { Prefix } from "#ip";
import type { ClusterNetworkPolicy, Stored } from "#kube";
import type * as model from "#model";
import type { NetworkPolicy } from "#netpol";
import type { OverlayBackend } from "#overlay";
import type { Established } from "#policy";

/** All that the API says of a cluster's network. Objects are never changed: what is another object is another state. */
export interface ShadowObjects {
  readonly nodes: readonly Stored<Node>[];
  readonly namespaces: readonly Stored<Namespace>[];
  readonly pods: readonly Stored<Pod>[];
  readonly services: readonly Stored<Service>[];
  readonly endpointSlices: readonly Stored<EndpointSlice>[];
  readonly networkPolicies: readonly Stored<NetworkPolicy>[];
  /** Default: none. */
  readonly clusterNetworkPolicies?: readonly Stored<ClusterNetworkPolicy>[];
}

/** What the API does not say. */
export interface ShadowOptions {
  /** Default: vxlan. */
  readonly overlay?: OverlayBackend["name"];
  /** What becomes of flows that a policy no longer allows. Default: cut. */
  readonly policyEstablished?: Established;
  /** Of the whole cluster; default: those of all Nodes. */
  readonly podCidrs?: readonly Prefix[];
  /** Default: none, and then an address that no Service has is not told from others. */
  readonly serviceCidrs?: readonly Prefix[];
  /** Default: the sandbox's, or what is around the Nodes' addresses. */
  readonly underlay?: UnderlayPlan;
  /** Who listens in a namespace beside what Pods declare: by the namespace's name in the model. Default: the kubelets. */
  readonly listeners?: Readonly<Record<string, readonly model.Listener[]>>;
}

/** The switch and router between nodes, and the outside behind it. At most one address of each family. */
export interface UnderlayPlan {
  /** The router's addresses where the nodes are, with the subnet's length. */
  readonly router: readonly Prefix[];
  /** The router's and the client's addresses on the link between them. */
  readonly outsideRouter: readonly Prefix[];
  readonly outside: readonly Prefix[];
  /** Bytes; default 1500. */
  readonly mtu?: number;
}
