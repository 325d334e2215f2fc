// Volumes and their mounts: ValidateVolumes, ValidateVolumeMounts of `pkg/apis/core/validation/validation.go`.
import type { Container, DownwardAPIVolumeFile, EphemeralContainer, KeyToPath, Volume, VolumeProjection } from "kubernetes-types/core/v1";
import { ENV_FIELDS, validateFieldRef } from "./env.ts";
import { isDns1123Label } from "./names.ts";
import type { Problems } from "./problems.ts";

const FILE_FIELDS: readonly string[] = ["metadata.annotations", "metadata.labels", ...ENV_FIELDS.slice(0, 3)];

/** The names of those that have one. */
export function validateVolumes(problems: Problems, path: string, volumes: readonly Volume[]): Set<string> {
  const names = new Set<string>();
  for (const [i, volume] of volumes.entries()) {
    const at = `${path}[${i}]`;
    if (!volume.name) problems.required(`${at}.name`);
    else problems.invalidEach(`${at}.name`, volume.name, isDns1123Label(volume.name));
    if (names.has(volume.name)) problems.duplicate(`${at}.name`, volume.name);
    names.add(volume.name);
    validateSource(problems, at, volume);
  }
  return names;
}

function validateSource(problems: Problems, path: string, volume: Volume): void {
  const sources = Object.keys(volume).filter((field) => field !== "name");
  if (sources.length === 0) problems.required(path, "must specify a volume type");
  for (const extra of sources.slice(1)) problems.forbidden(`${path}.${extra}`, "may not specify more than 1 volume type");
  const { configMap, secret, hostPath, persistentVolumeClaim, downwardAPI, projected, nfs, csi } = volume;
  if (configMap !== undefined) {
    if (!configMap.name) problems.required(`${path}.configMap.name`);
    validateItems(problems, `${path}.configMap`, configMap);
  }
  if (secret !== undefined) {
    if (!secret.secretName) problems.required(`${path}.secret.secretName`);
    validateItems(problems, `${path}.secret`, secret);
  }
  if (hostPath !== undefined) {
    if (!hostPath.path) problems.required(`${path}.hostPath.path`);
    else if (hostPath.path.split("/").includes("..")) problems.invalid(`${path}.hostPath.path`, hostPath.path, "must not contain '..'");
  }
  if (persistentVolumeClaim !== undefined && !persistentVolumeClaim.claimName) problems.required(`${path}.persistentVolumeClaim.claimName`);
  if (nfs !== undefined && !nfs.server) problems.required(`${path}.nfs.server`);
  if (nfs !== undefined && !nfs.path) problems.required(`${path}.nfs.path`);
  if (csi !== undefined && !csi.driver) problems.required(`${path}.csi.driver`);
  if (downwardAPI !== undefined) {
    validateMode(problems, `${path}.downwardAPI.defaultMode`, downwardAPI.defaultMode);
    validateFiles(problems, `${path}.downwardAPI`, downwardAPI.items ?? []);
  }
  if (projected === undefined) return;
  validateMode(problems, `${path}.projected.defaultMode`, projected.defaultMode);
  for (const [i, source] of (projected.sources ?? []).entries()) validateProjection(problems, `${path}.projected.sources[${i}]`, source);
}

function validateProjection(problems: Problems, path: string, source: VolumeProjection): void {
  const given = Object.keys(source);
  if (given.length === 0) problems.required(path, "must specify a projection source");
  for (const extra of given.slice(1)) problems.forbidden(`${path}.${extra}`, "may not specify more than 1 volume type");
  const { configMap, secret, downwardAPI, serviceAccountToken } = source;
  for (const [name, part] of Object.entries({ configMap, secret })) {
    if (part === undefined) continue;
    if (!part.name) problems.required(`${path}.${name}.name`);
    validateItems(problems, `${path}.${name}`, part);
  }
  validateFiles(problems, `${path}.downwardAPI`, downwardAPI?.items ?? []);
  if (serviceAccountToken === undefined) return;
  const { expirationSeconds = 3600 } = serviceAccountToken;
  const file = serviceAccountToken.path ?? "";
  if (expirationSeconds < 600)
    problems.invalid(`${path}.serviceAccountToken.expirationSeconds`, expirationSeconds, "may not specify a duration less than 10 minutes");
  if (file === "") problems.required(`${path}.serviceAccountToken.path`);
  else validateRelativePath(problems, `${path}.serviceAccountToken.path`, file);
}

function validateItems(problems: Problems, path: string, source: { items?: KeyToPath[]; defaultMode?: number }): void {
  validateMode(problems, `${path}.defaultMode`, source.defaultMode);
  for (const [i, item] of (source.items ?? []).entries()) {
    const at = `${path}.items[${i}]`;
    if (!item.key) problems.required(`${at}.key`);
    if (!item.path) problems.required(`${at}.path`);
    else validateRelativePath(problems, `${at}.path`, item.path);
    validateMode(problems, `${at}.mode`, item.mode);
  }
}

function validateFiles(problems: Problems, path: string, items: readonly DownwardAPIVolumeFile[]): void {
  for (const [i, item] of items.entries()) {
    const at = `${path}.items[${i}]`;
    if (!item.path) problems.required(`${at}.path`);
    else validateRelativePath(problems, `${at}.path`, item.path);
    if (item.fieldRef !== undefined) validateFieldRef(problems, `${at}.fieldRef`, item.fieldRef, FILE_FIELDS);
    else if (item.resourceFieldRef === undefined) problems.required(at, "one of fieldRef and resourceFieldRef is required");
  }
}

function validateMode(problems: Problems, path: string, mode: number | undefined): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777))
    problems.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive");
}

function validateRelativePath(problems: Problems, path: string, value: string): void {
  if (value.startsWith("/")) problems.invalid(path, value, "must be a relative path");
  if (value.split("/").includes("..")) problems.invalid(path, value, "must not contain '..'");
}

export function validateMounts(
  problems: Problems,
  path: string,
  container: Container | EphemeralContainer,
  volumes: ReadonlySet<string>,
): void {
  const places = new Set<string>();
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    const at = `${path}.volumeMounts[${i}]`;
    if (!mount.name) problems.required(`${at}.name`);
    else if (!volumes.has(mount.name)) problems.notFound(`${at}.name`, mount.name);
    if (!mount.mountPath) problems.required(`${at}.mountPath`);
    else if (places.has(mount.mountPath)) problems.invalid(`${at}.mountPath`, mount.mountPath, "must be unique");
    places.add(mount.mountPath);
    if (mount.subPath) validateRelativePath(problems, `${at}.subPath`, mount.subPath);
    if (mount.subPathExpr) {
      if (mount.subPath) problems.invalid(`${at}.subPathExpr`, mount.subPathExpr, "subPathExpr and subPath are mutually exclusive");
      validateRelativePath(problems, `${at}.subPathExpr`, mount.subPathExpr);
    }
    problems.optionalOneOf(`${at}.mountPropagation`, mount.mountPropagation, ["Bidirectional", "HostToContainer", "None"]);
  }
}
