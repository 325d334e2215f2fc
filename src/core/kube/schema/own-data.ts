// Types that the models of Kubernetes do not have, in the form of data.ts: ClusterNetworkPolicy (network-policy-api v1alpha2, a CRD of
// other clusters, built in here).
const RULE = "action!:s name:s protocols:[ClusterNetworkPolicyProtocol";
const IN = "namespaces:meta.LabelSelector pods:NamespacedPod";
const PORT = "destinationPort:Port";

export const OWN_DATA: Readonly<Record<string, string>> = {
  "policy.v1alpha2": `
ClusterNetworkPolicy apiVersion:s kind:s metadata!:meta.ObjectMeta spec!:ClusterNetworkPolicySpec status:ClusterNetworkPolicyStatus
ClusterNetworkPolicyEgressPeer domainNames:[s ${IN} networks:[s nodes:meta.LabelSelector
ClusterNetworkPolicyEgressRule ${RULE} to!:[ClusterNetworkPolicyEgressPeer
ClusterNetworkPolicyIngressPeer ${IN}
ClusterNetworkPolicyIngressRule ${RULE} from!:[ClusterNetworkPolicyIngressPeer
ClusterNetworkPolicyList apiVersion:s items!:[ClusterNetworkPolicy kind:s metadata:meta.ListMeta
ClusterNetworkPolicyProtocol destinationNamedPort:s sctp:ClusterNetworkPolicyProtocolSCTP tcp:ClusterNetworkPolicyProtocolTCP udp:ClusterNetworkPolicyProtocolUDP
ClusterNetworkPolicyProtocolSCTP ${PORT}
ClusterNetworkPolicyProtocolTCP ${PORT}
ClusterNetworkPolicyProtocolUDP ${PORT}
ClusterNetworkPolicySpec egress:[ClusterNetworkPolicyEgressRule ingress:[ClusterNetworkPolicyIngressRule priority!:i subject!:ClusterNetworkPolicySubject tier!:s
ClusterNetworkPolicyStatus conditions!:[meta.Condition
ClusterNetworkPolicySubject ${IN}
NamespacedPod namespaceSelector:meta.LabelSelector podSelector!:meta.LabelSelector
Port number:i range:PortRange
PortRange end!:i start!:i
`,
};
