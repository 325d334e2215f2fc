// clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, and how they hang together: ValidateServiceClusterIPsRelatedFields and the update
// rules of `pkg/apis/core/validation/validation.go`.
import type { ServiceSpec } from "kubernetes-types/core/v1";
import { type Family, tryParseAddr } from "#ip";
import { NOT_AN_IP } from "./names.ts";
import type { Problems } from "./problems.ts";

const POLICIES: readonly string[] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const FAMILIES: readonly string[] = ["IPv4", "IPv6"];

export function validateAddressFields(problems: Problems, spec: ServiceSpec): void {
  const { ipFamilies = [], ipFamilyPolicy } = spec;
  if (spec.type === "ExternalName") {
    const never = "may not be set when `type` is 'ExternalName'";
    if (ipFamilyPolicy !== undefined) problems.forbidden("spec.ipFamilyPolicy", never);
    if (ipFamilies.length > 0) problems.forbidden("spec.ipFamilies", never);
    return;
  }
  problems.optionalOneOf("spec.ipFamilyPolicy", ipFamilyPolicy, POLICIES);
  if (ipFamilies.length > 2) problems.invalid("spec.ipFamilies", ipFamilies, "may only hold up to 2 values");
  for (const [i, family] of ipFamilies.entries()) {
    if (!FAMILIES.includes(family)) problems.notSupported(`spec.ipFamilies[${i}]`, family, FAMILIES);
    else if (ipFamilies.indexOf(family) < i) problems.duplicate(`spec.ipFamilies[${i}]`, family);
  }
  validateClusterIps(problems, spec);
}

function validateClusterIps(problems: Problems, spec: ServiceSpec): void {
  const path = "spec.clusterIPs";
  const { clusterIP, clusterIPs = [], ipFamilies = [] } = spec;
  if (clusterIPs.length > 0 && clusterIP !== clusterIPs[0]) problems.invalid(path, clusterIPs, "first value must match `clusterIP`");
  const ips = clusterIPs.length === 0 && clusterIP ? [clusterIP] : clusterIPs;
  if (ips.length > 2) problems.invalid(path, ips, "may only hold up to 2 values");
  const seen: (Family | undefined)[] = [];
  for (const [i, ip] of ips.entries()) {
    const at = `${path}[${i}]`;
    if (ip === "None") {
      if (ips.length > 1) problems.invalid(at, ip, "'None' must be the first and only value");
      return;
    }
    const family = tryParseAddr(ip)?.family;
    if (family === undefined) problems.invalid(at, ip, NOT_AN_IP);
    else validateFamily(problems, { at, ip, family, i }, ipFamilies);
    seen.push(family);
  }
  if (seen.length === 2 && seen[0] === seen[1] && seen[0] !== undefined)
    problems.invalid(path, ips, "may specify no more than one IP for each IP family");
}

interface ClusterIp {
  readonly at: string;
  readonly ip: string;
  readonly family: Family;
  readonly i: number;
}

function validateFamily(problems: Problems, { at, ip, family, i }: ClusterIp, families: readonly string[]): void {
  const wanted = families[i];
  if (wanted !== undefined && wanted !== `IPv${family}`)
    problems.invalid(at, ip, `expected an ${wanted} value as indicated by \`ipFamilies[${i}]\``);
}

/** Addresses stay for life, but for those of ExternalName, which has none, and for a second family, which may come and go. */
export function validateAddressUpdate(problems: Problems, spec: ServiceSpec, old: ServiceSpec): void {
  if (spec.type === "ExternalName" || old.type === "ExternalName") return;
  const ips = spec.clusterIPs ?? [];
  const before = old.clusterIPs ?? [];
  const families = spec.ipFamilies ?? [];
  const familiesBefore = old.ipFamilies ?? [];
  const once = "may not change once set";
  if (before[0] !== undefined && ips[0] !== before[0]) problems.invalid("spec.clusterIPs[0]", ips, once);
  if (familiesBefore[0] !== undefined && families[0] !== familiesBefore[0]) problems.invalid("spec.ipFamilies[0]", families, once);
  if (before[1] !== undefined && ips[1] !== undefined && ips[1] !== before[1]) problems.invalid("spec.clusterIPs[1]", ips, once);
  if (familiesBefore[1] !== undefined && families[1] !== undefined && families[1] !== familiesBefore[1]) {
    problems.invalid("spec.ipFamilies[1]", families, once);
  }
  const dropped = (before[1] !== undefined && ips[1] === undefined) || (familiesBefore[1] !== undefined && families[1] === undefined);
  if (dropped && spec.ipFamilyPolicy !== "SingleStack") {
    problems.invalid(
      "spec.ipFamilyPolicy",
      spec.ipFamilyPolicy ?? null,
      "must be set to 'SingleStack' when releasing the secondary cluster IP",
    );
  }
}
