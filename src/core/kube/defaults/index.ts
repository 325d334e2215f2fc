// What the API sets where the user said nothing: the SetDefaults functions of kubernetes/kubernetes pkg/apis/*/v1/defaults.go.
import type { GroupVersionKind } from "../schema/table.ts";
import type { KubeObject } from "../types.ts";
import { daemonSetDefaults, deploymentDefaults, replicaSetDefaults, statefulSetDefaults } from "./apps.ts";
import { cronJobDefaults, jobDefaults } from "./batch.ts";
import {
  endpointsDefaults,
  limitRangeDefaults,
  namespaceDefaults,
  nodeDefaults,
  persistentVolumeClaimDefaults,
  persistentVolumeDefaults,
  replicationControllerDefaults,
  secretDefaults,
  tokenRequestDefaults,
} from "./core.ts";
import { endpointSliceDefaults, ingressClassDefaults, ingressDefaults, networkPolicyDefaults } from "./networking.ts";
import { podDefaults } from "./pod.ts";
import { serviceDefaults } from "./service.ts";

type Defaulter = (object: never) => void;

/** By `group/kind`. Each function takes the object type of its kind. */
const DEFAULTERS: ReadonlyMap<string, Defaulter> = new Map<string, Defaulter>([
  ["/Pod", podDefaults],
  ["/Service", serviceDefaults],
  ["/Namespace", namespaceDefaults],
  ["/Node", nodeDefaults],
  ["/Secret", secretDefaults],
  ["/Endpoints", endpointsDefaults],
  ["/PersistentVolume", persistentVolumeDefaults],
  ["/PersistentVolumeClaim", persistentVolumeClaimDefaults],
  ["/ReplicationController", replicationControllerDefaults],
  ["/LimitRange", limitRangeDefaults],
  ["apps/Deployment", deploymentDefaults],
  ["apps/ReplicaSet", replicaSetDefaults],
  ["apps/StatefulSet", statefulSetDefaults],
  ["apps/DaemonSet", daemonSetDefaults],
  ["batch/Job", jobDefaults],
  ["batch/CronJob", cronJobDefaults],
  ["discovery.k8s.io/EndpointSlice", endpointSliceDefaults],
  ["networking.k8s.io/NetworkPolicy", networkPolicyDefaults],
  ["networking.k8s.io/Ingress", ingressDefaults],
  ["networking.k8s.io/IngressClass", ingressClassDefaults],
  ["authentication.k8s.io/TokenRequest", tokenRequestDefaults],
]);

/**
 * Sets what the API sets where the user said nothing, in `object` itself: after decodeObject, before validation, on create and on
 * every update. A second time changes nothing.
 */
export function applyDefaults(kind: GroupVersionKind, object: KubeObject): void {
  DEFAULTERS.get(`${kind.group}/${kind.kind}`)?.(object as never);
}
