// ClusterNetworkPolicy as the API has it (network-policy-api, apis/v1alpha2/clusternetworkpolicy_types.go, experimental channel).
import type { Condition, LabelSelector } from "kubernetes-types/meta/v1";
import type { KubeObject } from "./types.ts";

export interface ClusterNetworkPolicy extends KubeObject {
  spec?: ClusterNetworkPolicySpec;
  status?: { conditions: Condition[] };
}

export interface ClusterNetworkPolicySpec {
  /** Admin or Baseline. */
  tier: string;
  /** 0 to 1000; the lower one is asked first. */
  priority: number;
  /** Exactly one field. */
  subject: { namespaces?: LabelSelector; pods?: NamespacedPods };
  ingress?: ClusterNetworkPolicyIngressRule[];
  egress?: ClusterNetworkPolicyEgressRule[];
}

/** Both must hold; an absent selector selects all. */
export interface NamespacedPods {
  namespaceSelector?: LabelSelector;
  podSelector: LabelSelector;
}

interface CommonRule {
  name?: string;
  /** Accept, Deny or Pass. */
  action: string;
  protocols?: ClusterNetworkPolicyProtocol[];
}

export interface ClusterNetworkPolicyIngressRule extends CommonRule {
  from: ClusterNetworkPolicyPeer[];
}

export interface ClusterNetworkPolicyEgressRule extends CommonRule {
  to: ClusterNetworkPolicyPeer[];
}

/** Exactly one field; in ingress rules `namespaces` or `pods`. */
export interface ClusterNetworkPolicyPeer {
  namespaces?: LabelSelector;
  pods?: NamespacedPods;
  nodes?: LabelSelector;
  networks?: string[];
  domainNames?: string[];
}

/** Exactly one field. */
export interface ClusterNetworkPolicyProtocol {
  tcp?: { destinationPort?: ClusterNetworkPolicyPort };
  udp?: { destinationPort?: ClusterNetworkPolicyPort };
  sctp?: { destinationPort?: ClusterNetworkPolicyPort };
  destinationNamedPort?: string;
}

/** Exactly one field; both ends of the range belong to it. */
export interface ClusterNetworkPolicyPort {
  number?: number;
  range?: { start: number; end: number };
}
