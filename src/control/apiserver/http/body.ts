// Request bodies: JSON, YAML or Kubernetes protobuf, up to 3 MiB.
import type { IncomingMessage } from "node:http";
import { errorMessage } from "#base";
import { apiVersionOf, type KubeObject } from "#kube";
import {
  applyDefaults,
  decodeObject,
  decodeProtobuf,
  decodingErrorMessage,
  duplicateFields,
  type FieldValidation,
  type GroupVersionKind,
  isProtobuf,
  strictDecodingError,
} from "#kube/schema";
import type { ApiObject } from "../registry/version.ts";
import { badRequest, tooLarge, unsupportedMediaType } from "../status.ts";
import type { Call } from "./call.ts";

// apiserver `server/config.go` MaxRequestBodyBytes
const MAX_BYTES = 3 * 1024 * 1024;
const JSON_TYPE = "application/json";
const YAML_TYPE = "application/yaml";
const PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf";
const ACCEPTED = [JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE];

export async function readBody(req: IncomingMessage): Promise<Buffer> {
  if (Number(req.headers["content-length"] ?? 0) > MAX_BYTES) throw tooLarge(`limit is ${MAX_BYTES}`);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BYTES) throw tooLarge(`limit is ${MAX_BYTES}`);
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

/** Without its parameters, in lower case; JSON when there is none. */
export function mediaTypeOf(req: IncomingMessage): string {
  const type = (req.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  return type === "" ? JSON_TYPE : type;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (err) {
    throw badRequest(`the body of the request is not JSON: ${errorMessage(err)}`);
  }
}

/** Loaded when the first client sends YAML: few do, kubectl converts. */
export async function parseYaml(text: string): Promise<unknown> {
  const { parse } = await import("yaml");
  try {
    return parse(text) as unknown;
  } catch (err) {
    throw badRequest(`the body of the request is not YAML: ${errorMessage(err)}`);
  }
}

interface Content {
  readonly value: unknown;
  /** Where it was JSON: the text, which shows what the value does not (fields given twice). */
  readonly json?: string;
}

async function readContent(req: IncomingMessage): Promise<Content | undefined> {
  const bytes = await readBody(req);
  if (bytes.length === 0) return undefined;
  const type = mediaTypeOf(req);
  if (isProtobuf(bytes)) return { value: decodeProtobuf(bytes).object };
  const text = bytes.toString("utf8");
  if (type === JSON_TYPE) return { value: parseJson(text), json: text };
  if (type === YAML_TYPE || type === "application/x-yaml" || type === "text/yaml") return { value: await parseYaml(text) };
  throw unsupportedMediaType(ACCEPTED);
}

/** The body as a JSON value; undefined when it is empty. */
export async function readValue(req: IncomingMessage): Promise<unknown> {
  return (await readContent(req))?.value;
}

/** The `fieldValidation` parameter; Warn unless told, as since Kubernetes 1.27. */
function fieldValidationOf(query: URLSearchParams): FieldValidation {
  const value = query.get("fieldValidation") ?? "";
  if (value === "") return "Warn";
  if (value === "Strict" || value === "Warn" || value === "Ignore") return value;
  throw badRequest(`fieldValidation: Unsupported value: "${value}": supported values: "", "Ignore", "Strict", "Warn"`);
}

/** Reads the body as an object of `kind`, pruned and with defaults. */
export async function readObject(call: Call, kind: GroupVersionKind): Promise<ApiObject> {
  const content = await readContent(call.req);
  if (content === undefined) throw badRequest(`the body of the request is empty; it must be a ${kind.kind}`);
  const mode = fieldValidationOf(call.query);
  const twice = content.json === undefined || mode === "Ignore" ? [] : duplicateFields(content.json);
  const object = decodeWithoutDefaults(call, kind, content.value, twice);
  applyDefaults(kind, object);
  return object;
}

/** A JSON value as an object of `kind`: of this kind and version, without unknown fields, with defaults. */
export function decodeAs(call: Decoding, kind: GroupVersionKind, value: unknown): ApiObject {
  const object = decodeWithoutDefaults(call, kind, value);
  applyDefaults(kind, object);
  return object;
}

type Decoding = Pick<Call, "query" | "warnings">;

export function decodeWithoutDefaults(call: Decoding, kind: GroupVersionKind, value: unknown, twice: readonly string[] = []): ApiObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badRequest(`the object provided is unrecognized (must be of type ${kind.kind}): it is not an object`);
  }
  checkKind(kind, value);
  const mode = fieldValidationOf(call.query);
  const decoded = decodeObject(kind, value, mode);
  const { object, problems } = decoded;
  const strict = [...decoded.unknown, ...twice];
  const refuse = (why: string): never => {
    throw badRequest(decodingErrorMessage(kind, why));
  };
  if (problems.length > 0) refuse(problems.join(", "));
  if (strict.length > 0 && mode === "Strict") refuse(strictDecodingError(strict));
  if (mode === "Warn") call.warnings.push(...strict);
  object.apiVersion = apiVersionOf(kind);
  object.kind = kind.kind;
  object.metadata ??= {};
  return object as ApiObject;
}

function checkKind(kind: GroupVersionKind, object: KubeObject): void {
  const expected = apiVersionOf(kind);
  const { apiVersion = "", kind: given = "" } = object;
  if (apiVersion !== "" && apiVersion !== expected) {
    throw badRequest(`the API version in the data (${apiVersion}) does not match the expected API version (${expected})`);
  }
  if (given !== "" && given !== kind.kind) {
    throw badRequest(`${given} in version "${kind.version}" cannot be handled as a ${kind.kind}: the body is of another kind`);
  }
}
