// The downward API: what a pod may learn about itself. Pure.
import type { Container, ResourceFieldSelector } from "kubernetes-types/core/v1";
import { parseQuantity } from "#kube";
import { RuntimeError } from "#runtime";
import type { StoredPod } from "./pod-spec.ts";

export interface PodFacts {
  readonly pod: StoredPod;
  readonly podIps: readonly string[];
  readonly hostIps: readonly string[];
  /** What a container without a limit may use: the node's. */
  readonly allocatable: Readonly<Record<string, string>>;
}

/** Throws RuntimeError for a path that there is not. */
export function fieldValue(path: string, facts: PodFacts): string {
  const subscript = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (subscript !== null) {
    const [, map, key = ""] = subscript;
    return facts.pod.metadata[map === "labels" ? "labels" : "annotations"]?.[key] ?? "";
  }
  const value = FIELDS[path]?.(facts);
  if (value === undefined) throw new RuntimeError("CreateContainerConfigError", `unsupported fieldPath: ${path}`);
  return value;
}

const FIELDS: Readonly<Record<string, (facts: PodFacts) => string>> = {
  "metadata.name": ({ pod }) => pod.metadata.name,
  "metadata.namespace": ({ pod }) => pod.metadata.namespace ?? "",
  "metadata.uid": ({ pod }) => pod.metadata.uid,
  "metadata.labels": ({ pod }) => formatMap(pod.metadata.labels ?? {}),
  "metadata.annotations": ({ pod }) => formatMap(pod.metadata.annotations ?? {}),
  "spec.nodeName": ({ pod }) => pod.spec?.nodeName ?? "",
  "spec.serviceAccountName": ({ pod }) => pod.spec?.serviceAccountName ?? "",
  "status.podIP": ({ podIps }) => podIps[0] ?? "",
  "status.podIPs": ({ podIps }) => podIps.join(","),
  "status.hostIP": ({ hostIps }) => hostIps[0] ?? "",
  "status.hostIPs": ({ hostIps }) => hostIps.join(","),
};

/** `key="value"` lines, sorted (`pkg/fieldpath.FormatMap`). */
function formatMap(map: Readonly<Record<string, string>>): string {
  return Object.entries(map)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}

const NANO = 1_000_000_000n;

/** A limit or request in units of the divisor, rounded up. */
export function resourceValue(ref: ResourceFieldSelector, container: Container, facts: PodFacts): string {
  const [kind, name] = ref.resource.split(".", 2);
  const { limits = {}, requests = {} } = container.resources ?? {};
  if (name === undefined || (kind !== "limits" && kind !== "requests")) {
    throw new RuntimeError("CreateContainerConfigError", `unsupported container resource: ${ref.resource}`);
  }
  const limit = limits[name] ?? facts.allocatable[name] ?? "0";
  const quantity = kind === "limits" ? limit : (requests[name] ?? limits[name] ?? "0");
  const divisor = ref.divisor === undefined || ref.divisor === "0" ? "1" : ref.divisor;
  const unit = parseQuantity(divisor).nanos;
  const { nanos } = parseQuantity(quantity);
  return String(unit === 0n ? nanos / NANO : (nanos + unit - 1n) / unit);
}
