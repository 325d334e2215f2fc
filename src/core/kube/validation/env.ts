// Environment variables and where their values come from: ValidateEnv, ValidateEnvFrom of `pkg/apis/core/validation/validation.go`.
import type { Container, EnvVarSource, EphemeralContainer, ObjectFieldSelector, ResourceFieldSelector } from "kubernetes-types/core/v1";
import { isConfigMapKey, isDns1123Subdomain, isEnvVarName, isQualifiedName } from "./names.ts";
import type { Problems } from "./problems.ts";

const SOURCES = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"] as const;

export const ENV_FIELDS: readonly string[] = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];

export function validateEnv(problems: Problems, path: string, { env = [], envFrom = [] }: Container | EphemeralContainer): void {
  for (const [i, { name, value, valueFrom }] of env.entries()) {
    const at = `${path}.env[${i}]`;
    if (!name) problems.required(`${at}.name`);
    else problems.invalidEach(`${at}.name`, name, isEnvVarName(name));
    if (valueFrom !== undefined) validateSource(problems, `${at}.valueFrom`, valueFrom, value);
  }
  for (const [i, { prefix, configMapRef, secretRef }] of envFrom.entries()) {
    const at = `${path}.envFrom[${i}]`;
    if (prefix) problems.invalidEach(`${at}.prefix`, prefix, isEnvVarName(prefix));
    if (configMapRef === undefined && secretRef === undefined)
      problems.invalid(at, "", "must specify one of: `configMapRef` or `secretRef`");
    else if (configMapRef !== undefined && secretRef !== undefined)
      problems.invalid(at, "", "may not have more than one field specified at a time");
    if (configMapRef !== undefined) validateName(problems, `${at}.configMapRef.name`, configMapRef.name);
    if (secretRef !== undefined) validateName(problems, `${at}.secretRef.name`, secretRef.name);
  }
}

function validateName(problems: Problems, path: string, name: string | undefined): void {
  if (!name) problems.required(path);
  else problems.invalidEach(path, name, isDns1123Subdomain(name));
}

function validateSource(problems: Problems, path: string, source: EnvVarSource, value: string | undefined): void {
  const given = Object.keys(source);
  if (given.length === 0)
    problems.invalid(path, "", `must specify one of: \`fieldRef\`, \`resourceFieldRef\`, \`configMapKeyRef\` or \`secretKeyRef\``);
  else if (value) problems.invalid(path, "", "may not be specified when `value` is not empty");
  else if (given.length > 1) problems.invalid(path, "", "may not have more than one field specified at a time");
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = source;
  if (fieldRef !== undefined) validateFieldRef(problems, `${path}.fieldRef`, fieldRef, ENV_FIELDS);
  if (resourceFieldRef !== undefined) validateResourceRef(problems, `${path}.resourceFieldRef`, resourceFieldRef);
  for (const [name, ref] of Object.entries({ configMapKeyRef, secretKeyRef } satisfies Partial<
    Record<(typeof SOURCES)[number], unknown>
  >)) {
    if (ref === undefined) continue;
    if (!ref.name) problems.required(`${path}.${name}.name`);
    if (!ref.key) problems.required(`${path}.${name}.key`);
    else problems.invalidEach(`${path}.${name}.key`, ref.key, isConfigMapKey(ref.key));
  }
}

/** `metadata.labels['app']` too. */
export function validateFieldRef(problems: Problems, path: string, ref: ObjectFieldSelector, fields: readonly string[]): void {
  const fieldPath = ref.fieldPath ?? "";
  if (!ref.apiVersion) problems.required(`${path}.apiVersion`);
  if (fieldPath === "") {
    problems.required(`${path}.fieldPath`);
    return;
  }
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath);
  if (subscript !== null) problems.invalidEach(path, subscript[2] ?? "", isQualifiedName((subscript[2] ?? "").toLowerCase()));
  else if (!fields.includes(fieldPath)) problems.notSupported(`${path}.fieldPath`, fieldPath, fields);
}

const RESOURCES: readonly string[] = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];

function validateResourceRef(problems: Problems, path: string, ref: ResourceFieldSelector): void {
  const { resource } = ref;
  if (!resource) problems.required(`${path}.resource`);
  else if (!RESOURCES.includes(resource) && !/^(limits|requests)\.hugepages-/.test(resource)) {
    problems.notSupported(`${path}.resource`, resource, RESOURCES);
  }
}
