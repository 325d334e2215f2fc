// Values walked along their schema: which fields a value has, and in which two values differ. After structured-merge-diff `typed`.
import { type Json, type JsonArray, type JsonObject, jsonEquals } from "#kube";
import { type FieldSchema, type GroupVersionKind, schemaFor, typeSchema } from "#kube/schema";
import { type Fields, fieldsOf, MEMBER, NO_FIELDS } from "./fields.ts";

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isArray(value: Json | undefined): value is JsonArray {
  return Array.isArray(value);
}

export function rootField(kind: GroupVersionKind): FieldSchema {
  const schema = schemaFor(kind);
  return schema === undefined ? { type: "any" } : { type: "object", ref: schema.name };
}

/** The schema of one key of an object or a map. */
export function fieldOf(field: FieldSchema | undefined, name: string): FieldSchema | undefined {
  if (field?.type === "map") return field.items;
  return field?.ref === undefined ? undefined : typeSchema(field.ref)?.fields[name];
}

/** Whether managers can own parts of the value, or only the whole. */
export function hasParts(field: FieldSchema | undefined, value: Json | undefined): boolean {
  if (isObject(value)) return field !== undefined && field.atomic !== true && (field.type === "object" || field.type === "map");
  return isArray(value) && (field?.listType === "map" || field?.listType === "set");
}

// The one key of lists that has a default (container and Service ports).
const KEY_DEFAULTS: Readonly<Record<string, Json>> = { protocol: "TCP" };

/** What names an item within its list; undefined for items that lack their keys. */
export function itemKey(field: FieldSchema | undefined, item: Json): string | undefined {
  if (field?.listType === "set") return `v:${JSON.stringify(item)}`;
  if (!isObject(item)) return undefined;
  const keys: [string, Json][] = [];
  for (const name of [...(field?.listMapKeys ?? [])].sort()) {
    const value = item[name] ?? KEY_DEFAULTS[name];
    if (value !== undefined) keys.push([name, value]);
  }
  return keys.length === 0 ? undefined : `k:${JSON.stringify(Object.fromEntries(keys))}`;
}

/** The parts of a value: fields of an object, items of a list that has names for them. */
function partsOf(field: FieldSchema | undefined, value: Json): [key: string, part: Json, field: FieldSchema | undefined][] {
  if (isObject(value)) return Object.entries(value).map(([name, part]) => [`f:${name}`, part, fieldOf(field, name)]);
  if (!isArray(value)) return [];
  return value.flatMap((item) => {
    const key = itemKey(field, item);
    return key === undefined ? [] : [[key, item, field?.items]];
  });
}

/** The fields that a configuration sets. Items of keyed lists are places of their own, so that the item can be given up as a whole. */
export function fieldsIn(value: Json, field: FieldSchema | undefined, isItem = false): Fields {
  if (!hasParts(field, value)) return MEMBER;
  const parts = partsOf(field, value);
  if (parts.length === 0) return MEMBER;
  const children = parts.map(([key, part, inner]) => [key, fieldsIn(part, inner, key.startsWith("k:"))] as const);
  return fieldsOf(isItem, children);
}

export interface Difference {
  /** Added or changed. */
  readonly touched: Fields;
  /** Gone, with all below. */
  readonly removed: Fields;
}

const SAME: Difference = { touched: NO_FIELDS, removed: NO_FIELDS };

export function compare(before: Json | undefined, after: Json | undefined, field: FieldSchema | undefined): Difference {
  if (before === undefined && after === undefined) return SAME;
  if (after === undefined) return { touched: NO_FIELDS, removed: MEMBER };
  if (before === undefined) return { touched: added(after, field), removed: NO_FIELDS };
  if (!hasParts(field, before) || !hasParts(field, after))
    return jsonEquals(before, after) ? SAME : { touched: MEMBER, removed: NO_FIELDS };
  const old = new Map(partsOf(field, before).map(([key, part]) => [key, part]));
  const touched: [string, Fields][] = [];
  const removed: [string, Fields][] = [];
  for (const [key, part, inner] of partsOf(field, after)) {
    const difference = compare(old.get(key), part, inner);
    touched.push([key, difference.touched]);
    removed.push([key, difference.removed]);
    old.delete(key);
  }
  for (const key of old.keys()) removed.push([key, MEMBER]);
  return { touched: fieldsOf(false, touched), removed: fieldsOf(false, removed) };
}

function added(value: Json, field: FieldSchema | undefined): Fields {
  const inside = fieldsIn(value, field);
  return { member: true, children: inside.children };
}

/** The value at a path of keys; undefined when it is not there. */
export function valueAt(value: Json, field: FieldSchema | undefined, path: readonly string[]): Json | undefined {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const found = partsOf(field, value).find(([name]) => name === key);
  return found === undefined ? undefined : valueAt(found[1], found[2], rest);
}
