// Discovery as it was before it was aggregated: one document per root, group and group version. client-go before 0.26 reads these.
import { apiVersionOf } from "#kube";
import type { ApiResource } from "#kube/schema";

export function apiVersions(serverAddress: string): object {
  return {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
  };
}

export function apiGroupList(resources: readonly ApiResource[]): object {
  const names = new Set(resources.map(({ resource }) => resource.group).filter((group) => group !== ""));
  const groups = [...names].map((name) => groupOf(resources, name));
  return { kind: "APIGroupList", apiVersion: "v1", groups };
}

/** undefined when there is no such group. */
export function apiGroup(resources: readonly ApiResource[], name: string): object | undefined {
  const group = groupOf(resources, name);
  return group === undefined ? undefined : { kind: "APIGroup", apiVersion: "v1", ...group };
}

function groupOf(resources: readonly ApiResource[], name: string): object | undefined {
  const versions = new Set(resources.filter(({ resource }) => resource.group === name).map(({ resource }) => resource.version));
  const list = [...versions].map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return list.length === 0 || name === "" ? undefined : { name, versions: list, preferredVersion: list[0] };
}

/** undefined when nothing is served there. */
export function apiResourceList(resources: readonly ApiResource[], group: string, version: string): object | undefined {
  const own = resources.filter(({ resource }) => resource.group === group && resource.version === version);
  if (own.length === 0) return undefined;
  return {
    kind: "APIResourceList",
    ...(group === "" ? {} : { apiVersion: "v1" }),
    groupVersion: apiVersionOf({ group, version }),
    resources: own.flatMap(entriesOf),
  };
}

function entriesOf({ resource, verbs, subresources }: ApiResource): object[] {
  const { plural, singular, namespaced, kind, shortNames, categories } = resource;
  const main = {
    name: plural,
    singularName: singular,
    namespaced,
    kind,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  };
  const parts = subresources.map((sub) => {
    const isForeign = sub.kind.group !== resource.group || sub.kind.version !== resource.version;
    return {
      name: `${plural}/${sub.name}`,
      singularName: "",
      namespaced,
      ...(isForeign ? { group: sub.kind.group, version: sub.kind.version } : {}),
      kind: sub.kind.kind,
      verbs: sub.verbs,
    };
  });
  return [main, ...parts];
}
