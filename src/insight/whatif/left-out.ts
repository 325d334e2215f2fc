// Labels and selectors that a manifest had when it was applied before and does not have now: `apply` removes them. Pure.
//
// Sources: kubectl's annotation (client-side apply: a three-way merge), and managedFields (server-side apply: what the manager gives up
// and no other manager has set goes). https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
import type { Stored } from "#kube";

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
/** The field managers of `fairlead apply` and `kubectl apply --server-side`. */
const APPLIERS: ReadonlySet<string> = new Set(["fairlead", "kubectl"]);
/** Maps of strings that say who is selected. */
const MAPS: readonly (readonly [string, string])[] = [
  ["metadata", "labels"],
  ["spec", "selector"],
];

export interface LeftOut {
  /** Such as ["metadata", "labels"]. */
  readonly map: readonly [string, string];
  readonly key: string;
  /** Who applied it. */
  readonly by: string;
}

/** Only what the live object still has. */
export function leftOut(live: Stored, given: unknown): LeftOut[] {
  if (live.kind === "Namespace" || live.kind === "Pod" || live.kind === "Node" || live.kind === "Service") {
    const applied = lastApplied(live);
    return MAPS.flatMap((map) => {
      const now = at(given, map);
      const bys = new Map<string, string>();
      for (const key of ownedFields(live, map)) bys.set(key, "fairlead or kubectl --server-side");
      for (const key of Object.keys(at(applied, map))) bys.set(key, "kubectl");
      return [...bys]
        .filter(([key]) => Object.hasOwn(at(live, map), key) && !Object.hasOwn(now, key))
        .map(([key, by]) => ({ map, key, by }));
    });
  }
  return [];
}

/** The manifest with a null for each of these: what a merge patch takes out. */
export function withNulls<T>(given: T, left: readonly LeftOut[]): T {
  let out = fieldsOf(given);
  for (const { map, key } of left) {
    const [outer, inner] = map;
    out = { ...out, [outer]: { ...fieldsOf(out[outer]), [inner]: { ...at(out, map), [key]: null } } };
  }
  return out as T;
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function at(value: unknown, path: readonly string[]): Fields {
  let found = fieldsOf(value);
  for (const name of path) found = fieldsOf(found[name]);
  return found;
}

function lastApplied({ metadata }: Stored): unknown {
  try {
    return JSON.parse(metadata.annotations?.[LAST_APPLIED] ?? "{}");
  } catch {
    // Somebody wrote it by hand: kubectl would refuse it, and nothing follows from it.
    return {};
  }
}

/** Keys of the map that one of the appliers has set and nobody else. */
function ownedFields({ metadata }: Stored, map: readonly string[]): string[] {
  const mine = new Set<string>();
  const others = new Set<string>();
  for (const { manager = "", operation, subresource = "", fieldsV1 } of metadata.managedFields ?? []) {
    const isMine = operation === "Apply" && subresource === "" && APPLIERS.has(manager);
    const fields = at(
      fieldsV1,
      map.map((name) => `f:${name}`),
    );
    for (const field of Object.keys(fields)) if (field.startsWith("f:")) (isMine ? mine : others).add(field.slice("f:".length));
  }
  return [...mine].filter((key) => !others.has(key));
}
