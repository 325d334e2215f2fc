// PATCH with application/apply-patch+yaml: server-side apply.
import { formatTime } from "#base";
import { apiVersionOf, type JsonObject } from "#kube";
import { applyConfiguration } from "../apply/apply.ts";
import { rootField } from "../apply/walk.ts";
import { decodeAs, decodeWithoutDefaults, parseJson, parseYaml, readBody } from "../http/body.ts";
import { isDryRun, type ObjectCall } from "../http/call.ts";
import { sendVersion } from "../http/respond.ts";
import { isTrue } from "../http/route.ts";
import { matchPath } from "../registry/metadata.ts";
import { updateObject } from "../registry/update.ts";
import type { ApiObject } from "../registry/version.ts";
import { WriteInProgress } from "../registry/write.ts";
import { badRequest, conflict, invalidOptions, unsupportedMediaType } from "../status.ts";

export async function handleApply(call: ObjectCall, part: "main" | "status"): Promise<void> {
  const { served, path, name, registry } = call;
  const { resource } = served;
  if (served.view !== undefined) throw unsupportedMediaType(["application/merge-patch+json"]);
  const manager = call.query.get("fieldManager") ?? "";
  if (manager === "") throw invalidOptions("PatchOptions", "fieldManager", "Required value: is required for apply patch");
  const key = { namespace: path.namespace, name };
  const config = decodeWithoutDefaults(call, resource, await readConfiguration(call));
  if (config.metadata.managedFields !== undefined) throw badRequest("metadata.managedFields must be nil");
  matchPath(served, config, key);
  const applying = {
    manager: {
      name: manager,
      operation: "Apply" as const,
      apiVersion: apiVersionOf(resource),
      subresource: part === "status" ? "status" : "",
    },
    force: isTrue(call.query.get("force")),
    part,
    schema: rootField(resource),
    now: formatTime(registry.clock.now()),
  };
  const wanted = (old: ApiObject | undefined): ApiObject => {
    const uid: string | undefined = config.metadata.uid;
    if (old === undefined && uid !== undefined)
      throw conflict(resource, name, `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`);
    const applied = applyConfiguration(old, config as unknown as JsonObject, applying);
    const object = decodeAs({ query: new URLSearchParams("fieldValidation=Ignore"), warnings: [] }, resource, applied);
    matchPath(served, object, key);
    return object;
  };
  const options = { user: call.user, dryRun: isDryRun(call.query), warnings: call.warnings, fieldManager: manager, isApply: true };
  const write = new WriteInProgress(registry, options);
  const { version, created } = await updateObject(registry, served, { key, part, wanted, createIfMissing: part === "main" }, write);
  await sendVersion(call, created ? 201 : 200, version);
}

/** YAML; most clients send the JSON that is YAML too, which needs no YAML parser. */
async function readConfiguration(call: ObjectCall): Promise<unknown> {
  const text = (await readBody(call.req)).toString("utf8");
  const value = text.trimStart().startsWith("{") ? parseJson(text) : await parseYaml(text);
  if (typeof value !== "object" || value === null || !("kind" in value) || !("apiVersion" in value)) {
    throw badRequest("the applied configuration must have apiVersion and kind");
  }
  return value;
}
