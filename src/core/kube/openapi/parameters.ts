// Query and path parameters. kubectl looks for `fieldValidation` on PATCH operations to learn that the server knows it.

type Json = Record<string, unknown>;

function query(name: string, type: "string" | "boolean" | "integer", description: string): Json {
  return { name, in: "query", description, schema: { type, uniqueItems: true } };
}

const PRETTY = query("pretty", "string", "Indents the answer, when true.");
const DRY_RUN = query("dryRun", "string", "All: does everything but store the result.");
const FIELD_MANAGER = query("fieldManager", "string", "The name that the changed fields are booked under.");
const FIELD_VALIDATION = query(
  "fieldValidation",
  "string",
  "What becomes of unknown and duplicate fields: Ignore drops them, Warn tells of them, Strict refuses them.",
);
const FORCE = query("force", "boolean", "Takes fields over from other managers. For apply patches only.");
const LABEL_SELECTOR = query("labelSelector", "string", "Restricts the objects by their labels.");
const FIELD_SELECTOR = query("fieldSelector", "string", "Restricts the objects by their fields.");

const DELETE: readonly Json[] = [
  DRY_RUN,
  query("gracePeriodSeconds", "integer", "How long the object may take to end; 0 ends it at once."),
  query("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
  query("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
];

export const LIST_PARAMETERS: readonly Json[] = [
  query("allowWatchBookmarks", "boolean", "A watch may send BOOKMARK events."),
  query("continue", "string", "Where the list before this one ended."),
  FIELD_SELECTOR,
  LABEL_SELECTOR,
  query("limit", "integer", "At most so many objects."),
  PRETTY,
  query("resourceVersion", "string", "How fresh the answer must be, or where a watch begins."),
  query("resourceVersionMatch", "string", "How resourceVersion is meant: NotOlderThan or Exact."),
  query("sendInitialEvents", "boolean", "A watch begins with the objects that are there."),
  query("timeoutSeconds", "integer", "How long a watch lasts."),
  query("watch", "boolean", "Follows changes instead of listing."),
];

const BY_VERB: Readonly<Record<string, readonly Json[]>> = {
  get: [PRETTY],
  create: [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, PRETTY],
  update: [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, PRETTY],
  patch: [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE, PRETTY],
  delete: DELETE,
  deletecollection: [...DELETE, FIELD_SELECTOR, LABEL_SELECTOR],
};

/** `{parameters: [...]}`, or nothing. */
export function queryParameters(verb: string): { parameters?: readonly Json[] } {
  const parameters = BY_VERB[verb];
  return parameters === undefined ? {} : { parameters };
}

export function pathParameters(namespaced: boolean, named: boolean): Json[] {
  const path = (name: string, description: string): Json => ({
    name,
    in: "path",
    description,
    required: true,
    schema: { type: "string", uniqueItems: true },
  });
  return [...(named ? [path("name", "The object's name.")] : []), ...(namespaced ? [path("namespace", "The object's namespace.")] : [])];
}
