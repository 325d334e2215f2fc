// Which IP families a Service has. After `pkg/registry/core/service/storage/alloc.go` initIPFamilyFields; KEP-563.
import type { ServiceSpec } from "kubernetes-types/core/v1";
import { type Family, tryParseAddr } from "#ip";
import type { FieldError } from "#kube/schema";
import { HEADLESS, isHeadless, needsClusterIp } from "./spec.ts";

export type FamilyName = "IPv4" | "IPv6";

export function familyName(family: Family): FamilyName {
  return family === 4 ? "IPv4" : "IPv6";
}

/** Fills in ipFamilies and ipFamilyPolicy. `families` are the cluster's, the default one first. Returns what cannot be had. */
export function initFamilies(spec: ServiceSpec, before: ServiceSpec | undefined, families: readonly FamilyName[]): FieldError[] {
  if (!needsClusterIp(spec)) return [];
  if (before !== undefined && needsClusterIp(before)) {
    if (isUntouchedPreferDualStack(spec, before)) return [];
    trimDowngrade(spec, before);
  }
  const ips = spec.clusterIPs ?? [];
  const chosen = [...(spec.ipFamilies ?? [])];
  if (spec.ipFamilyPolicy === undefined && (ips.length > 1 || chosen.length > 1)) spec.ipFamilyPolicy = "RequireDualStack";
  for (const [i, ip] of ips.entries()) {
    const addr = ip === HEADLESS ? undefined : tryParseAddr(ip);
    if (addr !== undefined && chosen[i] === undefined) chosen.push(familyName(addr.family));
  }
  const isFree = isHeadless(spec) && Object.keys(spec.selector ?? {}).length === 0;
  const errors = isFree ? [] : notConfigured(spec, chosen, families);
  if (errors.length > 0) return errors;
  spec.ipFamilyPolicy ??= isFree ? "RequireDualStack" : "SingleStack";
  const [first] = families;
  if (chosen.length === 0 && first !== undefined) chosen.push(first);
  // Without a selector nobody here decides what its endpoints are, so both families are allowed.
  if (chosen.length === 1 && spec.ipFamilyPolicy !== "SingleStack" && (isFree || families.length === 2)) {
    chosen.push(chosen[0] === "IPv4" ? "IPv6" : "IPv4");
  }
  spec.ipFamilies = chosen;
  return [];
}

function notConfigured(spec: ServiceSpec, chosen: readonly string[], families: readonly FamilyName[]): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.ipFamilyPolicy === "RequireDualStack" && families.length < 2) {
    const message = 'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services';
    errors.push({ type: "FieldValueInvalid", field: "spec.ipFamilyPolicy", message });
  }
  for (const [i, family] of chosen.entries()) {
    if (families.some((known) => known === family) || (family !== "IPv4" && family !== "IPv6")) continue;
    const message = `Invalid value: "${family}": not configured on this cluster`;
    errors.push({ type: "FieldValueInvalid", field: `spec.ipFamilies[${i}]`, message });
  }
  return errors;
}

/** Such a Service does not follow the cluster from single to dual stack by itself, only when the user asks for it. */
function isUntouchedPreferDualStack(spec: ServiceSpec, before: ServiceSpec): boolean {
  return (
    spec.ipFamilyPolicy === "PreferDualStack" &&
    before.ipFamilyPolicy === "PreferDualStack" &&
    String(spec.clusterIPs) === String(before.clusterIPs) &&
    String(spec.ipFamilies) === String(before.ipFamilies)
  );
}

/** To SingleStack with everything else as it was: the second family and address go. */
function trimDowngrade(spec: ServiceSpec, before: ServiceSpec): void {
  const wasDual = before.ipFamilyPolicy !== undefined && before.ipFamilyPolicy !== "SingleStack";
  if (!wasDual || spec.ipFamilyPolicy !== "SingleStack") return;
  if (String(spec.clusterIPs) === String(before.clusterIPs)) spec.clusterIPs = (spec.clusterIPs ?? []).slice(0, 1);
  if (String(spec.ipFamilies) === String(before.ipFamilies)) spec.ipFamilies = (spec.ipFamilies ?? []).slice(0, 1);
}
