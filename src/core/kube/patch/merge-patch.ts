import { getOwn, isObject, type Json, type JsonObject } from "./json.ts";

/** JSON Merge Patch, RFC 7386 §2: objects are merged, null removes, everything else replaces. */
export function applyMergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const merged = new Map<string, Json>(isObject(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, applyMergePatch(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

/** A merge patch that makes `to` from `from`; undefined when they are equal. Nulls inside `to` cannot be expressed (RFC 7386 §1). */
export function createMergePatch(from: JsonObject, to: JsonObject): JsonObject | undefined {
  const patch = new Map<string, Json>();
  for (const key of Object.keys(from)) if (!Object.hasOwn(to, key)) patch.set(key, null);
  for (const [key, value] of Object.entries(to)) {
    const old = getOwn(from, key);
    if (isObject(old) && isObject(value)) {
      const inner = createMergePatch(old, value);
      if (inner !== undefined) patch.set(key, inner);
    } else if (old === undefined || JSON.stringify(old) !== JSON.stringify(value)) patch.set(key, value);
  }
  return patch.size === 0 ? undefined : Object.fromEntries(patch);
}
