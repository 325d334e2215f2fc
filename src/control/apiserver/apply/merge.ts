// An applied configuration put over the present object, and what it no longer names taken away.
import type { Json, JsonObject } from "#kube";
import type { FieldSchema } from "#kube/schema";
import type { Fields } from "./fields.ts";
import { fieldOf, hasParts, isArray, isObject, itemKey } from "./walk.ts";

/** Objects and keyed lists are merged, everything else is replaced. Changes neither. */
export function mergeApplied(live: Json | undefined, applied: Json, field: FieldSchema | undefined): Json {
  if (!hasParts(field, applied)) return applied;
  if (isObject(applied)) {
    const merged = new Map<string, Json>(isObject(live) ? Object.entries(live) : []);
    for (const [name, value] of Object.entries(applied)) merged.set(name, mergeApplied(merged.get(name), value, fieldOf(field, name)));
    return Object.fromEntries(merged);
  }
  if (!isArray(applied)) return applied;
  const items = new Map<string, Json>();
  for (const item of isArray(live) ? live : []) items.set(itemKey(field, item) ?? `i:${items.size}`, item);
  for (const item of applied) {
    const key = itemKey(field, item) ?? `i:${items.size}`;
    items.set(key, mergeApplied(items.get(key), item, field?.items));
  }
  return [...items.values()];
}

/**
 * Takes the places of `gone` out of the value. A place below which others own something stays, with what they own; one below which nobody does
 * goes whole, with what is nobody's (defaults), as structured-merge-diff has it since `EnsureNamedFieldsAreMembers` (fieldpath/set.go): of a
 * handler or a source that is left, no half may stay.
 */
export function removeFields(value: Json, gone: Fields, owned: Fields, field: FieldSchema | undefined): Json {
  return without(value, gone, owned, field) ?? (isArray(value) ? [] : {});
}

/** Undefined: nothing is left, and nobody wants it empty (typed/remove.go, where it is null). */
function without(value: Json, gone: Fields, owned: Fields, field: FieldSchema | undefined): Json | undefined {
  if (isObject(value)) return removeFromObject(value, gone, owned, field);
  if (!isArray(value)) return value;
  const items = value.flatMap((item) => {
    const key = itemKey(field, item) ?? "";
    const inner = gone.children.get(key);
    if (inner === undefined) return [item];
    const others = owned.children.get(key);
    if (inner.member && others === undefined) return [];
    return [removeFields(item, inner, others ?? NOBODYS, field?.items)];
  });
  return items.length > 0 || owned.member ? items : undefined;
}

const NOBODYS: Fields = { member: false, children: new Map() };

function removeFromObject(value: JsonObject, gone: Fields, owned: Fields, field: FieldSchema | undefined): JsonObject | undefined {
  const kept = new Map<string, Json | undefined>();
  for (const [name, part] of Object.entries(value)) {
    const inner = gone.children.get(`f:${name}`);
    const others = owned.children.get(`f:${name}`);
    if (inner === undefined) kept.set(name, part);
    else if (others !== undefined) kept.set(name, without(part, inner, others, fieldOf(field, name)));
  }
  // A part of which nothing is left counts all the same: what had it may mean something empty.
  if (kept.size === 0 && !owned.member) return undefined;
  return Object.fromEntries([...kept].flatMap(([name, part]) => (part === undefined ? [] : [[name, part]])));
}
