// What is wrong with an object, in the words of apimachinery `util/validation/field/errors.go`.
import type { Status } from "kubernetes-types/meta/v1";
import type { GroupVersionKind } from "../schema/table.ts";

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

const TITLES = {
  FieldValueRequired: "Required value",
  FieldValueInvalid: "Invalid value",
  FieldValueNotSupported: "Unsupported value",
  FieldValueDuplicate: "Duplicate value",
  FieldValueForbidden: "Forbidden",
  FieldValueNotFound: "Not found",
  FieldValueTooLong: "Too long",
  FieldValueTooMany: "Too many",
} as const;

/** Collects errors in the order in which they are found. Paths are texts: `spec.ports[0]`. */
export class Problems {
  readonly list: FieldError[] = [];

  #add(type: keyof typeof TITLES, field: string, ...parts: readonly string[]): void {
    this.list.push({ type, field, message: [TITLES[type], ...parts.filter((part) => part !== "")].join(": ") });
  }

  required(field: string, detail = ""): void {
    this.#add("FieldValueRequired", field, detail);
  }

  invalid(field: string, value: unknown, detail: string): void {
    this.#add("FieldValueInvalid", field, formatValue(value), detail);
  }

  /** One error per detail. */
  invalidEach(field: string, value: unknown, details: readonly string[]): void {
    for (const detail of details) this.invalid(field, value, detail);
  }

  notSupported(field: string, value: unknown, supported: readonly string[]): void {
    this.#add("FieldValueNotSupported", field, formatValue(value), `supported values: ${supported.map(formatValue).join(", ")}`);
  }

  duplicate(field: string, value: unknown): void {
    this.#add("FieldValueDuplicate", field, formatValue(value));
  }

  forbidden(field: string, detail: string): void {
    this.#add("FieldValueForbidden", field, detail);
  }

  notFound(field: string, value: unknown): void {
    this.#add("FieldValueNotFound", field, formatValue(value));
  }

  tooLong(field: string, max: number): void {
    this.#add("FieldValueTooLong", field, `may not be more than ${max} bytes`);
  }

  tooMany(field: string, actual: number, max: number): void {
    this.#add("FieldValueTooMany", field, String(actual), `must have at most ${max} items`);
  }

  /** Required where there is nothing, unsupported where `value` is none of `supported`. */
  oneOf(field: string, value: string | undefined, supported: readonly string[]): void {
    if (value === undefined || value === "") this.required(field);
    else if (!supported.includes(value)) this.notSupported(field, value, supported);
  }

  /** As oneOf, where absent is right. */
  optionalOneOf(field: string, value: string | undefined, supported: readonly string[]): void {
    if (value !== undefined && value !== "") this.oneOf(field, value, supported);
  }

  notNegative(field: string, value: number | undefined): void {
    if (value !== undefined && value < 0) this.invalid(field, value, "must be greater than or equal to 0");
  }

  immutable(field: string, value: unknown, old: unknown): void {
    if (!sameJson(value, old)) this.invalid(field, value ?? null, "field is immutable");
  }
}

function formatValue(value: unknown): string {
  return typeof value === "number" || typeof value === "boolean" ? String(value) : (JSON.stringify(value) ?? "null");
}

/** Equality of JSON values; what is absent equals what is empty, as in Go's semantic equality. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (isEmpty(a) && isEmpty(b)) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => sameJson(item, b[i]));
  if (!isMap(a) || !isMap(b)) return false;
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => sameJson(a[key], b[key]));
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEmpty(value: unknown): boolean {
  return (
    value === undefined ||
    value === null ||
    (Array.isArray(value) && value.length === 0) ||
    (isMap(value) && Object.keys(value).length === 0)
  );
}

/** The 422 answer: `Service "x" is invalid: spec.ports[0].port: Invalid value: …`, with a list in brackets where there are several. */
export function invalidStatus(kind: GroupVersionKind, name: string, errors: readonly FieldError[]): Status {
  const causes = errors.map((error) => ({ reason: error.type, message: error.message, field: error.field }));
  const texts = [...new Set(errors.map((error) => `${error.field}: ${error.message}`))];
  const list = texts.length === 1 ? texts.join() : `[${texts.join(", ")}]`;
  const groupKind = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: `${groupKind} ${JSON.stringify(name)} is invalid${texts.length === 0 ? "" : `: ${list}`}`,
    reason: "Invalid",
    details: { name, group: kind.group, kind: kind.kind, causes },
    code: 422,
  };
}
