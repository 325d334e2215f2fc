// JSON values and what all three kinds of patch do with them. Nothing here changes its input: objects are made anew, with
// Object.fromEntries, so that a key "__proto__" is a key and nothing else.
import { FairleadError } from "#base";

export type Json = null | boolean | number | string | JsonArray | JsonObject;
export type JsonArray = readonly Json[];
export interface JsonObject {
  readonly [key: string]: Json;
}

/**
 * Thrown when a patch cannot be applied. `code` is the Status reason: "BadRequest" (400) when the patch itself is malformed,
 * "Invalid" (422) when it does not fit the object.
 */
export class PatchError extends FairleadError {
  constructor(code: "BadRequest" | "Invalid", message: string) {
    super(message, { code, op: "apply patch" });
  }
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isArray(value: Json | undefined): value is JsonArray {
  return Array.isArray(value);
}

export function getOwn(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

export function jsonEquals(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (isArray(a)) return isArray(b) && a.length === b.length && a.every((item, i) => jsonEquals(item, b[i]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && jsonEquals(a[key], b[key]));
}

export function jsonKind(value: Json | undefined): "null" | "object" | "array" | "scalar" {
  if (value === null || value === undefined) return "null";
  if (typeof value !== "object") return "scalar";
  return isArray(value) ? "array" : "object";
}
