// What of a live cluster matters to who reaches whom. LIST calls only: it may be anybody's cluster.
import { ApiError, type Client } from "#client";
import {
  CLUSTER_NETWORK_POLICIES,
  ENDPOINT_SLICES,
  formatKey,
  type KubeObject,
  NAMESPACES,
  NETWORK_POLICIES,
  NODES,
  PODS,
  type Resource,
  SERVICES,
  type Stored,
} from "#kube";
import type { Objects } from "#whatif";

export async function readObjects(client: Client): Promise<Objects> {
  const [namespaces, nodes, pods, services, slices, policies, clusterPolicies] = await Promise.all([
    mapOf(client, NAMESPACES),
    mapOf(client, NODES),
    mapOf(client, PODS),
    mapOf(client, SERVICES),
    mapOf(client, ENDPOINT_SLICES),
    mapOf(client, NETWORK_POLICIES),
    mapOf(client, CLUSTER_NETWORK_POLICIES).catch(noneWhereUnknown),
  ]);
  return { namespaces, nodes, pods, services, slices, policies, clusterPolicies };
}

async function mapOf<T extends KubeObject>(client: Client, resource: Resource<T>): Promise<Map<string, Stored<T>>> {
  const { items } = await client.list(resource);
  return new Map(items.map((item) => [formatKey(item.metadata), item]));
}

/** Most clusters do not have the resource, and some do not let everybody see whether they do. */
function noneWhereUnknown(err: unknown): Objects["clusterPolicies"] {
  if (err instanceof ApiError && (err.status.code === 404 || err.status.code === 403)) return new Map();
  throw err;
}
