// Aggregated discovery (KEP-3352): everything that is served, in one answer per root.
import type { ApiResource } from "#kube/schema";

export type DiscoveryVersion = "v2" | "v2beta1";

/** `/api` with the core group, `/apis` with the others. */
export function aggregatedDiscovery(resources: readonly ApiResource[], version: DiscoveryVersion, core: boolean): object {
  const own = resources.filter(({ resource }) => (resource.group === "") === core);
  const groups = new Map<string, Map<string, ApiResource[]>>();
  for (const api of own) {
    const { group, version: apiVersion } = api.resource;
    const versions = groups.get(group) ?? new Map<string, ApiResource[]>();
    groups.set(group, versions);
    versions.set(apiVersion, [...(versions.get(apiVersion) ?? []), api]);
  }
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: [...groups].map(([name, versions]) => ({
      metadata: { name, creationTimestamp: null },
      versions: [...versions].map(([apiVersion, list]) => ({
        version: apiVersion,
        resources: list.map(resourceDiscovery),
        freshness: "Current",
      })),
    })),
  };
}

function resourceDiscovery({ resource, verbs, subresources }: ApiResource): object {
  const { group, version, kind, plural, singular, namespaced, shortNames, categories } = resource;
  return {
    resource: plural,
    responseKind: { group, version, kind },
    scope: namespaced ? "Namespaced" : "Cluster",
    singularResource: singular,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
    ...(subresources.length === 0
      ? {}
      : { subresources: subresources.map((sub) => ({ subresource: sub.name, responseKind: sub.kind, verbs: sub.verbs })) }),
  };
}
