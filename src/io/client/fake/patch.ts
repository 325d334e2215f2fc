import { applyJsonPatch, applyMergePatch, applyStrategicMergePatch, type Json, type JsonObject, PatchError, type Resource } from "#kube";
import { schemaFor, typeSchema } from "#kube/schema";
import type { Patch } from "../types.ts";
import { fail, type Item } from "./store.ts";

/** Patches as the server applies them. Server-side apply is a merge patch here: nobody's fields are tracked. */
export function applyPatch(resource: Resource, current: Item, patch: Patch): Item {
  const before = JSON.parse(JSON.stringify(current)) as Json;
  const body = patch.body as Json;
  try {
    // An object with its kind and metadata stays one: what a patch does to those, the update that follows undoes or refuses.
    return patched(resource, before, body, patch.type) as unknown as Item;
  } catch (err) {
    if (err instanceof PatchError) throw fail(err.code === "BadRequest" ? 400 : 422, err.code, err.message);
    throw err;
  }
}

function patched(resource: Resource, before: Json, body: Json, type: Patch["type"]): Json {
  if (type === "json") return applyJsonPatch(before, body);
  const schema = schemaFor(resource);
  if (type !== "strategic" || schema === undefined || !isObject(before) || !isObject(body)) return applyMergePatch(before, body);
  return applyStrategicMergePatch(before, body, schema.name, typeSchema);
}

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
