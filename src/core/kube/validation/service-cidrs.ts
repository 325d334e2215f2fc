// ServiceCIDRs and IPAddresses: `pkg/apis/networking/validation/validation.go`.
import { formatPrefix, tryParsePrefix } from "#ip";
import type { IPAddress, ServiceCIDR } from "../resources.ts";
import { isCidr, isDns1123Subdomain, isPathSegment } from "./names.ts";
import type { Problems } from "./problems.ts";

export function validateServiceCidr(problems: Problems, { spec }: ServiceCIDR): void {
  const cidrs = spec?.cidrs ?? [];
  if (cidrs.length === 0) problems.required("spec.cidrs", "at least one CIDR required");
  if (cidrs.length > 2) problems.invalid("spec.cidrs", cidrs, "may only hold up to 2 values");
  const prefixes = cidrs.map(tryParsePrefix);
  if (cidrs.length === 2 && prefixes[0] !== undefined && prefixes[0].addr.family === prefixes[1]?.addr.family) {
    problems.invalid("spec.cidrs", cidrs, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
  }
  for (const [i, cidr] of cidrs.entries()) {
    const at = `spec.cidrs[${i}]`;
    problems.invalidEach(at, cidr, isCidr(cidr));
    const prefix = prefixes[i];
    if (prefix === undefined || formatPrefix(prefix) === cidr) continue;
    problems.invalid(at, cidr, `must be in canonical form ("${formatPrefix(prefix)}")`);
  }
}

/** Since 1.33 a range may be made dual-stack, nothing else. */
export function validateServiceCidrUpdate(problems: Problems, { spec }: ServiceCIDR, old: ServiceCIDR): void {
  const before = old.spec?.cidrs ?? [];
  const grown = before.length === 1 && spec?.cidrs?.length === 2 && spec.cidrs[0] === before[0];
  if (!grown) problems.immutable("spec.cidrs", spec?.cidrs, old.spec?.cidrs);
}

export function validateIpAddress(problems: Problems, { spec }: IPAddress): void {
  const parent = spec?.parentRef;
  const path = "spec.parentRef";
  if (parent === undefined) {
    problems.required(path);
    return;
  }
  if (parent.group) problems.invalidEach(`${path}.group`, parent.group, isDns1123Subdomain(parent.group));
  if (!parent.resource) problems.required(`${path}.resource`);
  else problems.invalidEach(`${path}.resource`, parent.resource, isPathSegment(parent.resource));
  if (!parent.name) problems.required(`${path}.name`);
  else problems.invalidEach(`${path}.name`, parent.name, isPathSegment(parent.name));
  if (parent.namespace) problems.invalidEach(`${path}.namespace`, parent.namespace, isPathSegment(parent.namespace));
}

export function validateIpAddressUpdate(problems: Problems, { spec }: IPAddress, old: IPAddress): void {
  problems.immutable("spec.parentRef", spec?.parentRef, old.spec?.parentRef);
}
