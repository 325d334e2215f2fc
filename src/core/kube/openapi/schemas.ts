// TypeSchemas as OpenAPI component schemas, with the extensions that Kubernetes clients read.
import { describe } from "../schema/descriptions.ts";
import { isKind, splitTypeName, typeSchema } from "../schema/table.ts";
import type { FieldSchema, TypeSchema } from "../schema/types.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const TIME = `${META}.Time`;
const MICRO_TIME = `${META}.MicroTime`;
const INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const RAW_EXTENSION = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const FIELDS_V1 = `${META}.FieldsV1`;

/** The body of every PATCH. */
export const PATCH_TYPE: string = `${META}.Patch`;

type Json = Record<string, unknown>;

/** Types that are no objects in JSON, and those without fields. */
const SIMPLE: Readonly<Record<string, Json>> = {
  [TIME]: { description: "A time in RFC 3339, to the second.", type: "string", format: "date-time" },
  [MICRO_TIME]: { description: "A time in RFC 3339, to the microsecond.", type: "string", format: "date-time" },
  [INT_OR_STRING]: {
    description: "A number, or a name or percentage.",
    format: "int-or-string",
    oneOf: [{ type: "integer" }, { type: "string" }],
  },
  [QUANTITY]: { description: "An amount with a suffix, such as 100m or 1.5Gi.", oneOf: [{ type: "string" }, { type: "number" }] },
  [RAW_EXTENSION]: { description: "Any object.", type: "object" },
  [FIELDS_V1]: { description: "A set of fields, as server-side apply keeps it.", type: "object" },
  [PATCH_TYPE]: { description: "A patch in the form that the content type names.", type: "object" },
};

export function refTo(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

/** All types that can be reached from `roots`, in order of their names. */
export function componentSchemas(roots: Iterable<string>): Record<string, Json> {
  const found = new Map<string, Json>();
  const queue = [...roots];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (found.has(name)) continue;
    const schema = typeSchema(name);
    found.set(name, schema === undefined ? (SIMPLE[name] ?? { type: "object" }) : objectSchema(schema, queue));
  }
  return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function objectSchema(schema: TypeSchema, queue: string[]): Json {
  const { pkg, type } = splitTypeName(schema.name);
  const properties: Json = {};
  const required: string[] = [];
  for (const [name, field] of Object.entries(schema.fields)) {
    const description = describe(`${pkg}.${type}.${name}`) ?? commonDescription(schema, name);
    properties[name] = { description: description ?? "", ...fieldSchema(field, queue), ...extensions(field) };
    if (field.required === true) required.push(name);
  }
  return {
    description: describe(`${pkg}.${type}`) ?? "",
    type: "object",
    ...(required.length === 0 ? {} : { required }),
    properties,
    ...(isKind(schema) ? { "x-kubernetes-group-version-kind": groupVersionKinds(pkg, type) } : {}),
  };
}

function commonDescription(schema: TypeSchema, field: string): string | undefined {
  return isKind(schema) ? describe(`Kind.${field}`) : undefined;
}

function fieldSchema(field: FieldSchema, queue: string[]): Json {
  switch (field.type) {
    case "integer":
      return { type: "integer", format: field.format ?? "int64" };
    case "number":
      return { type: "number", format: "double" };
    case "bytes":
      return { type: "string", format: "byte" };
    case "array":
      return { type: "array", items: field.items === undefined ? {} : fieldSchema(field.items, queue) };
    case "map":
      return { type: "object", additionalProperties: field.items === undefined ? {} : fieldSchema(field.items, queue) };
    case "string":
    case "boolean":
      return { type: field.type };
    default:
      return reference(typeNameOf(field), queue);
  }
}

/** `allOf` lets a description stand beside the reference, which OpenAPI 3.0 ignores otherwise. */
function reference(name: string, queue: string[]): Json {
  queue.push(name);
  return { allOf: [refTo(name)] };
}

function typeNameOf(field: FieldSchema): string {
  switch (field.type) {
    case "time":
      return TIME;
    case "microTime":
      return MICRO_TIME;
    case "intOrString":
      return INT_OR_STRING;
    case "quantity":
      return QUANTITY;
    default:
      return field.ref ?? RAW_EXTENSION;
  }
}

function extensions(field: FieldSchema): Json {
  return {
    ...(field.listType === undefined ? {} : { "x-kubernetes-list-type": field.listType }),
    ...(field.listMapKeys === undefined ? {} : { "x-kubernetes-list-map-keys": field.listMapKeys }),
    ...(field.type === "map" && field.atomic === true ? { "x-kubernetes-map-type": "atomic" } : {}),
    ...(field.patchStrategy === undefined ? {} : { "x-kubernetes-patch-strategy": field.patchStrategy }),
    ...(field.mergeKey === undefined ? {} : { "x-kubernetes-patch-merge-key": field.mergeKey }),
  };
}

/** The groups whose first label alone does not name them. */
const GROUPS: Readonly<Record<string, string>> = {
  core: "",
  meta: "",
  authentication: "authentication.k8s.io",
  authorization: "authorization.k8s.io",
  coordination: "coordination.k8s.io",
  discovery: "discovery.k8s.io",
  events: "events.k8s.io",
  networking: "networking.k8s.io",
  "policy.v1alpha2": "policy.networking.k8s.io",
};

function groupOfPackage(pkg: string): { group: string; version: string } {
  const [home = "", version = ""] = pkg.split(".");
  return { group: GROUPS[pkg] ?? GROUPS[home] ?? home, version };
}

function groupVersionKinds(pkg: string, kind: string): Json[] {
  return [{ ...groupOfPackage(pkg), kind }];
}
