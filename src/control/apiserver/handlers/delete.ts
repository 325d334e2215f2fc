// DELETE of one object and of collections. Options come in the body (any group's DeleteOptions) or as query parameters.
import type { DeleteOptions } from "kubernetes-types/meta/v1";
import { decodeObject, decodingErrorMessage } from "#kube/schema";
import { readValue } from "../http/body.ts";
import { isDryRun, type ObjectCall, type ResourceCall, writeOf } from "../http/call.ts";
import { negotiate } from "../http/negotiate.ts";
import { sendObject, sendVersion, successStatus } from "../http/respond.ts";
import { deleteObject } from "../registry/delete.ts";
import { parseListOptions } from "../registry/list-options.ts";
import { parseSelection } from "../registry/select.ts";
import { badRequest, isStatusError } from "../status.ts";
import { readPage, sendPage } from "./list.ts";

export async function handleDelete(call: ObjectCall): Promise<void> {
  const { served, path, registry, name } = call;
  const options = await readDeleteOptions(call);
  const write = writeOf(call, isDeleteDryRun(call, options));
  const { version, gone } = await deleteObject({ registry, served, key: { namespace: path.namespace, name }, options, write });
  if (!gone || served.strategy.returnsDeleted === true) return sendVersion(call, 200, version);
  await sendObject(call, 200, successStatus(served, name, version.object.metadata.uid));
}

/** Not atomic: each object is deleted for itself, and what others delete meanwhile is no error. */
export async function handleDeleteCollection(call: ResourceCall): Promise<void> {
  const { served, path, registry } = call;
  const media = negotiate(call.req.headers.accept);
  const options = await readDeleteOptions(call);
  const selection = parseSelection(served, path.namespace, call.query);
  const page = await readPage(registry, served, selection, parseListOptions(call.query));
  for (const version of page.versions) {
    const { name, namespace } = version.object.metadata;
    const write = writeOf(call, isDeleteDryRun(call, options));
    try {
      await deleteObject({ registry, served, key: { namespace, name }, options, write });
    } catch (err) {
      if (!isStatusError(err, 404)) throw err;
    }
  }
  await sendPage(call, page, media);
}

export function isDeleteDryRun(call: ResourceCall, options: DeleteOptions): boolean {
  return isDryRun(call.query) || (options.dryRun ?? []).length > 0;
}

async function readDeleteOptions(call: ResourceCall): Promise<DeleteOptions> {
  const body = await readValue(call.req);
  return body === undefined ? optionsFromQuery(call.query) : parseDeleteOptions(body);
}

const DELETE_OPTIONS = { group: "", version: "v1", kind: "DeleteOptions" };

/** Any group's DeleteOptions: they are the same type. */
export function parseDeleteOptions(body: unknown): DeleteOptions {
  const { object, problems } = decodeObject(DELETE_OPTIONS, body);
  const kind = object.kind ?? "DeleteOptions";
  if (kind !== "DeleteOptions") throw badRequest(`the body of the request must be DeleteOptions, not ${kind}`);
  if (problems.length > 0) throw badRequest(decodingErrorMessage(DELETE_OPTIONS, problems.join(", ")));
  const options = object as DeleteOptions;
  checkPolicy(options.propagationPolicy);
  return options;
}

function checkPolicy(policy: string | undefined): void {
  if (policy === undefined || ["Orphan", "Background", "Foreground"].includes(policy)) return;
  throw badRequest(`propagationPolicy: Unsupported value: "${policy}": supported values: "Orphan", "Background", "Foreground"`);
}

function optionsFromQuery(query: URLSearchParams): DeleteOptions {
  const grace = query.get("gracePeriodSeconds") ?? "";
  const policy = query.get("propagationPolicy") ?? "";
  const orphan = query.get("orphanDependents") ?? "";
  return parseDeleteOptions({
    ...(grace === "" ? {} : { gracePeriodSeconds: Number(grace) }),
    ...(policy === "" ? {} : { propagationPolicy: policy }),
    ...(orphan === "" ? {} : { orphanDependents: orphan === "true" }),
  });
}
