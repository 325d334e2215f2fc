// Strategic merge patch: a merge patch that knows which lists are merged and by which key, from the schema of the type.
// After apimachinery `util/strategicpatch/patch.go`; the directives are described in the Kubernetes documentation
// ("Update API Objects in Place Using kubectl patch") and in the design document `strategic-merge-patch.md`.
import type { FieldSchema, TypeSchema } from "../schema/types.ts";
import { getOwn, isArray, isObject, type Json, type JsonArray, type JsonObject, jsonEquals, jsonKind, PatchError } from "./json.ts";
import { mergeLists, orderAs, subtract } from "./strategic-lists.ts";

/** Finds a type by name; undefined for one that is not known, whose fields are then merged as in a plain merge patch. */
export type SchemaLookup = (typeName: string) => TypeSchema | undefined;

const DELETE_PREFIX = "$deleteFromPrimitiveList/";
const ORDER_PREFIX = "$setElementOrder/";
const RETAIN_KEYS = "$retainKeys";
const PATCH = "$patch";

/** Applies `patch` to `original`, an object of the type `typeName`. Throws PatchError; changes neither. */
export function applyStrategicMergePatch(original: JsonObject, patch: JsonObject, typeName: string, lookup: SchemaLookup): JsonObject {
  return mergeObject(original, patch, { lookup, field: { type: "object", ref: typeName } });
}

/** The schema around the values being merged. */
export interface MergeContext {
  readonly lookup: SchemaLookup;
  readonly field: FieldSchema | undefined;
}

function contextOf(context: MergeContext, key: string): MergeContext {
  const { lookup, field } = context;
  if (field?.type === "map") return { lookup, field: field.items };
  const fields = field?.ref === undefined ? undefined : lookup(field.ref)?.fields;
  return { lookup, field: fields !== undefined && Object.hasOwn(fields, key) ? fields[key] : undefined };
}

/** Merges one object: the heart of it, also for the elements of keyed lists. */
export function mergeObject(original: JsonObject, patch: JsonObject, context: MergeContext): JsonObject {
  const directive = getOwn(patch, PATCH);
  if (directive !== undefined) return applyDirective(directive, patch, original, context);
  const merged = new Map<string, Json>(Object.entries(retainKeys(original, patch)));
  const done = mergeOrderedLists(merged, patch, context);
  for (const [key, value] of Object.entries(patch)) {
    if (done.has(key) || key === RETAIN_KEYS) continue;
    if (key.startsWith(DELETE_PREFIX)) deleteFromPrimitiveList(merged, key, value);
    else if (value === null) merged.delete(key);
    else merged.set(key, mergeValue(merged.get(key), value, contextOf(context, key)));
  }
  return Object.fromEntries(merged);
}

function applyDirective(directive: Json, patch: JsonObject, original: JsonObject, context: MergeContext): JsonObject {
  const rest = Object.fromEntries(Object.entries(patch).filter(([key]) => key !== PATCH));
  if (directive === "replace") return rest;
  if (directive === "delete") return {};
  if (directive === "merge") return mergeObject(original, rest, context);
  throw new PatchError("BadRequest", `unknown patch type found: ${JSON.stringify(directive)}; "$patch" is one of delete, replace, merge`);
}

function mergeValue(original: Json | undefined, patch: Json, context: MergeContext): Json {
  const strategy = context.field?.patchStrategy ?? "";
  if (isObject(patch) && isObject(original))
    return strategy === "replace" ? withoutDirectives(patch) : mergeObject(original, patch, context);
  if (isArray(patch) && isArray(original)) {
    return strategy.startsWith("merge")
      ? mergeLists(original, patch, elementContext(context), context.field?.mergeKey)
      : withoutDirectives(patch);
  }
  return withoutDirectives(patch);
}

function elementContext(context: MergeContext): MergeContext {
  return { lookup: context.lookup, field: context.field?.items };
}

/** What a patch means where there is nothing yet to merge with: no nulls and no directives reach the object. */
export function withoutDirectives(value: Json): Json {
  if (isArray(value)) return value.filter((item) => !isSpecialElement(item)).map(withoutDirectives);
  if (!isObject(value)) return value;
  const kept = Object.entries(value).filter(([key, item]) => item !== null && !isDirectiveKey(key));
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutDirectives(item)]));
}

function isDirectiveKey(key: string): boolean {
  return key === PATCH || key === RETAIN_KEYS || key.startsWith(DELETE_PREFIX) || key.startsWith(ORDER_PREFIX);
}

function isSpecialElement(item: Json): boolean {
  const directive = isObject(item) ? getOwn(item, PATCH) : undefined;
  return directive === "delete" || directive === "replace";
}

/** `$retainKeys` names the only fields that the object may still have (the patch's own included). */
function retainKeys(original: JsonObject, patch: JsonObject): JsonObject {
  const keep = getOwn(patch, RETAIN_KEYS);
  if (keep === undefined) return original;
  if (!isArray(keep)) throw new PatchError("BadRequest", '"$retainKeys" must be a list of field names');
  const missing = Object.keys(patch).find((key) => !isDirectiveKey(key) && patch[key] !== null && !keep.includes(key));
  if (missing !== undefined) {
    throw new PatchError("BadRequest", `invalid patch format of retainKeys: "${missing}" is set but missing from "$retainKeys"`);
  }
  return Object.fromEntries(Object.entries(original).filter(([key]) => keep.includes(key)));
}

function deleteFromPrimitiveList(merged: Map<string, Json>, key: string, items: Json): void {
  const name = key.slice(DELETE_PREFIX.length);
  if (!isArray(items) || items.some((item) => jsonKind(item) !== "scalar")) {
    throw new PatchError("BadRequest", `"${key}" must be a list of the values to delete`);
  }
  const list = merged.get(name);
  if (isArray(list)) merged.set(name, subtract(list, items));
}

/** Lists that come with `$setElementOrder/<name>`. Returns the keys of the patch that are done with. */
function mergeOrderedLists(merged: Map<string, Json>, patch: JsonObject, context: MergeContext): Set<string> {
  const done = new Set<string>();
  for (const [key, order] of Object.entries(patch)) {
    if (!key.startsWith(ORDER_PREFIX)) continue;
    done.add(key);
    const name = key.slice(ORDER_PREFIX.length);
    const inner = contextOf(context, name);
    const mergeKey = inner.field?.mergeKey;
    if (!isArray(order)) throw new PatchError("BadRequest", `"${key}" must be a list`);
    const change = getOwn(patch, name);
    if (change === null) continue;
    if (change !== undefined && !isArray(change)) throw new PatchError("BadRequest", `"${name}" must be a list, as "${key}" is`);
    const original = merged.get(name);
    if (original === undefined && change === undefined) continue;
    done.add(name);
    if (change !== undefined) checkOrder(change, order, { name: key, mergeKey });
    const before: JsonArray = isArray(original) ? original : [];
    const value = change === undefined ? before : mergeValue(before, change, inner);
    merged.set(name, isArray(value) ? orderAs(value, order, before, mergeKey) : value);
  }
  return done;
}

/** Elements of the patch's list come in the order that the directive names; anything else is a patch built wrongly. */
function checkOrder(change: JsonArray, order: JsonArray, list: { name: string; mergeKey: string | undefined }): void {
  const identity = (item: Json): Json | undefined => (isObject(item) && list.mergeKey !== undefined ? getOwn(item, list.mergeKey) : item);
  let from = 0;
  for (const item of change) {
    if (isSpecialElement(item)) continue;
    const found = order.findIndex((o, i) => i >= from && jsonEquals(identity(o), identity(item)));
    if (found < 0) {
      throw new PatchError(
        "BadRequest",
        `the order in the patch's list doesn't match "${list.name}": ${JSON.stringify(identity(item) ?? null)}`,
      );
    }
    from = found + 1;
  }
}
