// Server-side apply (KEP-555): the applied configuration is merged into the object, its manager owns the fields that it names, and what it named
// before and names no longer goes away unless somebody else owns it. After structured-merge-diff `merge/update.go`.
import type { StatusCause } from "kubernetes-types/meta/v1";
import { type Json, type JsonObject, jsonEquals } from "#kube";
import type { FieldSchema } from "#kube/schema";
import type { ApiObject } from "../registry/version.ts";
import { StatusError } from "../status.ts";
import {
  difference,
  encodeFields,
  type Fields,
  formatPath,
  intersection,
  isEmpty,
  NO_FIELDS,
  paths,
  union,
  withoutTrees,
} from "./fields.ts";
import { decodeManagers, encodeManagers, isSame, type Manager, type ManagerId, ownable } from "./managers.ts";
import { mergeApplied, removeFields } from "./merge.ts";
import { compare, fieldsIn, valueAt } from "./walk.ts";

export interface Applying {
  readonly manager: ManagerId;
  /** Takes fields from other managers instead of failing. */
  readonly force: boolean;
  readonly part: "main" | "status";
  readonly schema: FieldSchema;
  /** metav1.Time */
  readonly now: string;
}

/** The object that results from applying `config` to `live` (undefined: there is none), managedFields included. Throws Conflict. */
export function applyConfiguration(live: ApiObject | undefined, config: JsonObject, applying: Applying): JsonObject {
  const { manager, part, schema } = applying;
  const wanted = ownable(fieldsIn(config, schema), part);
  const present = live === undefined ? {} : (live as unknown as JsonObject);
  const managers = live === undefined ? [] : managersOf(live, applying);
  const others = giveUp(managers, { present, config, wanted }, applying);
  const before = managers.find((candidate) => isSame(candidate, manager))?.fields ?? NO_FIELDS;
  const ownedByOthers = others.reduce<Fields>((all, other) => union(all, other.fields), wanted);
  const gone = difference(difference(before, wanted), ownedByOthers);
  // What is nobody's to own (names) is named by the configuration all the same, and stays with what is about it.
  const named = union(ownedByOthers, fieldsIn(config, schema));
  const merged = removeFields(mergeApplied(present, config, schema), gone, named, schema);
  const own = managers.find((candidate) => isSame(candidate, manager));
  const time = own !== undefined && sameFields(own.fields, wanted) ? own.time : applying.now;
  const all = encodeManagers([...others, { ...manager, time, fields: wanted }]);
  const object = merged as JsonObject;
  return { ...object, metadata: { ...(object["metadata"] as JsonObject), managedFields: all as unknown as Json } };
}

/** An object that was never applied belongs to those who wrote it before, under one name. */
function managersOf(live: ApiObject, { manager, part, schema, now }: Applying): Manager[] {
  const managers = decodeManagers(live.metadata.managedFields);
  if (managers.length > 0) return managers;
  const fields = ownable(fieldsIn(live as unknown as Json, schema), part);
  return [{ name: "before-first-apply", operation: "Update", apiVersion: manager.apiVersion, subresource: "", time: now, fields }];
}

interface Wanted {
  readonly present: JsonObject;
  readonly config: JsonObject;
  readonly wanted: Fields;
}

/** The other managers, without what they have to give up to us. Throws Conflict where they need not. */
function giveUp(managers: readonly Manager[], { present, config, wanted }: Wanted, { manager, force, schema }: Applying): Manager[] {
  const others = managers.filter((other) => !isSame(other, manager));
  const conflicts: { manager: Manager; path: readonly string[] }[] = [];
  const left = others.map((other) => {
    let fields = other.fields;
    for (const path of paths(intersection(other.fields, wanted))) {
      if (jsonEquals(valueAt(present, schema, path), valueAt(config, schema, path)) || isItemPlace(path, other.fields)) continue;
      conflicts.push({ manager: other, path });
      fields = difference(fields, placeOf(path));
    }
    return { ...other, fields };
  });
  if (conflicts.length > 0 && !force) throw applyConflict(conflicts);
  return left.filter((other) => !isEmpty(other.fields));
}

/** Being an item of a list is no value that could differ. */
function isItemPlace(path: readonly string[], fields: Fields): boolean {
  const at = path.reduce<Fields | undefined>((node, key) => node?.children.get(key), fields);
  return path.at(-1)?.startsWith("k:") === true || (at !== undefined && at.children.size > 0);
}

function placeOf(path: readonly string[]): Fields {
  const leaf: Fields = { member: true, children: new Map() };
  return path.reduceRight<Fields>((child, key) => ({ member: false, children: new Map([[key, child]]) }), leaf);
}

function sameFields(a: Fields, b: Fields): boolean {
  return jsonEquals(encodeFields(a) as Json, encodeFields(b) as Json);
}

function applyConflict(conflicts: readonly { manager: Manager; path: readonly string[] }[]): StatusError {
  const causes: StatusCause[] = conflicts.map(({ manager, path }) => ({
    reason: "FieldManagerConflict",
    message: `conflict with ${formatManager(manager)}`,
    field: formatPath(path),
  }));
  const [only] = conflicts;
  let text: string;
  if (conflicts.length === 1 && only !== undefined)
    text = `1 conflict: conflict with ${formatManager(only.manager)}: ${formatPath(only.path)}`;
  else {
    const byManager = new Map<string, string[]>();
    for (const { manager, path } of conflicts) {
      const name = formatManager(manager);
      byManager.set(name, [...(byManager.get(name) ?? []), `\n- ${formatPath(path)}`]);
    }
    text = `${conflicts.length} conflicts: ${[...byManager].map(([name, list]) => `conflicts with ${name}:${list.join("")}`).join("\n")}`;
  }
  return new StatusError(409, "Conflict", `Apply failed with ${text}`, { details: { causes } });
}

function formatManager({ name, operation, subresource, apiVersion, time }: Manager): string {
  const text = subresource === "" ? JSON.stringify(name) : `${JSON.stringify(name)} with subresource ${JSON.stringify(subresource)}`;
  if (operation === "Apply") return text;
  return time === "" ? `${text} using ${apiVersion}` : `${text} using ${apiVersion} at ${time}`;
}

export interface Following extends Omit<Applying, "force" | "schema"> {
  readonly schema: () => FieldSchema;
}

/** Any other write: what it changed is the writer's from now on. Without managers there is nothing to follow. */
export function followUpdate(old: ApiObject, wanted: ApiObject, following: Following): void {
  const managers = decodeManagers(old.metadata.managedFields);
  if (managers.length === 0) {
    delete wanted.metadata.managedFields;
    return;
  }
  const { manager, part, now } = following;
  const { touched, removed } = compare(old as unknown as Json, wanted as unknown as Json, following.schema());
  const changed = ownable(touched, part);
  const gone = ownable(removed, part);
  if (isEmpty(changed) && isEmpty(gone)) {
    wanted.metadata.managedFields = old.metadata.managedFields ?? [];
    return;
  }
  const others = managers
    .filter((other) => !isSame(other, manager))
    .map((other) => ({ ...other, fields: withoutTrees(difference(other.fields, changed), gone) }));
  const before = managers.find((candidate) => isSame(candidate, manager))?.fields ?? NO_FIELDS;
  const fields = withoutTrees(union(before, changed), gone);
  wanted.metadata.managedFields = encodeManagers([...others, { ...manager, time: now, fields }]);
}
