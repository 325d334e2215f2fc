// `fairlead delete`: by name or by manifest.
import { isNotFound } from "#client";
import { openClient, parseTargets, resourceOf, type Target } from "../api.ts";
import { readManifests } from "../manifests.ts";
import { withNamespace } from "./apply.ts";

export interface DeleteCommandOptions {
  readonly name: string;
  readonly namespace: string;
  readonly filename: readonly string[];
  readonly gracePeriod?: number;
  readonly ignoreNotFound: boolean;
}

/** Returns false when something was not there. */
export async function deleteObjects(args: readonly string[], options: DeleteCommandOptions): Promise<boolean> {
  const targets = options.filename.length > 0 ? manifestTargets(options) : parseTargets(args, options.namespace);
  const client = openClient(options.name);
  let complete = true;
  for (const { resource, key } of targets) {
    try {
      await client.delete(resource, key, { gracePeriodSeconds: options.gracePeriod, propagationPolicy: "Background" });
      process.stdout.write(`${resource.singular} "${key.name}" deleted\n`);
    } catch (err) {
      if (!isNotFound(err)) throw err;
      if (options.ignoreNotFound) continue;
      complete = false;
      process.stderr.write(`Error: ${resource.plural} "${key.name}" not found\n`);
    }
  }
  client.close();
  return complete;
}

/** In reverse, so that what was made last goes first. */
function manifestTargets(options: DeleteCommandOptions): Target[] {
  return readManifests(options.filename)
    .map((object) => withNamespace(object, options.namespace))
    .map((object) => ({ resource: resourceOf(object), key: { namespace: object.metadata?.namespace, name: object.metadata?.name ?? "" } }))
    .reverse();
}
