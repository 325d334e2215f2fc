// One copy of each resource for all controllers. Those that only need to know who owns what get metadata alone.
import type { Deployment, ReplicaSet } from "kubernetes-types/apps/v1";
import type { Lease } from "kubernetes-types/coordination/v1";
import type { ConfigMap, Endpoints, Namespace, Node, Pod, Service, ServiceAccount } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { Logger } from "#base";
import { type Client, createInformer, dropManagedFields, type Informer, type InformerOptions } from "#client";
import {
  CONFIG_MAPS,
  CORE_EVENTS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  ENDPOINTS,
  EVENTS,
  type KubeObject,
  LEASES,
  NAMESPACES,
  NODES,
  PODS,
  REPLICA_SETS,
  RESOURCES,
  type Resource,
  SERVICE_ACCOUNTS,
  SERVICES,
  type Stored,
} from "#kube";

export interface Informers {
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly services: Informer<Service>;
  readonly namespaces: Informer<Namespace>;
  readonly deployments: Informer<Deployment>;
  readonly replicaSets: Informer<ReplicaSet>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly endpoints: Informer<Endpoints>;
  readonly serviceAccounts: Informer<ServiceAccount>;
  /** Only the ones named `kube-root-ca.crt`. */
  readonly rootCas: Informer<ConfigMap>;
  readonly leases: Informer<Lease>;
  /**
   * Every resource that can own or be owned; for the kinds above it is the same copy. The others are followed from the first call on:
   * each is a connection, and nobody needs them while the cluster starts.
   */
  all(): readonly ResourceInformer[];
}

export interface ResourceInformer {
  readonly resource: Resource;
  readonly informer: Informer<KubeObject>;
}

export const ROOT_CA_NAME = "kube-root-ca.crt";

export function createInformers(client: Client, options: { readonly logger: Logger; readonly signal: AbortSignal }): Informers {
  const start = <T extends KubeObject>(resource: Resource<T>, more: InformerOptions<T> = {}): Informer<T> =>
    createInformer(client, resource, { ...options, transform: dropManagedFields, ...more });
  const full = {
    pods: start(PODS),
    nodes: start(NODES),
    services: start(SERVICES),
    namespaces: start(NAMESPACES),
    deployments: start(DEPLOYMENTS),
    replicaSets: start(REPLICA_SETS),
    endpointSlices: start(ENDPOINT_SLICES),
    endpoints: start(ENDPOINTS),
    serviceAccounts: start(SERVICE_ACCOUNTS),
    leases: start(LEASES),
  };
  const known = new Map<Resource, Informer<KubeObject>>([
    [PODS, full.pods],
    [NODES, full.nodes],
    [SERVICES, full.services],
    [NAMESPACES, full.namespaces],
    [DEPLOYMENTS, full.deployments],
    [REPLICA_SETS, full.replicaSets],
    [ENDPOINT_SLICES, full.endpointSlices],
    [ENDPOINTS, full.endpoints],
    [SERVICE_ACCOUNTS, full.serviceAccounts],
    [LEASES, full.leases],
  ]);
  let all: readonly ResourceInformer[] | undefined;
  const startAll = (): readonly ResourceInformer[] =>
    // Events are many, own nothing and expire by themselves.
    RESOURCES.filter((resource) => resource !== CORE_EVENTS && resource !== EVENTS).map((resource) => ({
      resource,
      informer: known.get(resource) ?? start<KubeObject>(resource, { transform: keepMetadata }),
    }));
  return {
    ...full,
    rootCas: start(CONFIG_MAPS, { fieldSelector: `metadata.name=${ROOT_CA_NAME}` }),
    all: () => (all ??= startAll()),
  };
}

/** What the garbage collector and the namespace controller look at. */
function keepMetadata(object: Stored): Stored {
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, ownerReferences, finalizers } = object.metadata;
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: {
      name,
      uid,
      resourceVersion,
      creationTimestamp,
      ...(namespace === undefined ? {} : { namespace }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
      ...(ownerReferences === undefined ? {} : { ownerReferences }),
      ...(finalizers === undefined ? {} : { finalizers }),
    },
  };
}
