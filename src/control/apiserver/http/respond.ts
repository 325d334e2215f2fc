// Answers: objects in the form the client asked for, and refusals as Status.
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Status } from "kubernetes-types/meta/v1";
import { errorMessage, InputError, type Logger } from "#base";
import { type KubeObject, PatchError, SelectorError, tableOf } from "#kube";
import type { Served } from "../registry/types.ts";
import type { ObjectVersion } from "../registry/version.ts";
import { badRequest, internalError, StatusError } from "../status.ts";
import type { Call, ResourceCall } from "./call.ts";
import { type MediaType, negotiate } from "./negotiate.ts";

const CONTENT_TYPES = { json: "application/json", yaml: "application/yaml" } as const;

export function warningHeaders(warnings: readonly string[]): OutgoingHttpHeaders {
  if (warnings.length === 0) return {};
  const values = warnings.map((text) => `299 - "${text.replace(/[\\"]/g, "\\$&").replace(/[^\x20-\x7e]/g, "?")}"`);
  return { warning: values.join(", ") };
}

/** Sends a JSON document, as YAML where that was asked for. */
export async function sendDocument(
  call: Call,
  code: number,
  json: Uint8Array | object,
  encoding: MediaType["encoding"] = "json",
): Promise<void> {
  const bytes = json instanceof Uint8Array ? json : Buffer.from(JSON.stringify(json), "utf8");
  const body = encoding === "yaml" ? Buffer.from(await toYaml(bytes), "utf8") : bytes;
  call.res.writeHead(code, {
    "content-type": CONTENT_TYPES[encoding],
    "content-length": body.length,
    "cache-control": "no-cache, private",
    ...warningHeaders(call.warnings),
  });
  call.res.end(call.req.method === "HEAD" ? undefined : body);
}

async function toYaml(json: Uint8Array): Promise<string> {
  const { stringify } = await import("yaml");
  return stringify(JSON.parse(Buffer.from(json).toString("utf8")));
}

/** The answer that holds one object: whole, as a table of one row, or its metadata. */
export async function sendVersion(call: ResourceCall, code: number, version: ObjectVersion): Promise<void> {
  const media = negotiate(call.req.headers.accept);
  const shown = call.served.present(version);
  await sendDocument(call, code, media.projection === "full" ? shown.json : project(call, media, shown.object), media.encoding);
}

/** The answer that holds an object which is no version of a stored one (a Scale, a Status, a TokenRequest). */
export async function sendObject(call: Call, code: number, object: object): Promise<void> {
  await sendDocument(call, code, object, negotiate(call.req.headers.accept).encoding);
}

function project(call: ResourceCall, media: MediaType, object: KubeObject): object {
  if (media.projection === "partial") return partialOf(object, media.version);
  const table = tableOf(call.served.resource, [object], {
    now: call.registry.clock.now(),
    includeObject: includeObjectOf(call.query),
    resourceVersion: object.metadata?.resourceVersion ?? "",
  });
  return { ...table, apiVersion: `meta.k8s.io/${media.version}` };
}

export function partialOf(object: KubeObject, version: string): object {
  return { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${version}`, metadata: object.metadata ?? {} };
}

export function includeObjectOf(query: URLSearchParams): "None" | "Metadata" | "Object" {
  const value = query.get("includeObject") ?? "";
  if (value === "" || value === "Metadata") return "Metadata";
  if (value === "None" || value === "Object") return value;
  throw badRequest(`includeObject: Unsupported value: "${value}": supported values: "None", "Metadata", "Object"`);
}

/** A success without an object, such as of a deletion. */
export function successStatus(served: Served, name: string, uid: string): Status {
  const { group, plural } = served.resource;
  const details = { ...(name === "" ? {} : { name }), ...(group === "" ? {} : { group }), kind: plural, ...(uid === "" ? {} : { uid }) };
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
}

/** What the client is told of anything thrown; what nobody expected is logged and becomes an InternalError. */
export function toStatusError(err: unknown, logger: Logger): StatusError {
  if (err instanceof StatusError) return err;
  if (err instanceof PatchError && err.code === "Invalid") return new StatusError(422, "Invalid", err.message);
  if (err instanceof PatchError || err instanceof SelectorError || err instanceof InputError) return badRequest(err.message);
  logger.error("request failed", { err: err instanceof Error ? err.stack : String(err) });
  return internalError(errorMessage(err));
}

export function sendError(res: ServerResponse, err: StatusError, warnings: readonly string[] = []): void {
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  const body = Buffer.from(JSON.stringify(err.status), "utf8");
  const retryAfter = err.status.details?.retryAfterSeconds;
  res.writeHead(err.status.code, {
    "content-type": "application/json",
    "content-length": body.length,
    "cache-control": "no-cache, private",
    ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }),
    ...warningHeaders(warnings),
  });
  res.end(body);
}

/** As Go's ServeMux answers where there is no path at all; clients tell it from a missing object by that. */
export function sendText(res: ServerResponse, code: number, text: string): void {
  res.writeHead(code, {
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
    "content-length": Buffer.byteLength(text),
  });
  res.end(text);
}
