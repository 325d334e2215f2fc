// events.k8s.io shows the core group's events under other names: one store, two forms. After `pkg/apis/events/v1/conversion.go`.
import { CORE_EVENTS } from "#kube";
import type { View } from "../registry/types.ts";
import type { ApiObject } from "../registry/version.ts";

/** events.k8s.io name → core name; everything else is called the same. */
const NAMES: Readonly<Record<string, string>> = {
  regarding: "involvedObject",
  note: "message",
  reportingController: "reportingComponent",
  deprecatedSource: "source",
  deprecatedFirstTimestamp: "firstTimestamp",
  deprecatedLastTimestamp: "lastTimestamp",
  deprecatedCount: "count",
};
const CORE_NAMES: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(NAMES).map(([ours, core]) => [core, ours]));

export const EVENT_VIEW: View = {
  resource: CORE_EVENTS,
  toStored: (object) => rename(object, NAMES, "v1"),
  fromStored: (object) => rename(object, CORE_NAMES, "events.k8s.io/v1"),
};

function rename(object: ApiObject, names: Readonly<Record<string, string>>, apiVersion: string): ApiObject {
  const { kind, apiVersion: _apiVersion, metadata, ...rest } = object;
  const fields = Object.entries(rest).map(([name, value]) => [Object.hasOwn(names, name) ? names[name] : name, value]);
  return { kind, apiVersion, metadata, ...(Object.fromEntries(fields) as Record<string, unknown>) };
}
