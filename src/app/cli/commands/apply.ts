// `fairlead apply`: server-side apply. The server knows which fields this command has set: what was in the last applied manifest and
// is not in this one is removed, what others have set stays, in lists too, and an object that is applied again has not changed.
import { type Client, isNotFound } from "#client";
import type { KubeObject, Stored } from "#kube";
import { openClient, resourceOf } from "../api.ts";
import { readManifests } from "../manifests.ts";

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
  const live: Stored | undefined = await client.get(resource, key).catch((err: unknown) => {
    if (isNotFound(err)) return undefined;
    throw err;
  });
  const next = await client.patch(resource, key, { type: "apply", body: object }, { fieldValidation: "Strict", fieldManager: "fairlead" });
  if (live === undefined) return "created";
  return next.metadata.resourceVersion === live.metadata.resourceVersion ? "unchanged" : "configured";
}
