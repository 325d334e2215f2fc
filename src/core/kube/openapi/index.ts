// OpenAPI v3 as kube-apiserver publishes it: an index, and one document per group version (KEP-2896). kubectl reads it for explain, for
// apply's patches, and to learn that the server knows `fieldValidation`.

import type { ApiResource } from "../served.ts";
import type { Resource } from "../types.ts";
import { pathsOf } from "./paths.ts";
import { componentSchemas } from "./schemas.ts";

export type GroupVersion = Pick<Resource, "group" | "version">;

/** `api/v1`, `apis/apps/v1`. */
function groupVersionPath(groupVersion: GroupVersion): string {
  return groupVersion.group === "" ? `api/${groupVersion.version}` : `apis/${groupVersion.group}/${groupVersion.version}`;
}

/** `/openapi/v3`: where the document of each group version is; `hashOf` gives a text that changes with the document. */
export function openApiIndex(
  groupVersions: readonly GroupVersion[],
  hashOf: (groupVersion: GroupVersion) => string,
): { paths: Record<string, { serverRelativeURL: string }> } {
  const paths: Record<string, { serverRelativeURL: string }> = {};
  for (const groupVersion of groupVersions) {
    const path = groupVersionPath(groupVersion);
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hashOf(groupVersion)}` };
  }
  return { paths };
}

/**
 * `/openapi/v3/apis/apps/v1`: the OpenAPI 3.0 document of one group version. `resources` may be all that are served: those of other
 * group versions are left out. The result is fresh plain data, and large for core/v1: keep its text.
 */
export function openApiDocument(groupVersion: GroupVersion, resources: readonly ApiResource[]): object {
  const own = resources.filter(({ resource }) => resource.group === groupVersion.group && resource.version === groupVersion.version);
  const { paths, used } = pathsOf(groupVersion, own);
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: "v1.33.0" },
    paths,
    components: {
      schemas: componentSchemas(used),
      securitySchemes: { BearerToken: { type: "apiKey", description: "A bearer token", name: "authorization", in: "header" } },
    },
  };
}
