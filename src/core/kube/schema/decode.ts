// Reads untrusted JSON along a schema into the form that the API stores and prints: unknown fields dropped, null as absent, empty
// optional values left out (Go's omitempty), quantities and times canonical. The texts are those of sigs.k8s.io/json and encoding/json,
// as kube-apiserver answers them, with the path and the value at the end.
import { errorMessage, InputError } from "#base";
import { isBase64 } from "../base64.ts";
import { formatQuantity, parseQuantity } from "../quantity.ts";
import type { KubeObject } from "../types.ts";
import { type GroupVersionKind, schemaFor, typeSchema } from "./table.ts";
import { canonicalMicroTime, canonicalTime } from "./time.ts";
import type { FieldSchema, TypeSchema } from "./types.ts";

/** The query parameter of writes: Strict refuses unknown fields, Warn tells of them, Ignore drops them silently. */
export type FieldValidation = "Strict" | "Warn" | "Ignore";

export interface Decoded {
  /** A fresh object in canonical form, without unknown fields: the caller may change it. */
  readonly object: KubeObject;
  /** `unknown field "spec.foo"`; empty under Ignore. */
  readonly unknown: readonly string[];
  /** Values of the wrong type; with any of these the request is a BadRequest, in every mode. */
  readonly problems: readonly string[];
}

/** Go's decoder stops to collect here (sigs.k8s.io/json). */
const MAX_UNKNOWN = 100;

/** Lists that have no omitempty although OpenAPI calls them optional: `[]` is printed as it was sent. */
const KEPT_EMPTY: ReadonlySet<string> = new Set([
  "io.k8s.api.discovery.v1.EndpointSlice.endpoints",
  "io.k8s.api.discovery.v1.EndpointSlice.ports",
  // What a custom resource says stays: an empty list is refused, not everything.
  "io.k8s.api.policy.v1alpha2.ClusterNetworkPolicyEgressPeer.domainNames",
  "io.k8s.api.policy.v1alpha2.ClusterNetworkPolicyEgressPeer.networks",
  "io.k8s.api.policy.v1alpha2.ClusterNetworkPolicyEgressRule.protocols",
  "io.k8s.api.policy.v1alpha2.ClusterNetworkPolicyIngressRule.protocols",
]);

type JsonMap = Record<string, unknown>;

interface Place {
  /** With indices, for people: `spec.ports[0].port`. */
  readonly path: string;
  /** Without, as Go names the field: `ServicePort.spec.ports.port`. */
  readonly goPath: string;
}

class Decoder {
  readonly unknown: string[] = [];
  readonly problems: string[] = [];
  readonly #collect: boolean;

  constructor(collect: boolean) {
    this.#collect = collect;
  }

  object(schema: TypeSchema, value: JsonMap, place: Place): JsonMap {
    const result: JsonMap = {};
    for (const [name, raw] of Object.entries(value)) {
      const field = schema.fields[name];
      const path = place.path === "" ? name : `${place.path}.${name}`;
      if (field === undefined) {
        if (this.#collect && this.unknown.length < MAX_UNKNOWN) this.unknown.push(`unknown field ${JSON.stringify(path)}`);
        continue;
      }
      if (raw === null) continue;
      const decoded = this.value(field, raw, {
        path,
        goPath: `${goName(schema.name)}.${path.replaceAll(/\[\d+\]/g, "")}`,
      });
      if (decoded === undefined || (isOmitted(field, decoded) && !KEPT_EMPTY.has(`${schema.name}.${name}`))) continue;
      result[name] = decoded;
    }
    return result;
  }

  /** Undefined when the value is of the wrong type. */
  value(field: FieldSchema, value: unknown, place: Place): unknown {
    switch (field.type) {
      case "object":
        return this.#reference(field, value, place);
      case "array":
        return this.#array(field, value, place);
      case "map":
        return this.#map(field, value, place);
      case "any":
        return value;
      case "string":
        return typeof value === "string" ? value : this.#wrong(field, value, place);
      case "boolean":
        return typeof value === "boolean" ? value : this.#wrong(field, value, place);
      case "number":
        return typeof value === "number" ? value : this.#wrong(field, value, place);
      case "integer":
        return isInteger(value, field.format) ? value : this.#wrong(field, value, place);
      case "intOrString":
        return typeof value === "string" || isInteger(value, "int32") ? value : this.#wrong(field, value, place);
      default:
        return this.#text(field, value, place);
    }
  }

  /** Values that are texts of a certain form. */
  #text(field: FieldSchema, value: unknown, place: Place): unknown {
    try {
      if (field.type === "quantity" && (typeof value === "string" || typeof value === "number")) {
        return formatQuantity(parseQuantity(String(value), place.path));
      }
      if (typeof value !== "string") return this.#wrong(field, value, place);
      if (field.type === "time") return value === "" ? undefined : canonicalTime(value);
      if (field.type === "microTime") return value === "" ? undefined : canonicalMicroTime(value);
    } catch (err) {
      const reason = err instanceof InputError ? errorMessage(err).slice(err.field.length + 2) : errorMessage(err);
      this.problems.push(`${reason} (${place.path}: ${shortJson(value)})`);
      return undefined;
    }
    if (isBase64(value)) return value.replaceAll(/[\r\n]/g, "");
    this.problems.push(`illegal base64 data (${place.path}: ${shortJson(value)})`);
    return undefined;
  }

  #reference(field: FieldSchema, value: unknown, place: Place): unknown {
    const schema = field.ref === undefined ? undefined : typeSchema(field.ref);
    if (!isMap(value) || schema === undefined) return this.#wrong(field, value, place);
    return this.object(schema, value, place);
  }

  #array(field: FieldSchema, value: unknown, place: Place): unknown {
    const { items } = field;
    if (!Array.isArray(value) || items === undefined) return this.#wrong(field, value, place);
    return value.map((item, i) => {
      const inner = { path: `${place.path}[${i}]`, goPath: place.goPath };
      return item === null ? zeroOf(items) : this.value(items, item, inner);
    });
  }

  #map(field: FieldSchema, value: unknown, place: Place): unknown {
    const { items } = field;
    if (!isMap(value) || items === undefined) return this.#wrong(field, value, place);
    const result: JsonMap = {};
    for (const [key, item] of Object.entries(value)) {
      const inner = { path: `${place.path}.${key}`, goPath: place.goPath };
      const decoded = item === null ? zeroOf(items) : this.value(items, item, inner);
      // `result["__proto__"] = …` would change the prototype and lose the user's key.
      if (decoded !== undefined)
        Object.defineProperty(result, key, { value: decoded, enumerable: true, writable: true, configurable: true });
    }
    return result;
  }

  #wrong(field: FieldSchema, value: unknown, place: Place): undefined {
    const found = typeof value === "number" && field.type === "integer" ? `number ${value}` : jsonType(value);
    const what = `json: cannot unmarshal ${found} into Go struct field ${place.goPath} of type ${goType(field)}`;
    this.problems.push(`${what} (${place.path}: ${shortJson(value)})`);
    return undefined;
  }
}

/** Reads an untrusted JSON value as an object of `kind`; `apiVersion` and `kind` are kept as they were sent. */
export function decodeObject(kind: GroupVersionKind, value: unknown, mode: FieldValidation = "Ignore"): Decoded {
  const schema = schemaFor(kind);
  if (schema === undefined) throw new InputError("kind", `no kind ${kind.kind} is known in ${kind.group || "core"}/${kind.version}`);
  if (!isMap(value)) {
    const problem = `json: cannot unmarshal ${jsonType(value)} into Go value of type ${goQualified(schema.name)}`;
    return { object: {}, unknown: [], problems: [problem] };
  }
  const decoder = new Decoder(mode !== "Ignore");
  const object: KubeObject = decoder.object(schema, value, { path: "", goPath: "" });
  return { object, unknown: decoder.unknown, problems: decoder.problems };
}

/** What is wrong with the unknown fields, under Strict: `strict decoding error: unknown field "spec.foo", unknown field "spec.bar"`. */
export function strictDecodingError(unknown: readonly string[]): string {
  return `strict decoding error: ${unknown.join(", ")}`;
}

/** The message of the BadRequest: `Pod in version "v1" cannot be handled as a Pod: strict decoding error: …`. */
export function decodingErrorMessage(kind: GroupVersionKind, reason: string): string {
  return `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${reason}`;
}

/** What omitempty leaves out: nothing that the schema requires, and no scalar that is a pointer. */
function isOmitted(field: FieldSchema, value: unknown): boolean {
  if (field.required === true) return false;
  if (Array.isArray(value)) return field.type === "array" && value.length === 0;
  if (typeof value === "object") return field.type === "map" && value !== null && Object.keys(value).length === 0;
  if (field.pointer === true || field.type === "any" || field.type === "intOrString" || field.type === "quantity") return false;
  return value === "" || value === 0 || value === false;
}

/** Go decodes null inside of lists and maps as the zero value. */
function zeroOf(field: FieldSchema): unknown {
  switch (field.type) {
    case "string":
    case "bytes":
      return "";
    case "integer":
    case "number":
    case "intOrString":
      return 0;
    case "boolean":
      return false;
    case "quantity":
      return "0";
    case "array":
      return [];
    case "object":
    case "map":
      return {};
    default:
      return null;
  }
}

function isMap(value: unknown): value is JsonMap {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isInteger(value: unknown, format: string | undefined): boolean {
  if (typeof value !== "number" || !Number.isInteger(value)) return false;
  return format === "int64" ? Math.abs(value) <= 2 ** 63 : value >= -(2 ** 31) && value < 2 ** 31;
}

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  return value === null ? "null" : typeof value;
}

/** As in Go's messages: `ServicePort`. */
function goName(schemaName: string): string {
  return schemaName.slice(schemaName.lastIndexOf(".") + 1);
}

function goQualified(schemaName: string): string {
  return `v1.${goName(schemaName)}`;
}

function goType(field: FieldSchema): string {
  switch (field.type) {
    case "integer":
      return field.format ?? "int64";
    case "boolean":
      return "bool";
    case "number":
      return "float64";
    case "array":
      return `[]${field.items === undefined ? "interface {}" : goType(field.items)}`;
    case "map":
      return `map[string]${field.items === undefined ? "interface {}" : goType(field.items)}`;
    case "object":
      return goQualified(field.ref ?? "");
    case "intOrString":
      return "intstr.IntOrString";
    case "quantity":
      return "resource.Quantity";
    case "time":
      return "v1.Time";
    case "microTime":
      return "v1.MicroTime";
    case "bytes":
      return "[]uint8";
    default:
      return "string";
  }
}

function shortJson(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
