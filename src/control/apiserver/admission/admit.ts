// What every creation passes before the kind's own preparation: its namespace takes it. After plugin `admission/plugin/namespace/lifecycle`.
import { NAMESPACES } from "#kube";
import { headObject } from "../registry/access.ts";
import type { Served, Write } from "../registry/types.ts";
import type { ApiObject } from "../registry/version.ts";
import { forbidden, notFound } from "../status.ts";
import { warnOfUnserved } from "./unserved.ts";

export function admitCreate(served: Served, object: ApiObject, write: Write): void {
  if (served.resource.namespaced) checkNamespace(served, object, write);
  served.strategy.admitCreate?.(object, write);
  warnOfUnserved(served, object, write);
}

function checkNamespace(served: Served, object: ApiObject, write: Write): void {
  const name = object.metadata.namespace ?? "";
  const namespace = headObject(write.registry, NAMESPACES, { name });
  if (namespace === undefined) throw notFound(NAMESPACES, name);
  if (namespace.metadata.deletionTimestamp === undefined) return;
  const cause = { reason: "NamespaceTerminating", message: `namespace ${name} is being terminated`, field: "metadata.namespace" };
  const why = `unable to create new content in namespace ${name} because it is being terminated`;
  throw forbidden(served.resource, object.metadata.name ?? "", why, [cause]);
}
