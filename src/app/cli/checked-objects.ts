// Objects of manifests, read and checked as the API server would on `apply`: so that what is foreseen is of what could be.
import { InputError } from "#base";
import { type KubeObject, RESOURCES, type Resource } from "#kube";
import { applyDefaults, decodeObject, schemaFor, validate } from "#kube/schema";
import type { PlacedObject } from "./manifests.ts";

/** Policies are whole in a manifest; of others, such as a Pod of which only labels are given, a part may be. */
const WHOLE: ReadonlySet<string> = new Set(["NetworkPolicy", "ClusterNetworkPolicy"]);

/** Throws InputError, with file, document and field, for what is of no such type or not allowed. Unknown kinds are left as they are. */
export function checkedObjects(placed: readonly PlacedObject[], namespace: string): PlacedObject[] {
  return placed.map(({ object, where }) => {
    const resource = RESOURCES.find((each) => each.kind === object.kind && versionOf(each) === object.apiVersion);
    if (resource === undefined || schemaFor(resource) === undefined) return { object, where };
    const isAdrift = resource.namespaced && object.metadata?.namespace === undefined;
    const given = isAdrift ? { ...object, metadata: { ...object.metadata, namespace } } : object;
    return { object: checked(resource, given, where), where };
  });
}

function versionOf({ group, version }: Resource): string {
  return group === "" ? version : `${group}/${version}`;
}

function checked(resource: Resource, given: KubeObject, where: string): KubeObject {
  const { object, unknown, problems } = decodeObject(resource, given, "Strict");
  const [problem] = [...problems, ...unknown];
  if (problem !== undefined) throw new InputError(where, `${given.kind} "${given.metadata?.name}": ${problem}`);
  if (!WHOLE.has(resource.kind)) return object;
  applyDefaults(resource, object);
  const [error] = validate(resource, object);
  if (error !== undefined) throw new InputError(`${where}: ${error.field}`, error.message);
  return object;
}
