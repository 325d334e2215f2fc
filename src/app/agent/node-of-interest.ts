// What the proxy of a real node keeps of each Node: a cluster may have thousands, and this is a hundredth of them.
import type { Node } from "kubernetes-types/core/v1";
import { dropManagedFields } from "#client";
import type { Stored } from "#kube";

export function nodeOfInterest({ apiVersion, kind, metadata, spec, status }: Stored<Node>): Stored<Node> {
  const { podCIDR, podCIDRs, taints } = spec ?? {};
  const { addresses, conditions = [] } = status ?? {};
  return {
    apiVersion,
    kind,
    metadata: dropManagedFields({ apiVersion, kind, metadata }).metadata,
    spec: {
      ...(podCIDR !== undefined && { podCIDR }),
      ...(podCIDRs !== undefined && { podCIDRs }),
      ...(taints !== undefined && { taints }),
    },
    status: {
      ...(addresses !== undefined && { addresses }),
      // The first by name of those that are Ready tells Services' authors what cannot be done.
      conditions: conditions.filter(({ type }) => type === "Ready").map(({ type, status: is }) => ({ type, status: is })),
    },
  };
}
