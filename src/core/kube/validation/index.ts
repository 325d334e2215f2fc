// Whether an object may be stored: the Validate functions of kubernetes/kubernetes pkg/apis/*/validation, for the kinds whose mistakes
// would do harm here. Kinds without rules of their own have those of metadata.
import type { KubeObject, Resource } from "../types.ts";
import { validateCronJob, validateJob, validateJobUpdate } from "./batch.ts";
import { validateClusterNetworkPolicy } from "./cluster-network-policy.ts";
import {
  validateConfigMap,
  validateConfigMapUpdate,
  validateLease,
  validateNode,
  validateNodeUpdate,
  validatePersistentVolumeClaim,
  validateSecret,
  validateSecretUpdate,
} from "./core.ts";
import { validateEndpointSlice, validateEndpointSliceUpdate, validateEndpoints } from "./endpoints.ts";
import { validateMetadata, validateMetadataUpdate } from "./metadata.ts";
import { validateIngress, validateIngressClass, validateIngressClassUpdate, validateNetworkPolicy } from "./networking.ts";
import { validatePod } from "./pod.ts";
import { validatePodUpdate } from "./pod-update.ts";
import { type FieldError, Problems } from "./problems.ts";
import { validateService, validateServiceUpdate } from "./service.ts";
import { validateIpAddress, validateIpAddressUpdate, validateServiceCidr, validateServiceCidrUpdate } from "./service-cidrs.ts";
import {
  validateDaemonSet,
  validateDeployment,
  validateReplicaSet,
  validateReplicationController,
  validateSelectorUpdate,
  validateStatefulSet,
  validateStatefulSetUpdate,
} from "./workloads.ts";

export { type FieldError, type FieldErrorType, invalidStatus } from "./problems.ts";

interface Rules {
  /** The object by itself. */
  readonly object?: (problems: Problems, object: never, old: never) => void;
  /** The object as a change of the old one. */
  readonly update?: (problems: Problems, object: never, old: never) => void;
}

/** By `group/kind`. Each function takes the object type of its kind. */
const RULES: ReadonlyMap<string, Rules> = new Map<string, Rules>([
  ["/Pod", { object: validatePod, update: validatePodUpdate }],
  ["/Service", { object: validateService, update: validateServiceUpdate }],
  ["/Endpoints", { object: validateEndpoints }],
  ["/ConfigMap", { object: validateConfigMap, update: validateConfigMapUpdate }],
  ["/Secret", { object: validateSecret, update: validateSecretUpdate }],
  ["/Node", { object: validateNode, update: validateNodeUpdate }],
  ["/PersistentVolumeClaim", { object: validatePersistentVolumeClaim }],
  ["/ReplicationController", { object: validateReplicationController }],
  ["apps/Deployment", { object: validateDeployment, update: validateSelectorUpdate }],
  ["apps/ReplicaSet", { object: validateReplicaSet, update: validateSelectorUpdate }],
  ["apps/DaemonSet", { object: validateDaemonSet, update: validateSelectorUpdate }],
  ["apps/StatefulSet", { object: validateStatefulSet, update: validateStatefulSetUpdate }],
  ["batch/Job", { object: validateJob, update: validateJobUpdate }],
  ["batch/CronJob", { object: validateCronJob }],
  ["discovery.k8s.io/EndpointSlice", { object: validateEndpointSlice, update: validateEndpointSliceUpdate }],
  ["networking.k8s.io/NetworkPolicy", { object: validateNetworkPolicy }],
  ["networking.k8s.io/Ingress", { object: validateIngress }],
  ["networking.k8s.io/IngressClass", { object: validateIngressClass, update: validateIngressClassUpdate }],
  ["networking.k8s.io/ServiceCIDR", { object: validateServiceCidr, update: validateServiceCidrUpdate }],
  ["networking.k8s.io/IPAddress", { object: validateIpAddress, update: validateIpAddressUpdate }],
  ["policy.networking.k8s.io/ClusterNetworkPolicy", { object: validateClusterNetworkPolicy }],
  ["coordination.k8s.io/Lease", { object: validateLease }],
]);

/** What is wrong with an object after defaults; with `old`, as an update of it (immutable fields). Empty when it is right. */
export function validate(resource: Resource, object: KubeObject, old?: KubeObject): FieldError[] {
  const problems = new Problems();
  const rules = RULES.get(`${resource.group}/${resource.kind}`);
  validateMetadata(problems, resource, object);
  rules?.object?.(problems, object as never, old as never);
  if (old !== undefined) {
    validateMetadataUpdate(problems, object, old);
    rules?.update?.(problems, object as never, old as never);
  }
  return problems.list;
}
