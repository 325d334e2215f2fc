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

/** What may not be read, and may matter, is put into `notes`. */
export async function readObjects(client: Client, notes: string[] = []): Promise<Objects> {
  const [namespaces, nodes, pods, services, slices, policies, clusterPolicies] = await Promise.all([
    mapOf(client, NAMESPACES),
    mapOf(client, NODES),
    mapOf(client, PODS),
    mapOf(client, SERVICES),
    mapOf(client, ENDPOINT_SLICES),
    mapOf(client, NETWORK_POLICIES),
    mapOf(client, CLUSTER_NETWORK_POLICIES).catch((err) => noneWhereUnknown(err, notes)),
  ]);
  return { namespaces, nodes, pods, services, slices, policies, clusterPolicies };
}

async function mapOf<T extends KubeObject>(client: Client, resource: Resource<T>): Promise<Map<string, Stored<T>>> {
  const { items } = await client.list(resource);
  return new Map(items.map((item) => [formatKey(item.metadata), item]));
}

/** Most clusters do not have the resource, and some do not let everybody see whether they do. */
function noneWhereUnknown(err: unknown, notes: string[]): Objects["clusterPolicies"] {
  const code = err instanceof ApiError ? err.status.code : undefined;
  if (code !== 404 && code !== 403) throw err;
  if (code === 403) notes.push("ClusterNetworkPolicies may not be listed here: if there are any, this answer is without them");
  return new Map();
}
