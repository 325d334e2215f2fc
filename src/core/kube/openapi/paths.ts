// The paths of a group version: one operation per verb of each resource and subresource.
import { type GroupVersionKind, schemaFor } from "../schema/table.ts";
import type { ApiResource, ApiSubresource } from "../served.ts";
import type { Resource } from "../types.ts";
import { LIST_PARAMETERS, pathParameters, queryParameters } from "./parameters.ts";
import { PATCH_TYPE, refTo } from "./schemas.ts";

type Json = Record<string, unknown>;

export interface Paths {
  readonly paths: Record<string, Json>;
  /** The types that the operations name. */
  readonly used: ReadonlySet<string>;
}

/** How a verb of discovery is an HTTP method, and what `x-kubernetes-action` calls it. */
const METHODS: Readonly<Record<string, { method: string; action: string }>> = {
  get: { method: "get", action: "get" },
  list: { method: "get", action: "list" },
  create: { method: "post", action: "post" },
  update: { method: "put", action: "put" },
  patch: { method: "patch", action: "patch" },
  delete: { method: "delete", action: "delete" },
  deletecollection: { method: "delete", action: "deletecollection" },
};

const PATCH_CONTENT: readonly string[] = [
  "application/apply-patch+yaml",
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
];

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";

interface Operation {
  readonly verb: string;
  readonly resource: Resource;
  readonly subresource?: ApiSubresource;
  /** What the bodies are, and what the operation is found by. */
  readonly kind: GroupVersionKind;
  readonly namespaced: boolean;
}

class Builder {
  readonly paths: Record<string, Json> = {};
  readonly used: Set<string> = new Set();
  readonly #root: string;

  constructor(groupVersion: Pick<Resource, "group" | "version">) {
    const { group, version } = groupVersion;
    this.#root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const answer = this.#answers(`${META}.APIResourceList`, [200]);
    this.paths[`${this.#root}/`] = {
      get: {
        tags: [tagOf(groupVersion)],
        description: "The resources of this group version",
        operationId: `get${titleOf(groupVersion)}APIResources`,
        responses: answer,
      },
    };
  }

  add(served: ApiResource): void {
    const { resource, verbs } = served;
    const { namespaced } = resource;
    const base = `${this.#root}${namespaced ? "/namespaces/{namespace}" : ""}/${resource.plural}`;
    const operation = (verb: string): Operation => ({ verb, resource, kind: resource, namespaced });
    this.#path(
      base,
      pathParameters(namespaced, false),
      ["list", "create", "deletecollection"].filter((verb) => verbs.includes(verb)).map(operation),
    );
    this.#path(
      `${base}/{name}`,
      pathParameters(namespaced, true),
      ["get", "update", "patch", "delete"].filter((verb) => verbs.includes(verb)).map(operation),
    );
    if (namespaced && verbs.includes("list")) {
      this.#path(`${this.#root}/${resource.plural}`, [], [{ verb: "list", resource, kind: resource, namespaced: false }]);
    }
    for (const subresource of served.subresources) {
      const operations = subresource.verbs.map((verb) => ({ verb, resource, subresource, kind: subresource.kind, namespaced }));
      this.#path(`${base}/{name}/${subresource.name}`, pathParameters(namespaced, true), operations);
    }
  }

  #path(path: string, parameters: readonly Json[], operations: readonly Operation[]): void {
    if (operations.length === 0) return;
    const item: Json = {};
    for (const operation of operations) {
      const { method } = METHODS[operation.verb] ?? { method: "get" };
      item[method] = operation.subresource?.connects === true ? this.#connect(operation, method) : this.#operation(operation);
    }
    this.paths[path] = { ...item, ...(parameters.length === 0 ? {} : { parameters }) };
  }

  #operation(operation: Operation): Json {
    const { verb, kind } = operation;
    const { action } = METHODS[verb] ?? { action: verb };
    const type = schemaFor(kind)?.name ?? "";
    const list = `${type}List`;
    const answer = verb === "list" ? list : verb === "deletecollection" || verb === "delete" ? `${META}.Status` : type;
    return {
      tags: [tagOf(operation.resource)],
      description: `${action} ${kind.kind}`,
      operationId: operationId(operation, action),
      ...(verb === "list" ? { parameters: LIST_PARAMETERS } : queryParameters(verb)),
      ...this.#body(verb, type),
      responses: this.#answers(answer, verb === "create" ? [200, 201, 202] : verb === "update" || verb === "patch" ? [200, 201] : [200]),
      "x-kubernetes-action": action,
      "x-kubernetes-group-version-kind": gvk(kind),
    };
  }

  /** A stream or a proxied answer: its body is nobody's type. */
  #connect(operation: Operation, method: string): Json {
    return {
      tags: [tagOf(operation.resource)],
      description: `connect ${method.toUpperCase()} requests to ${operation.subresource?.name} of ${operation.resource.kind}`,
      operationId: operationId(operation, `connect${capital(method)}`),
      responses: { "200": { description: "OK", content: { "*/*": { schema: { type: "string" } } } } },
      "x-kubernetes-action": "connect",
      "x-kubernetes-group-version-kind": gvk(operation.kind),
    };
  }

  #body(verb: string, type: string): Json {
    if (verb === "patch") {
      this.used.add(PATCH_TYPE);
      const content = Object.fromEntries(PATCH_CONTENT.map((contentType) => [contentType, { schema: refTo(PATCH_TYPE) }]));
      return { requestBody: { content, required: true } };
    }
    const body = verb === "create" || verb === "update" ? type : verb.startsWith("delete") ? `${META}.DeleteOptions` : undefined;
    if (body === undefined) return {};
    this.used.add(body);
    return { requestBody: { content: { "*/*": { schema: refTo(body) } }, ...(verb.startsWith("delete") ? {} : { required: true }) } };
  }

  #answers(type: string, codes: readonly number[]): Json {
    this.used.add(type);
    const content = { "application/json": { schema: refTo(type) }, "application/yaml": { schema: refTo(type) } };
    const texts: Readonly<Record<number, string>> = { 200: "OK", 201: "Created", 202: "Accepted" };
    const answers: [string, Json][] = codes.map((code) => [String(code), { description: texts[code], content }]);
    return { ...Object.fromEntries(answers), "401": { description: "Unauthorized" } };
  }
}

/** `resources` are all of `groupVersion`. */
export function pathsOf(groupVersion: Pick<Resource, "group" | "version">, resources: readonly ApiResource[]): Paths {
  const builder = new Builder(groupVersion);
  for (const served of resources) builder.add(served);
  const paths = Object.fromEntries(Object.entries(builder.paths).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { paths, used: builder.used };
}

function gvk(kind: GroupVersionKind): Json {
  return { group: kind.group, kind: kind.kind, version: kind.version };
}

/** `Core` + `V1`, `Discovery` + `V1`. */
function titleOf(groupVersion: Pick<Resource, "group" | "version">): string {
  const group = groupVersion.group === "" ? "core" : (groupVersion.group.split(".")[0] ?? "");
  return `${capital(group)}${capital(groupVersion.version)}`;
}

function tagOf(groupVersion: Pick<Resource, "group" | "version">): string {
  const group = groupVersion.group === "" ? "core" : (groupVersion.group.split(".")[0] ?? "");
  return `${group}_${groupVersion.version}`;
}

/** As upstream's: `readCoreV1NamespacedPodStatus`. */
function operationId(operation: Operation, action: string): string {
  const words: Readonly<Record<string, string>> = { get: "read", post: "create", put: "replace", deletecollection: "deleteCollection" };
  const { resource, subresource, namespaced } = operation;
  const across = operation.verb === "list" && resource.namespaced && !namespaced ? "ForAllNamespaces" : "";
  return `${words[action] ?? action}${titleOf(resource)}${namespaced ? "Namespaced" : ""}${resource.kind}${capital(subresource?.name ?? "")}${across}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
