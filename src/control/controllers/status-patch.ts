// A status is written as a merge patch of what changed: one writer per status, so no version needs to be compared. Zero and empty are
// written by leaving the field out, as Go's `omitempty` does.
import { isDeepStrictEqual } from "node:util";

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === 0 || (Array.isArray(value) && value.length === 0);
}

/** The patch from one status to the next; undefined when they say the same. Fields named in `required` are written even when zero. */
export function statusPatch(
  current: object | undefined,
  next: object,
  required: readonly string[] = [],
): Readonly<Record<string, unknown>> | undefined {
  const before = new Map<string, unknown>(Object.entries(current ?? {}));
  const patch: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(next)) {
    const old = before.get(field);
    const isRequired = required.includes(field);
    if (isDeepStrictEqual(old, value) || (!isRequired && isEmpty(old) && isEmpty(value))) continue;
    patch[field] = isEmpty(value) && !isRequired ? null : value;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}
