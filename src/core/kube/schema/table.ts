// The generated data as TypeSchemas, read line by line when asked for: a process that decodes Pods never reads the other types.
import type { Resource } from "../types.ts";
import { DATA as GENERATED } from "./data.ts";
import { isAtomic, isPointer, listFactsOf } from "./facts.ts";
import { OWN_DATA } from "./own-data.ts";
import type { FieldSchema, TypeSchema } from "./types.ts";

export type GroupVersionKind = Pick<Resource, "group" | "version" | "kind">;

const DATA: Readonly<Record<string, string>> = { ...GENERATED, ...OWN_DATA };

const SCALARS: Readonly<Record<string, FieldSchema>> = {
  s: { type: "string" },
  b: { type: "boolean" },
  i: { type: "integer", format: "int32" },
  l: { type: "integer", format: "int64" },
  n: { type: "number" },
  t: { type: "time" },
  u: { type: "microTime" },
  x: { type: "intOrString" },
  q: { type: "quantity" },
  y: { type: "bytes" },
  a: { type: "any" },
};

/** Only these have values that omitempty leaves out of the JSON form. */
const POINTER_TYPES: ReadonlySet<FieldSchema["type"]> = new Set(["string", "boolean", "integer", "number"]);

const lines: Map<string, Map<string, string>> = new Map();
const types: Map<string, TypeSchema> = new Map();

function linesOf(pkg: string): Map<string, string> {
  const known = lines.get(pkg);
  if (known !== undefined) return known;
  const result = new Map<string, string>();
  for (const line of (DATA[pkg] ?? "").split("\n")) if (line !== "") result.set(line.slice(0, line.indexOf(" ")), line);
  lines.set(pkg, result);
  return result;
}

/** `core.v1` + `Pod` → `io.k8s.api.core.v1.Pod`, as OpenAPI names it. */
function fullName(pkg: string, type: string): string {
  return `${pkg.startsWith("meta.") ? "io.k8s.apimachinery.pkg.apis." : "io.k8s.api."}${pkg}.${type}`;
}

/** Undoes fullName: `io.k8s.api.core.v1.Pod` → [`core.v1`, `Pod`]. */
export function splitTypeName(name: string): { pkg: string; type: string } {
  const parts = name.split(".");
  return { pkg: parts.slice(-3, -1).join("."), type: parts.at(-1) ?? "" };
}

/** A type by its full name, such as `io.k8s.api.core.v1.PodSpec`. */
export function typeSchema(name: string): TypeSchema | undefined {
  const known = types.get(name);
  if (known !== undefined) return known;
  const { pkg, type } = splitTypeName(name);
  const line = linesOf(pkg).get(type);
  if (line === undefined || fullName(pkg, type) !== name) return undefined;
  const schema: TypeSchema = { name, fields: parseFields(line, pkg, type) };
  types.set(name, schema);
  return schema;
}

function parseFields(line: string, pkg: string, type: string): Record<string, FieldSchema> {
  // Without a prototype: a field that a user calls "constructor" must not be found here.
  const fields: Record<string, FieldSchema> = Object.create(null);
  for (const token of line.split(" ").slice(1)) {
    const colon = token.indexOf(":");
    const required = token[colon - 1] === "!";
    const name = token.slice(0, required ? colon - 1 : colon);
    fields[name] = {
      ...parseType(token.slice(colon + 1), pkg),
      ...(required ? { required } : {}),
      ...factsOf(`${pkg}.${type}`, name, token),
    };
  }
  return fields;
}

function parseType(code: string, pkg: string): FieldSchema {
  const scalar = SCALARS[code];
  if (scalar !== undefined) return scalar;
  if (code.startsWith("[")) return { type: "array", items: parseType(code.slice(1), pkg) };
  if (code.startsWith("{")) return { type: "map", items: parseType(code.slice(1), pkg) };
  return { type: "object", ref: refName(code, pkg) };
}

/** All referenced types are of version v1, as is everything that this table has. */
function refName(code: string, pkg: string): string {
  const [home, type] = code.split(".");
  return type === undefined ? fullName(pkg, code) : fullName(`${home}.v1`, type);
}

function factsOf(type: string, field: string, token: string): Partial<FieldSchema> {
  const code = token.slice(token.indexOf(":") + 1);
  const scalar = SCALARS[code];
  if (scalar !== undefined) return POINTER_TYPES.has(scalar.type) && isPointer(type, field) ? { pointer: true } : {};
  if (code.startsWith("[")) return listFactsOf(type, field) ?? { listType: "atomic" };
  const pkg = type.split(".").slice(0, 2).join(".");
  const { pkg: home, type: ref } = splitTypeName(code.startsWith("{") ? "" : refName(code, pkg));
  const atomic = isAtomic(type, field, ref === "" ? undefined : `${home}.${ref}`);
  return { ...listFactsOf(type, field), ...(atomic ? { atomic } : {}) };
}

/** `discovery.k8s.io` + `v1` → `discovery.v1`. */
function packageOf(group: string, version: string): string {
  return `${group === "" ? "core" : group.split(".")[0]}.${version}`;
}

/**
 * The type of a kind: of all kinds that the API serves, and of those that clients only send, such as Scale. Kinds of meta/v1
 * (DeleteOptions, Status, PartialObjectMetadata) are found under every group, because clients send them so.
 */
export function schemaFor(kind: GroupVersionKind): TypeSchema | undefined {
  const own = typeSchema(fullName(packageOf(kind.group, kind.version), kind.kind));
  if (own !== undefined) return isKind(own) ? own : undefined;
  const meta = typeSchema(fullName("meta.v1", kind.kind));
  return meta !== undefined && (isKind(meta) || meta.name.endsWith(".WatchEvent")) ? meta : undefined;
}

/** Whether objects of this type stand alone: ObjectReference has apiVersion and kind, but they name another object. */
export function isKind(schema: TypeSchema): boolean {
  const { apiVersion, kind, name, uid } = schema.fields;
  return (
    apiVersion?.type === "string" &&
    kind?.type === "string" &&
    uid === undefined &&
    (name === undefined || schema.name.endsWith(".APIGroup"))
  );
}

/** The names of all types of a package, such as `core.v1`; for tests and OpenAPI. */
export function typeNames(pkg: string): string[] {
  return [...linesOf(pkg).keys()].map((type) => fullName(pkg, type));
}

export function packages(): string[] {
  return Object.keys(DATA);
}
