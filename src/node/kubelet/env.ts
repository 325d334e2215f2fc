// A container's environment variables and what `$(NAME)` in its command means. Pure: objects that are referred to are handed in. After
// kubelet `makeEnvironmentVariables` and third_party/forked/golang/expansion.
import type { ConfigMap, Container, EnvVarSource, Secret } from "kubernetes-types/core/v1";
import { RuntimeError } from "#runtime";
import { fieldValue, type PodFacts, resourceValue } from "./field-ref.ts";

export interface EnvSources {
  readonly configMap: (name: string) => ConfigMap | undefined;
  readonly secret: (name: string) => Secret | undefined;
  readonly serviceEnv: Readonly<Record<string, string>>;
  readonly facts: PodFacts;
}

/** `$(NAME)` becomes the value of NAME, `$$` one dollar; what is unknown stays as it is. */
export function expand(text: string, lookUp: (name: string) => string | undefined): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (match, name: string | undefined) => (name === undefined ? "$" : (lookUp(name) ?? match)));
}

/** Throws RuntimeError CreateContainerConfigError when a required object or key is missing. */
export function makeEnv(container: Container, sources: EnvSources): Record<string, string> {
  const result: Record<string, string> = {};
  for (const from of container.envFrom ?? []) {
    for (const [key, value] of Object.entries(envFromData(from, sources))) result[`${from.prefix ?? ""}${key}`] = value;
  }
  // Only what was named by now is expanded, and services; not what came by envFrom.
  const named: Record<string, string> = {};
  for (const { name, value, valueFrom } of container.env ?? []) {
    const resolved =
      valueFrom === undefined
        ? expand(value ?? "", (key) => named[key] ?? sources.serviceEnv[key])
        : valueFromSource(valueFrom, container, sources);
    if (resolved === undefined) continue;
    named[name] = resolved;
    result[name] = resolved;
  }
  return { ...sources.serviceEnv, ...result };
}

function envFromData(from: NonNullable<Container["envFrom"]>[number], sources: EnvSources): Record<string, string> {
  if (from.configMapRef !== undefined) {
    const { name = "", optional = false } = from.configMapRef;
    const configMap = sources.configMap(name);
    if (configMap === undefined && !optional) throw missing(`configmap "${name}" not found`);
    return validNames(configMap?.data ?? {});
  }
  if (from.secretRef !== undefined) {
    const { name = "", optional = false } = from.secretRef;
    const secret = sources.secret(name);
    if (secret === undefined && !optional) throw missing(`secret "${name}" not found`);
    return validNames(Object.fromEntries(Object.entries(secret?.data ?? {}).map(([key, value]) => [key, decode(value)])));
  }
  return {};
}

/** Keys that cannot be names of variables are left out (with relaxed validation, KEP-4369: printable ASCII without "="). */
function validNames(data: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(data).filter(([key]) => /^[ -<>-~]+$/.test(key)));
}

function decode(base64: string): string {
  return Buffer.from(base64, "base64").toString();
}

function valueFromSource(from: EnvVarSource, container: Container, sources: EnvSources): string | undefined {
  if (from.fieldRef !== undefined) return fieldValue(from.fieldRef.fieldPath, sources.facts);
  if (from.resourceFieldRef !== undefined) return resourceValue(from.resourceFieldRef, container, sources.facts);
  if (from.configMapKeyRef !== undefined) {
    const { name = "", key, optional = false } = from.configMapKeyRef;
    const value = sources.configMap(name)?.data?.[key];
    if (value === undefined && !optional) throw missing(noSuchKey("ConfigMap", name, key, sources.configMap(name)));
    return value;
  }
  if (from.secretKeyRef !== undefined) {
    const { name = "", key, optional = false } = from.secretKeyRef;
    const value = sources.secret(name)?.data?.[key];
    if (value === undefined && !optional) throw missing(noSuchKey("Secret", name, key, sources.secret(name)));
    return value === undefined ? undefined : decode(value);
  }
  throw missing("an environment variable has a valueFrom that is not supported");
}

function noSuchKey(kind: "ConfigMap" | "Secret", name: string, key: string, object: ConfigMap | Secret | undefined): string {
  if (object === undefined) return `${kind.toLowerCase()} "${name}" not found`;
  return `couldn't find key ${key} in ${kind} ${object.metadata?.namespace ?? ""}/${name}`;
}

function missing(message: string): RuntimeError {
  return new RuntimeError("CreateContainerConfigError", message);
}
