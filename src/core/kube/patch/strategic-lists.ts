// Lists in strategic merge patches: keyed lists of objects, sets of scalars, and the order of what comes out.
import { getOwn, isObject, type Json, type JsonArray, type JsonObject, jsonEquals, PatchError } from "./json.ts";
import { type MergeContext, mergeObject, withoutDirectives } from "./strategic-merge.ts";

/**
 * Merges `patch` into `original`: objects by `mergeKey`, scalars as a set. `context` is that of the elements. The patch's elements
 * keep the patch's order, those only in `original` theirs (`normalizeElementOrder` of apimachinery).
 */
export function mergeLists(original: JsonArray, patch: JsonArray, context: MergeContext, mergeKey: string | undefined): JsonArray {
  if (patch.length === 0) return original;
  if (![...original, ...patch].some(isObject)) return orderAs(unique([...original, ...patch]), patch, original, undefined);
  if (mergeKey === undefined) {
    throw new PatchError("Invalid", `cannot merge lists without merge key for ${context.field?.ref ?? "a type that is not known"}`);
  }
  const { replace, deleted, elements } = sortOut(patch, mergeKey);
  if (replace) return elements.map(withoutDirectives);
  const merged = original.filter((item) => !deleted.some((key) => jsonEquals(key, identity(item, mergeKey))));
  for (const element of elements) {
    const at = merged.findIndex((item) => jsonEquals(identity(item, mergeKey), identity(element, mergeKey)));
    const old = merged[at];
    if (isObject(old)) merged[at] = mergeObject(old, element, context);
    else merged.push(withoutDirectives(element));
  }
  return orderAs(merged, elements, original, mergeKey);
}

interface SortedOut {
  /** `{$patch: replace}` is among the elements: the others are the whole list. */
  readonly replace: boolean;
  /** Merge keys of the elements to delete. */
  readonly deleted: readonly Json[];
  readonly elements: readonly JsonObject[];
}

function sortOut(patch: JsonArray, mergeKey: string): SortedOut {
  let replace = false;
  const deleted: Json[] = [];
  const elements: JsonObject[] = [];
  for (const item of patch) {
    if (!isObject(item)) throw new PatchError("Invalid", `a list merged by "${mergeKey}" must hold objects, not ${JSON.stringify(item)}`);
    const directive = getOwn(item, "$patch");
    if (directive === "replace") replace = true;
    else if (directive === undefined || directive === "merge") {
      requireKey(item, mergeKey);
      elements.push(item);
    } else if (directive === "delete") deleted.push(requireKey(item, mergeKey));
    else throw new PatchError("BadRequest", `unknown patch type found: ${JSON.stringify(directive)}`);
  }
  return { replace, deleted, elements };
}

function requireKey(item: JsonObject, mergeKey: string): Json {
  const key = getOwn(item, mergeKey);
  if (key === undefined) throw new PatchError("Invalid", `map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
  return key;
}

function identity(item: Json, mergeKey: string | undefined): Json | undefined {
  return mergeKey !== undefined && isObject(item) ? getOwn(item, mergeKey) : item;
}

function indexIn(list: JsonArray, item: Json, mergeKey: string | undefined): number {
  const wanted = identity(item, mergeKey);
  if (wanted === undefined) return -1;
  return list.findIndex((other) => jsonEquals(identity(other, mergeKey), wanted));
}

/**
 * `items` with those named in `order` in that order, and the rest, which only the server has, kept before the element that it
 * preceded in `before`.
 */
export function orderAs(items: JsonArray, order: JsonArray, before: JsonArray, mergeKey: string | undefined): JsonArray {
  const rank = (list: JsonArray): ((a: Json, b: Json) => number) => {
    return (a, b) => indexIn(list, a, mergeKey) - indexIn(list, b, mergeKey);
  };
  const named = items.filter((item) => indexIn(order, item, mergeKey) >= 0).sort(rank(order));
  const rest = items.filter((item) => indexIn(order, item, mergeKey) < 0).sort(rank(before));
  const out: Json[] = [];
  for (const item of named) {
    const at = indexIn(before, item, mergeKey);
    while (rest[0] !== undefined && at >= 0 && indexIn(before, rest[0], mergeKey) < at) out.push(...rest.splice(0, 1));
    out.push(item);
  }
  return [...out, ...rest];
}

function unique(items: JsonArray): JsonArray {
  return items.filter((item, i) => items.findIndex((other) => jsonEquals(other, item)) === i);
}

export function subtract(items: JsonArray, remove: JsonArray): JsonArray {
  return items.filter((item) => !remove.some((other) => jsonEquals(other, item)));
}
