// POST and PUT of objects, and of their status.

import { readObject } from "../http/body.ts";
import type { ObjectCall, ResourceCall } from "../http/call.ts";
import { writeOf } from "../http/call.ts";
import { sendVersion } from "../http/respond.ts";
import { createObject } from "../registry/create.ts";
import { matchPath } from "../registry/metadata.ts";
import { updateObject } from "../registry/update.ts";
import type { ApiObject } from "../registry/version.ts";

export async function handleCreate(call: ResourceCall): Promise<void> {
  const { served, path } = call;
  const sent = await readObject(call, served.resource);
  const object = served.view === undefined ? sent : served.view.toStored(sent);
  matchPath(served, object, { namespace: path.namespace });
  await sendVersion(call, 201, await createObject(call.registry, served, object, writeOf(call)));
}

export async function handleUpdate(call: ObjectCall, part: "main" | "status" = "main"): Promise<void> {
  const { served, path, name } = call;
  const sent = await readObject(call, served.resource);
  const object: ApiObject = served.view === undefined ? sent : served.view.toStored(sent);
  const key = { namespace: path.namespace, name };
  matchPath(served, object, key);
  const request = { key, part, wanted: () => structuredClone(object) };
  const { version, created } = await updateObject(call.registry, served, request, writeOf(call));
  await sendVersion(call, created ? 201 : 200, version);
}
