export { type Json, type JsonArray, type JsonObject, jsonEquals, PatchError } from "./json.ts";
export { applyJsonPatch } from "./json-patch.ts";
export { applyMergePatch, createMergePatch } from "./merge-patch.ts";
export { applyStrategicMergePatch, type SchemaLookup } from "./strategic-merge.ts";
