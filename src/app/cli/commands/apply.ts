// `fairlead apply`: creates or changes objects, as `kubectl apply` does on the client's side: what was in the last applied manifest and
// is not in this one is removed, what others have set stays.
import { type Client, isNotFound } from "#client";
import type { KubeObject, Stored } from "#kube";
import { openClient, resourceOf } from "../api.ts";
import { readManifests } from "../manifests.ts";

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

export type Outcome = "created" | "configured" | "unchanged";

export async function apply(options: { name: string; namespace: string; filename: readonly string[] }): Promise<void> {
  const objects = readManifests(options.filename);
  const client = openClient(options.name);
  for (const object of objects) {
    const outcome = await applyObject(client, withNamespace(object, options.namespace));
    process.stdout.write(`${(object.kind ?? "").toLowerCase()}/${object.metadata?.name ?? ""} ${outcome}\n`);
  }
  client.close();
}

export function withNamespace(object: KubeObject, namespace: string): KubeObject {
  if (!resourceOf(object).namespaced || object.metadata?.namespace !== undefined) return object;
  return { ...object, metadata: { ...object.metadata, namespace } };
}

export async function applyObject(client: Client, object: KubeObject): Promise<Outcome> {
  const resource = resourceOf(object);
  const key = { namespace: object.metadata?.namespace, name: object.metadata?.name ?? "" };
  const annotated = annotate(object);
  let live: Stored;
  try {
    live = await client.get(resource, key);
  } catch (err) {
    if (!isNotFound(err)) throw err;
    await client.create(resource, annotated, { fieldValidation: "Strict", fieldManager: "fairlead" });
    return "created";
  }
  const last: unknown = JSON.parse(live.metadata.annotations?.[LAST_APPLIED] ?? "{}");
  const body = threeWayMerge(last, annotated);
  const next = await client.patch(resource, key, { type: "merge", body }, { fieldValidation: "Strict", fieldManager: "fairlead" });
  return next.metadata.resourceVersion === live.metadata.resourceVersion ? "unchanged" : "configured";
}

function annotate(object: KubeObject): KubeObject {
  const annotations = { ...object.metadata?.annotations, [LAST_APPLIED]: `${JSON.stringify(object)}\n` };
  return { ...object, metadata: { ...object.metadata, annotations } };
}

/** The merge patch (RFC 7386) that sets what `wanted` has and removes what only `last` has; lists are values. */
export function threeWayMerge(last: unknown, wanted: unknown): unknown {
  if (!isMap(wanted)) return wanted;
  const patch: Record<string, unknown> = {};
  const before = isMap(last) ? last : {};
  for (const name of Object.keys(before)) if (!(name in wanted)) patch[name] = null;
  for (const [name, value] of Object.entries(wanted)) patch[name] = threeWayMerge(before[name], value);
  return patch;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
