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

/** Takes the places of `gone` out of the value. A place below which others own something stays, with what they own. */
export function removeFields(value: Json, gone: Fields, owned: Fields, field: FieldSchema | undefined): Json {
  if (isObject(value)) return removeFromObject(value, gone, owned, field);
  if (!isArray(value)) return value;
  return value.flatMap((item) => {
    const key = itemKey(field, item) ?? "";
    const inner = gone.children.get(key);
    if (inner === undefined) return [item];
    const others = owned.children.get(key);
    if (inner.member && others === undefined) return [];
    return [others === undefined ? removeFields(item, inner, NOBODYS, field?.items) : removeFields(item, inner, others, field?.items)];
  });
}

const NOBODYS: Fields = { member: false, children: new Map() };

function removeFromObject(value: JsonObject, gone: Fields, owned: Fields, field: FieldSchema | undefined): JsonObject {
  const kept: [string, Json][] = [];
  for (const [name, part] of Object.entries(value)) {
    const inner = gone.children.get(`f:${name}`);
    const others = owned.children.get(`f:${name}`);
    if (inner?.member === true && others === undefined) continue;
    kept.push([name, inner === undefined ? part : removeFields(part, inner, others ?? NOBODYS, fieldOf(field, name))]);
  }
  return Object.fromEntries(kept);
}
