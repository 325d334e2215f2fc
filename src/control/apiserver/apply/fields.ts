// Sets of fields, as managedFields writes them (FieldsV1): a tree whose keys are `f:name` for fields, `k:{"name":"x"}` for items of keyed lists,
// `v:"x"` for items of sets. After structured-merge-diff `fieldpath` (Set, PathElement).

export interface Fields {
  /** This place itself belongs to the set. */
  readonly member: boolean;
  readonly children: ReadonlyMap<string, Fields>;
}

export const NO_FIELDS: Fields = { member: false, children: new Map() };
export const MEMBER: Fields = { member: true, children: new Map() };

export function fieldsOf(member: boolean, children: Iterable<readonly [string, Fields]>): Fields {
  return { member, children: new Map([...children].filter(([, child]) => !isEmpty(child))) };
}

export function isEmpty(fields: Fields): boolean {
  return !fields.member && fields.children.size === 0;
}

export function union(a: Fields, b: Fields): Fields {
  const keys = new Set([...a.children.keys(), ...b.children.keys()]);
  const merged = [...keys].map((key) => [key, union(a.children.get(key) ?? NO_FIELDS, b.children.get(key) ?? NO_FIELDS)] as const);
  return fieldsOf(a.member || b.member, merged);
}

export function intersection(a: Fields, b: Fields): Fields {
  const common = [...a.children].map(([key, child]) => [key, intersection(child, b.children.get(key) ?? NO_FIELDS)] as const);
  return fieldsOf(a.member && b.member, common);
}

/** What is in `a` and not in `b`, place by place. */
export function difference(a: Fields, b: Fields): Fields {
  const kept = [...a.children].map(([key, child]) => [key, difference(child, b.children.get(key) ?? NO_FIELDS)] as const);
  return fieldsOf(a.member && !b.member, kept);
}

/** `a` without the places of `b` and everything below them. */
export function withoutTrees(a: Fields, b: Fields): Fields {
  if (b.member) return NO_FIELDS;
  const kept = [...a.children].map(([key, child]) => [key, withoutTrees(child, b.children.get(key) ?? NO_FIELDS)] as const);
  return fieldsOf(a.member, kept);
}

/** The places of the set, as paths of keys. */
export function* paths(fields: Fields, prefix: readonly string[] = []): Generator<readonly string[]> {
  if (fields.member) yield prefix;
  for (const [key, child] of fields.children) yield* paths(child, [...prefix, key]);
}

/** `.spec.containers[name="main"].image`, as conflicts name a place. */
export function formatPath(path: readonly string[]): string {
  return path.map(formatKey).join("");
}

function formatKey(key: string): string {
  const rest = key.slice(2);
  if (key.startsWith("f:")) return `.${rest}`;
  if (key.startsWith("v:")) return `[=${rest}]`;
  const keys: unknown = JSON.parse(rest);
  const pairs = Object.entries(typeof keys === "object" && keys !== null ? keys : {});
  return `[${pairs.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(",")}]`;
}

/** To FieldsV1: `.` says that a place with children is a member itself. */
export function encodeFields(fields: Fields): Record<string, object> {
  const encoded: [string, object][] = fields.member && fields.children.size > 0 ? [[".", {}]] : [];
  const sorted = [...fields.children].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [key, child] of sorted) encoded.push([key, encodeFields(child)]);
  return Object.fromEntries(encoded);
}

export function decodeFields(value: unknown): Fields {
  if (typeof value !== "object" || value === null) return NO_FIELDS;
  const entries = Object.entries(value);
  if (entries.length === 0) return MEMBER;
  const children = entries.filter(([key]) => key !== ".").map(([key, child]) => [key, decodeFields(child)] as const);
  return fieldsOf(Object.hasOwn(value, "."), children);
}
