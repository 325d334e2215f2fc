import type { Status } from "kubernetes-types/meta/v1";
import type { GroupVersionKind } from "../schema/table.ts";
import type { KubeObject, Resource } from "../types.ts";

/** The reasons of a Status's causes, as the API names them (apimachinery `field.ErrorType`). */
export type FieldErrorType =
  | "FieldValueRequired"
  | "FieldValueInvalid"
  | "FieldValueNotSupported"
  | "FieldValueDuplicate"
  | "FieldValueForbidden"
  | "FieldValueNotFound"
  | "FieldValueTooLong"
  | "FieldValueTooMany"
  | "FieldValueTypeInvalid"
  | "InternalError";

export interface FieldError {
  readonly type: FieldErrorType;
  /** `spec.ports[0].port` */
  readonly field: string;
  /** Without the field: `Invalid value: 70000: must be between 1 and 65535, inclusive`. */
  readonly message: string;
}

/** What is wrong with an object after defaults; with `old`, as an update of it (immutable fields). Empty when it is right. */
export function validate(_resource: Resource, _object: KubeObject, _old?: KubeObject): FieldError[] {
  return [];
}

/** The 422 answer: `Service "x" is invalid: spec.ports[0].port: Invalid value: …`. */
export function invalidStatus(kind: GroupVersionKind, name: string, errors: readonly FieldError[]): Status {
  const causes = errors.map((error) => ({ reason: error.type, message: error.message, field: error.field }));
  const texts = errors.map((error) => `${error.field}: ${error.message}`);
  const list = texts.length === 1 ? texts.join() : `[${texts.join(", ")}]`;
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: `${kind.kind} ${JSON.stringify(name)} is invalid: ${list}`,
    reason: "Invalid",
    details: { name, group: kind.group, kind: kind.kind, causes },
    code: 422,
  };
}
