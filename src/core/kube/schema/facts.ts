// What OpenAPI's models do not tell of the API's types, written down by hand. Sources: the patchStrategy, patchMergeKey, listType,
// listMapKey, mapType and structType marks of the types.go files in kubernetes/api and kubernetes/apimachinery, and which of their
// fields are pointers.
import type { FieldSchema } from "./types.ts";

/**
 * How lists are merged: `field=strategy:keys`. The first key is strategic merge's, all of them are server-side apply's. Without keys
 * the list is a set. A strategy of "-" is server-side apply's only; `!` after the keys: strategic merge's only. Lists that are not
 * here are replaced whole.
 */
const LISTS = `
apps.v1.DaemonSetStatus conditions=merge:type
apps.v1.DeploymentSpec strategy=retainKeys
apps.v1.DeploymentStatus conditions=merge:type
apps.v1.ReplicaSetStatus conditions=merge:type
apps.v1.StatefulSetStatus conditions=merge:type
batch.v1.JobStatus conditions=merge:type!
batch.v1.PodFailurePolicyOnExitCodesRequirement values=-
batch.v1.UncountedTerminatedPods failed=- succeeded=-
core.v1.ComponentStatus conditions=merge:type
core.v1.Container env=merge:name ports=merge:containerPort,protocol volumeDevices=merge:devicePath volumeMounts=merge:mountPath
core.v1.ContainerRestartRuleOnExitCodes values=-
core.v1.ContainerStatus allocatedResourcesStatus=merge:name volumeMounts=merge:mountPath
core.v1.EphemeralContainer env=merge:name ports=merge:containerPort,protocol volumeDevices=merge:devicePath volumeMounts=merge:mountPath
core.v1.NamespaceStatus conditions=merge:type
core.v1.NodeSpec podCIDRs=merge
core.v1.NodeStatus addresses=merge:type conditions=merge:type
core.v1.PersistentVolumeClaimStatus conditions=merge:type
core.v1.PodSpec containers=merge:name ephemeralContainers=merge:name hostAliases=merge:ip imagePullSecrets=merge:name
core.v1.PodSpec initContainers=merge:name resourceClaims=merge,retainKeys:name schedulingGates=merge:name
core.v1.PodSpec topologySpreadConstraints=merge:topologyKey,whenUnsatisfiable volumes=merge,retainKeys:name
core.v1.PodStatus conditions=merge:type hostIPs=merge:ip! podIPs=merge:ip resourceClaimStatuses=merge,retainKeys:name
core.v1.ReplicationControllerStatus conditions=merge:type
core.v1.ResourceRequirements claims=-:name
core.v1.ResourceStatus resources=-:resourceID
core.v1.ServiceAccount secrets=merge:name
core.v1.ServiceSpec ports=merge:port,protocol
core.v1.ServiceStatus conditions=merge:type
discovery.v1.Endpoint addresses=-
networking.v1.ServiceCIDRStatus conditions=merge:type
policy.v1alpha2.ClusterNetworkPolicyEgressPeer domainNames=- networks=-
policy.v1alpha2.ClusterNetworkPolicyStatus conditions=merge:type
meta.v1.ObjectMeta finalizers=merge ownerReferences=merge:uid
`;

/** Maps and objects that server-side apply takes as one value: `Type.field`, or `Type` wherever it is used. */
const ATOMIC: ReadonlySet<string> = new Set(
  `core.v1.ConfigMapKeySelector core.v1.EndpointAddress core.v1.EndpointPort core.v1.FileKeySelector core.v1.LocalObjectReference
  core.v1.NodeSelector core.v1.NodeSelectorTerm core.v1.ObjectFieldSelector core.v1.ObjectReference core.v1.PodSpec.nodeSelector
  core.v1.ReplicationControllerSpec.selector core.v1.ResourceFieldSelector core.v1.ScopeSelector core.v1.SecretKeySelector
  core.v1.SecretReference core.v1.ServiceSpec.selector core.v1.TypedLocalObjectReference discovery.v1.EndpointPort
  meta.v1.LabelSelector meta.v1.OwnerReference networking.v1.ServiceBackendPort`.split(/\s+/),
);

/** The one place where an atomic type is not: a volume's binding is written in two steps. */
const GRANULAR = "core.v1.PersistentVolumeSpec.claimRef";

/**
 * Scalars that are pointers; in the types after `*`, all of them are. ScaleSpec.replicas is none, but what reads a Scale must see the 0.
 */
const POINTERS = `
apps.v1.DaemonSetSpec revisionHistoryLimit
apps.v1.DaemonSetStatus collisionCount
apps.v1.DeploymentSpec progressDeadlineSeconds replicas revisionHistoryLimit
apps.v1.DeploymentStatus collisionCount terminatingReplicas
apps.v1.ReplicaSetSpec replicas
apps.v1.ReplicaSetStatus terminatingReplicas
apps.v1.RollingUpdateStatefulSetStrategy partition
apps.v1.StatefulSetSpec replicas revisionHistoryLimit
apps.v1.StatefulSetStatus collisionCount
authentication.v1.TokenRequestSpec expirationSeconds
autoscaling.v1.ScaleSpec replicas
batch.v1.CronJobSpec failedJobsHistoryLimit startingDeadlineSeconds successfulJobsHistoryLimit suspend timeZone
batch.v1.JobSpec *
batch.v1.JobStatus failedIndexes ready terminating
batch.v1.PodFailurePolicyOnExitCodesRequirement containerName
batch.v1.SuccessPolicyRule *
coordination.v1.LeaseSpec *
core.v1.AppArmorProfile localhostProfile
core.v1.AzureDiskVolumeSource cachingMode fsType kind readOnly
core.v1.AzureFilePersistentVolumeSource secretNamespace
core.v1.CSIVolumeSource fsType readOnly
core.v1.ClientIPConfig *
core.v1.ClusterTrustBundleProjection name optional signerName
core.v1.ConfigMap immutable
core.v1.ConfigMapEnvSource optional
core.v1.ConfigMapKeySelector optional
core.v1.ConfigMapProjection optional
core.v1.ConfigMapVolumeSource defaultMode optional
core.v1.Container restartPolicy
core.v1.ContainerStatus started stopSignal
core.v1.DownwardAPIVolumeFile mode
core.v1.DownwardAPIVolumeSource defaultMode
core.v1.EndpointAddress nodeName
core.v1.EndpointPort appProtocol
core.v1.EphemeralContainer restartPolicy
core.v1.FCVolumeSource lun
core.v1.FileKeySelector optional
core.v1.GRPCAction service
core.v1.GlusterfsPersistentVolumeSource endpointsNamespace
core.v1.HostPathVolumeSource type
core.v1.ISCSIPersistentVolumeSource initiatorName
core.v1.ISCSIVolumeSource initiatorName
core.v1.KeyToPath mode
core.v1.Lifecycle stopSignal
core.v1.LoadBalancerIngress ipMode
core.v1.LocalVolumeSource fsType
core.v1.NodeFeatures *
core.v1.NodeRuntimeHandlerFeatures *
core.v1.NodeSwapStatus capacity
core.v1.PersistentVolumeClaimSpec storageClassName volumeAttributesClassName volumeMode
core.v1.PersistentVolumeClaimStatus currentVolumeAttributesClassName
core.v1.PersistentVolumeSpec volumeAttributesClassName volumeMode
core.v1.PodCertificateProjection maxExpirationSeconds
core.v1.PodDNSConfigOption value
core.v1.PodResourceClaim resourceClaimName resourceClaimTemplateName
core.v1.PodResourceClaimStatus resourceClaimName
core.v1.PodSchedulingGroup *
core.v1.PodSecurityContext *
core.v1.PodSpec activeDeadlineSeconds automountServiceAccountToken enableServiceLinks hostUsers hostnameOverride preemptionPolicy
core.v1.PodSpec priority runtimeClassName setHostnameAsFQDN shareProcessNamespace terminationGracePeriodSeconds
core.v1.PortStatus error
core.v1.Probe terminationGracePeriodSeconds
core.v1.ProjectedVolumeSource defaultMode
core.v1.ReplicationControllerSpec replicas
core.v1.ResourceHealth message
core.v1.SeccompProfile localhostProfile
core.v1.Secret immutable
core.v1.SecretEnvSource optional
core.v1.SecretKeySelector optional
core.v1.SecretProjection optional
core.v1.SecretVolumeSource defaultMode optional
core.v1.SecurityContext *
core.v1.ServiceAccount automountServiceAccountToken
core.v1.ServiceAccountTokenProjection expirationSeconds
core.v1.ServicePort appProtocol
core.v1.ServiceSpec allocateLoadBalancerNodePorts internalTrafficPolicy ipFamilyPolicy loadBalancerClass trafficDistribution
core.v1.Toleration tolerationSeconds
core.v1.TopologySpreadConstraint minDomains nodeAffinityPolicy nodeTaintsPolicy
core.v1.TypedLocalObjectReference apiGroup
core.v1.TypedObjectReference apiGroup namespace
core.v1.VolumeMount mountPropagation recursiveReadOnly
core.v1.VolumeMountStatus recursiveReadOnly
core.v1.WindowsSecurityContextOptions *
discovery.v1.Endpoint hostname nodeName zone
discovery.v1.EndpointConditions *
discovery.v1.EndpointPort *
meta.v1.DeleteOptions gracePeriodSeconds ignoreStoreReadErrorWithClusterBreakingPotential orphanDependents propagationPolicy
meta.v1.ListMeta remainingItemCount
meta.v1.ObjectMeta deletionGracePeriodSeconds
meta.v1.OwnerReference blockOwnerDeletion controller
meta.v1.Preconditions *
networking.v1.HTTPIngressPath pathType
networking.v1.IngressClassParametersReference apiGroup namespace scope
networking.v1.IngressPortStatus error
networking.v1.IngressSpec ingressClassName
networking.v1.NetworkPolicyPort endPort protocol
policy.v1alpha2.ClusterNetworkPolicyProtocol *
policy.v1alpha2.Port *
`;

type Strategy = NonNullable<FieldSchema["patchStrategy"]>;
type ListFacts = Pick<FieldSchema, "patchStrategy" | "mergeKey" | "listType" | "listMapKeys">;

function readLists(): Map<string, ListFacts> {
  const result = new Map<string, ListFacts>();
  for (const line of LISTS.trim().split("\n")) {
    const [type = "", ...fields] = line.split(" ");
    for (const field of fields) {
      const [name = "", rest = ""] = field.split("=");
      result.set(`${type}.${name}`, parseListFacts(rest));
    }
  }
  return result;
}

function parseListFacts(text: string): ListFacts {
  const [strategy = "", keyText] = text.split(":");
  if (strategy === "retainKeys") return { patchStrategy: strategy };
  const keys = keyText?.replace("!", "").split(",") ?? [];
  const merge = strategy === "-" ? {} : { patchStrategy: strategy as Strategy };
  const key = strategy === "-" || keys[0] === undefined ? {} : { mergeKey: keys[0] };
  const own: ListFacts = keys.length === 0 ? { listType: "set" } : { listType: "map", listMapKeys: keys };
  return { ...merge, ...key, ...(keyText?.endsWith("!") ? { listType: "atomic" } : own) };
}

function readPointers(): Set<string> {
  const lines = POINTERS.trim().split("\n");
  return new Set(
    lines.flatMap((line) => {
      const [type, ...fields] = line.split(" ");
      return fields.map((field) => `${type}.${field}`);
    }),
  );
}

let lists: ReadonlyMap<string, ListFacts> | undefined;
let pointers: ReadonlySet<string> | undefined;

/** `type` is `core.v1.PodSpec`. */
export function listFactsOf(type: string, field: string): ListFacts | undefined {
  lists ??= readLists();
  return lists.get(`${type}.${field}`);
}

export function isPointer(type: string, field: string): boolean {
  pointers ??= readPointers();
  return pointers.has(`${type}.${field}`) || pointers.has(`${type}.*`);
}

/** `refType` is the type of the field's value, where that is an object. */
export function isAtomic(type: string, field: string, refType: string | undefined): boolean {
  const name = `${type}.${field}`;
  if (name === GRANULAR) return false;
  return ATOMIC.has(name) || (refType !== undefined && ATOMIC.has(refType));
}

/** What is written down here, as `core.v1.PodSpec.containers`: for the test that holds it against the types. */
export function listFacts(): string[] {
  return [...readLists().keys()];
}

export function pointerFacts(): string[] {
  return [...readPointers()];
}

export function atomicFacts(): string[] {
  return [...ATOMIC, GRANULAR];
}
