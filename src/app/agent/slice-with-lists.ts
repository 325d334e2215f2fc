// EndpointSlices as a Kubernetes API server sends them.
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { dropManagedFields } from "#client";
import type { Stored } from "#kube";

/** One without endpoints has `"endpoints": null, "ports": null` there: neither field is omitted when empty (k8s.io/api discovery/v1 types.go). */
export function sliceWithLists(slice: Stored<EndpointSlice>): Stored<EndpointSlice> {
  const { endpoints, ports, ...rest } = dropManagedFields(slice);
  return { ...rest, endpoints: endpoints ?? [], ports: ports ?? [] };
}
