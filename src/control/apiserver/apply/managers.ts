// metadata.managedFields: who owns which fields. Objects that nobody ever applied have none, and writing them costs nothing; from the first apply on
// every writer is followed. After apimachinery `util/managedfields`.
import type { ManagedFieldsEntry } from "kubernetes-types/meta/v1";
import { decodeFields, encodeFields, type Fields, fieldsOf, isEmpty, MEMBER, NO_FIELDS, withoutTrees } from "./fields.ts";

export interface Manager {
  readonly name: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string;
  readonly fields: Fields;
}

export type ManagerId = Pick<Manager, "name" | "operation" | "apiVersion" | "subresource">;

export function isSame(a: ManagerId, b: ManagerId): boolean {
  return a.name === b.name && a.operation === b.operation && a.apiVersion === b.apiVersion && a.subresource === b.subresource;
}

export function decodeManagers(entries: readonly ManagedFieldsEntry[] | undefined): Manager[] {
  return (entries ?? []).map((entry) => ({
    name: entry.manager ?? "",
    operation: entry.operation === "Apply" ? "Apply" : "Update",
    apiVersion: entry.apiVersion ?? "",
    subresource: entry.subresource ?? "",
    time: entry.time ?? "",
    fields: decodeFields(entry.fieldsV1),
  }));
}

/** Those who own nothing are left out; the order depends on nothing but the entries, so that the same managers are the same text. */
export function encodeManagers(managers: readonly Manager[]): ManagedFieldsEntry[] {
  return managers
    .filter((manager) => !isEmpty(manager.fields))
    .sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1))
    .map(({ name, operation, apiVersion, subresource, time, fields }) => ({
      manager: name,
      operation,
      apiVersion,
      ...(time === "" ? {} : { time }),
      fieldsType: "FieldsV1",
      fieldsV1: encodeFields(fields),
      ...(subresource === "" ? {} : { subresource }),
    }));
}

function orderOf({ operation, time, name, subresource }: Manager): string {
  return [operation, time, name, subresource].join(" ");
}

// What is the server's or names the object is nobody's (`managedfields/internal/stripmeta.go`).
const META = ["name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion"];
const NOBODYS = fieldsOf(false, [
  ["f:apiVersion", MEMBER],
  ["f:kind", MEMBER],
  [
    "f:metadata",
    fieldsOf(
      false,
      META.map((name) => [`f:${name}`, MEMBER] as const),
    ),
  ],
]);

/** The fields that a writer of `part` may own. */
export function ownable(fields: Fields, part: "main" | "status"): Fields {
  const own = withoutTrees(fields, NOBODYS);
  if (part === "main") return withoutTrees(own, fieldsOf(false, [["f:status", MEMBER]]));
  return fieldsOf(false, [["f:status", own.children.get("f:status") ?? NO_FIELDS]]);
}
