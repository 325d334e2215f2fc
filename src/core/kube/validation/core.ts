// The smaller kinds of the core group, and Lease: `pkg/apis/core/validation/validation.go`, `pkg/apis/coordination/validation`.
import type { Lease } from "kubernetes-types/coordination/v1";
import type { ConfigMap, Node, PersistentVolumeClaim, Secret } from "kubernetes-types/core/v1";
import { base64Length } from "../base64.ts";
import { isCidr, isConfigMapKey, isLabelValue, isQualifiedName } from "./names.ts";
import { type Problems, sameJson } from "./problems.ts";

/** Of a ConfigMap and of a Secret. */
const MAX_DATA = 1024 * 1024;
const utf8: TextEncoder = new TextEncoder();

export function validateConfigMap(problems: Problems, { data = {}, binaryData = {} }: ConfigMap): void {
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    problems.invalidEach(`data[${key}]`, key, isConfigMapKey(key));
    if (Object.hasOwn(binaryData, key)) problems.invalid(`data[${key}]`, key, "duplicate of key present in binaryData");
    size += utf8.encode(value).length;
  }
  for (const [key, value] of Object.entries(binaryData)) {
    problems.invalidEach(`binaryData[${key}]`, key, isConfigMapKey(key));
    size += base64Length(value);
  }
  if (size > MAX_DATA) problems.tooLong("", MAX_DATA);
}

const IMMUTABLE = "field is immutable when `immutable` is set";

export function validateConfigMapUpdate(problems: Problems, map: ConfigMap, old: ConfigMap): void {
  if (old.immutable !== true) return;
  if (map.immutable !== true) problems.forbidden("immutable", IMMUTABLE);
  if (!sameJson(map.data, old.data)) problems.forbidden("data", IMMUTABLE);
  if (!sameJson(map.binaryData, old.binaryData)) problems.forbidden("binaryData", IMMUTABLE);
}

/** Keys that a Secret of a type must have; of a list in the list, one. */
const SECRET_KEYS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "kubernetes.io/dockercfg": [[".dockercfg"]],
  "kubernetes.io/dockerconfigjson": [[".dockerconfigjson"]],
  "kubernetes.io/basic-auth": [["username", "password"]],
  "kubernetes.io/ssh-auth": [["ssh-privatekey"]],
  "kubernetes.io/tls": [["tls.crt"], ["tls.key"]],
};

export function validateSecret(problems: Problems, secret: Secret): void {
  const data = secret.data ?? {};
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    problems.invalidEach(`data[${key}]`, key, isConfigMapKey(key));
    size += base64Length(value);
  }
  if (size > MAX_DATA) problems.tooLong("data", MAX_DATA);
  for (const keys of SECRET_KEYS[secret.type ?? ""] ?? []) {
    if (keys.some((key) => Object.hasOwn(data, key))) continue;
    for (const key of keys) problems.required(`data[${key}]`);
  }
  const account = "kubernetes.io/service-account.name";
  if (secret.type === "kubernetes.io/service-account-token" && !secret.metadata?.annotations?.[account]) {
    problems.required(`metadata.annotations[${account}]`);
  }
}

export function validateSecretUpdate(problems: Problems, secret: Secret, old: Secret): void {
  problems.immutable("type", secret.type, old.type);
  if (old.immutable !== true) return;
  if (secret.immutable !== true) problems.forbidden("immutable", IMMUTABLE);
  if (!sameJson(secret.data, old.data)) problems.forbidden("data", IMMUTABLE);
}

const EFFECTS: readonly string[] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

export function validateNode(problems: Problems, { spec = {} }: Node): void {
  const { podCIDRs = [], taints = [] } = spec;
  for (const [i, cidr] of podCIDRs.entries()) problems.invalidEach(`spec.podCIDRs[${i}]`, cidr, isCidr(cidr));
  if (podCIDRs.length > 2) {
    problems.invalid("spec.podCIDRs", podCIDRs, "may specify no more than one CIDR for each IP family");
  }
  if (podCIDRs.length > 0 && spec.podCIDR !== undefined && spec.podCIDR !== podCIDRs[0]) {
    problems.invalid("spec.podCIDRs[0]", podCIDRs[0], "must match `podCIDR`");
  }
  const seen = new Set<string>();
  for (const [i, { key = "", value, effect }] of taints.entries()) {
    const at = `spec.taints[${i}]`;
    problems.invalidEach(`${at}.key`, key, isQualifiedName(key));
    if (value) problems.invalidEach(`${at}.value`, value, isLabelValue(value));
    problems.oneOf(`${at}.effect`, effect, EFFECTS);
    if (seen.has(`${key}:${effect}`)) problems.duplicate(at, { key, effect });
    seen.add(`${key}:${effect}`);
  }
}

export function validateNodeUpdate(problems: Problems, { spec = {} }: Node, old: Node): void {
  const before = old.spec ?? {};
  if ((before.podCIDRs ?? []).length > 0 && !sameJson(spec.podCIDRs, before.podCIDRs)) {
    problems.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid');
  }
  if (before.providerID && spec.providerID !== before.providerID) {
    problems.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid');
  }
}

export function validateLease(problems: Problems, { spec = {} }: Lease): void {
  const { leaseDurationSeconds, leaseTransitions } = spec;
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
    problems.invalid("spec.leaseDurationSeconds", leaseDurationSeconds, "must be greater than 0");
  }
  problems.notNegative("spec.leaseTransitions", leaseTransitions);
}

const ACCESS_MODES: readonly string[] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

export function validatePersistentVolumeClaim(problems: Problems, { spec = {} }: PersistentVolumeClaim): void {
  const modes = spec.accessModes ?? [];
  if (modes.length === 0) problems.required("spec.accessModes", "at least 1 access mode is required");
  for (const mode of modes) if (!ACCESS_MODES.includes(mode)) problems.notSupported("spec.accessModes", mode, ACCESS_MODES);
  const storage = spec.resources?.requests?.["storage"];
  if (storage === undefined) problems.required("spec.resources[storage]");
  else if (storage === "0" || storage.startsWith("-")) problems.invalid("spec.resources[storage]", storage, "must be greater than zero");
  problems.optionalOneOf("spec.volumeMode", spec.volumeMode, ["Block", "Filesystem"]);
}
