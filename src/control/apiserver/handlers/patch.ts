// PATCH: JSON patch, merge patch, strategic merge patch. After apiserver `endpoints/handlers/patch.go`.
import { applyJsonPatch, applyMergePatch, applyStrategicMergePatch, type Json, type JsonObject } from "#kube";
import { schemaFor, typeSchema } from "#kube/schema";
import { decodeAs, mediaTypeOf, parseJson, readBody } from "../http/body.ts";
import { type ObjectCall, writeOf } from "../http/call.ts";
import { sendVersion } from "../http/respond.ts";
import { matchPath } from "../registry/metadata.ts";
import type { Served } from "../registry/types.ts";
import { asJson, updateObject } from "../registry/update.ts";
import type { ApiObject } from "../registry/version.ts";
import { badRequest, notFound, tooLarge, unsupportedMediaType } from "../status.ts";
import { handleApply } from "./apply.ts";

const JSON_PATCH = "application/json-patch+json";
const MERGE_PATCH = "application/merge-patch+json";
const STRATEGIC_PATCH = "application/strategic-merge-patch+json";
const APPLY_PATCH = "application/apply-patch+yaml";
const TYPES = [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH];

// endpoints/handlers/patch.go maxJSONPatchOperations
const MAX_OPERATIONS = 10_000;

export type PatchFunction = (object: Json) => Json;

export async function handlePatch(call: ObjectCall, part: "main" | "status" = "main"): Promise<void> {
  const { served, path, name } = call;
  if (mediaTypeOf(call.req) === APPLY_PATCH) return handleApply(call, part);
  const apply = await readPatch(call, served.resource);
  const key = { namespace: path.namespace, name };
  const wanted = (old: ApiObject | undefined): ApiObject => {
    if (old === undefined) throw notFound(served.resource, name);
    const shown = served.view === undefined ? old : served.view.fromStored(old);
    const patched = decodeAs(call, served.resource, apply(asJson(shown)));
    const object = served.view === undefined ? patched : served.view.toStored(patched);
    matchPath(served, object, key);
    return object;
  };
  const { version } = await updateObject(call.registry, served, { key, part, wanted }, writeOf(call));
  await sendVersion(call, 200, version);
}

/** The body as a function from the present object to the wanted one. Throws UnsupportedMediaType for kinds of patch that are not there. */
export async function readPatch(call: ObjectCall, kind: Served["resource"]): Promise<PatchFunction> {
  const type = mediaTypeOf(call.req);
  if (!TYPES.includes(type)) throw unsupportedMediaType([...TYPES, APPLY_PATCH]);
  const patch = parseJson((await readBody(call.req)).toString("utf8")) as Json;
  if (type === JSON_PATCH) {
    if (Array.isArray(patch) && patch.length > MAX_OPERATIONS) {
      throw tooLarge(`The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`);
    }
    return (object) => applyJsonPatch(object, patch);
  }
  if (!isJsonObject(patch)) throw badRequest("the patch must be a JSON object");
  if (type === MERGE_PATCH) return (object) => applyMergePatch(object, patch);
  const schema = schemaFor(kind);
  if (schema === undefined) throw unsupportedMediaType([JSON_PATCH, MERGE_PATCH]);
  return (object) => (isJsonObject(object) ? applyStrategicMergePatch(object, patch, schema.name, typeSchema) : object);
}

function isJsonObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
