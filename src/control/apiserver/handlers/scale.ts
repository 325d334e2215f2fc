// The scale subresource: autoscaling/v1 Scale over Deployments, ReplicaSets, StatefulSets and ReplicationControllers.
import type { Scale } from "kubernetes-types/autoscaling/v1";
import type { LabelSelector } from "kubernetes-types/meta/v1";
import { formatKey, formatParsedSelector, selectorOf, selectorOfMap } from "#kube";
import { decodeAs, readValue } from "../http/body.ts";
import { type ObjectCall, writeOf } from "../http/call.ts";
import { sendObject } from "../http/respond.ts";
import { asJson, updateObject } from "../registry/update.ts";
import type { ApiObject } from "../registry/version.ts";
import { badRequest, conflict, notFound } from "../status.ts";
import { readPatch } from "./patch.ts";

const SCALE = { group: "autoscaling", version: "v1", kind: "Scale" };

interface Scaled {
  readonly spec?: { readonly replicas?: number; readonly selector?: LabelSelector | Readonly<Record<string, string>> };
  readonly status?: { readonly replicas?: number };
}

export async function handleScale(call: ObjectCall): Promise<void> {
  const { served, registry, path, name } = call;
  const key = { namespace: path.namespace, name };
  if (call.req.method === "GET" || call.req.method === "HEAD") {
    const entry = registry.store.get(served.table, formatKey(key));
    if (entry === undefined) throw notFound(served.resource, name);
    return sendObject(call, 200, scaleOf(entry.value.object));
  }
  const change = await readChange(call);
  const wanted = (old: ApiObject | undefined): ApiObject => {
    if (old === undefined) throw notFound(served.resource, name);
    const scale = change(scaleOf(old));
    checkScale(call, scale, old);
    const object = structuredClone(old);
    object["spec"] = { ...(object["spec"] as object), replicas: scale.spec?.replicas ?? 0 };
    return object;
  };
  const { version } = await updateObject(registry, served, { key, part: "main", subresource: "scale", wanted }, writeOf(call));
  await sendObject(call, 200, scaleOf(version.object));
}

async function readChange(call: ObjectCall): Promise<(present: Scale) => Scale> {
  if (call.req.method === "PATCH") {
    const apply = await readPatch(call, { ...call.served.resource, ...SCALE });
    return (present) => decodeAs(call, SCALE, apply(asJson(present))) as unknown as Scale;
  }
  const value = await readValue(call.req);
  return () => decodeAs(call, SCALE, value) as unknown as Scale;
}

function checkScale({ served, name }: ObjectCall, scale: Scale, old: ApiObject): void {
  const { metadata } = scale;
  const sent = metadata?.name ?? "";
  if (sent !== "" && sent !== name) throw badRequest(`the name of the object (${sent}) does not match the name on the URL (${name})`);
  const version = metadata?.resourceVersion ?? "";
  if (version !== "" && version !== old.metadata.resourceVersion) throw conflict(served.resource, name);
}

function scaleOf(object: ApiObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const { spec, status } = object as Scaled;
  const selector = selectorText(spec?.selector);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid, resourceVersion, creationTimestamp },
    spec: { replicas: spec?.replicas ?? 0 },
    status: { replicas: status?.replicas ?? 0, ...(selector === "" ? {} : { selector }) },
  };
}

/** ReplicationControllers have a plain map of labels. */
function selectorText(selector: LabelSelector | Readonly<Record<string, string>> | undefined): string {
  if (selector === undefined) return "";
  const isMap = !("matchLabels" in selector) && !("matchExpressions" in selector);
  const parsed = isMap ? selectorOfMap(selector as Readonly<Record<string, string>>) : selectorOf(selector as LabelSelector);
  return formatParsedSelector(parsed ?? []);
}
