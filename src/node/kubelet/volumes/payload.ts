// The files of volumes that are made of API objects. Pure: objects and tokens are handed in.
import type {
  ConfigMap,
  Container,
  DownwardAPIVolumeFile,
  KeyToPath,
  ProjectedVolumeSource,
  Secret,
  VolumeProjection,
} from "kubernetes-types/core/v1";
import { FairleadError } from "#base";
import { fieldValue, type PodFacts, resourceValue } from "../field-ref.ts";

interface VolumeFile {
  readonly bytes: Buffer;
  readonly mode: number;
}

/** By path inside the volume. */
export type Payload = ReadonlyMap<string, VolumeFile>;

/** Thrown while something that a volume needs is not there (yet). */
export class VolumeError extends FairleadError {
  constructor(message: string) {
    super(message, { code: "FailedMount" });
  }
}

export interface PayloadSources {
  readonly configMap: (name: string) => ConfigMap | undefined;
  readonly secret: (name: string) => Secret | undefined;
  readonly facts: PodFacts;
  readonly container: (name: string) => Container | undefined;
  /** The token of a `serviceAccountToken` projection. */
  readonly token: (audience: string | undefined, expirationSeconds: number) => string;
}

const DEFAULT_MODE = 0o644;
export const DEFAULT_TOKEN_SECONDS = 3600;

interface Selection {
  readonly kind: "configmap" | "secret";
  readonly name: string;
  readonly items: readonly KeyToPath[] | undefined;
  readonly optional: boolean;
  readonly mode: number;
}

export function configMapPayload(selection: Omit<Selection, "kind">, sources: PayloadSources): Payload {
  const object = sources.configMap(selection.name);
  const data = new Map<string, Buffer>();
  for (const [key, value] of Object.entries(object?.data ?? {})) data.set(key, Buffer.from(value));
  for (const [key, value] of Object.entries(object?.binaryData ?? {})) data.set(key, Buffer.from(value, "base64"));
  return select({ ...selection, kind: "configmap" }, object === undefined ? undefined : data, sources);
}

export function secretPayload(selection: Omit<Selection, "kind">, sources: PayloadSources): Payload {
  const object = sources.secret(selection.name);
  const data = new Map(Object.entries(object?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64")]));
  return select({ ...selection, kind: "secret" }, object === undefined ? undefined : data, sources);
}

function select(selection: Selection, data: ReadonlyMap<string, Buffer> | undefined, sources: PayloadSources): Payload {
  const { kind, name, items, optional, mode } = selection;
  if (data === undefined) {
    if (optional) return new Map();
    throw new VolumeError(`${kind} "${name}" not found in namespace "${sources.facts.pod.metadata.namespace ?? ""}"`);
  }
  if (items === undefined) return new Map([...data].map(([key, bytes]) => [key, { bytes, mode }]));
  const files = new Map<string, VolumeFile>();
  for (const item of items) {
    const bytes = data.get(item.key);
    if (bytes !== undefined) files.set(checkPath(item.path), { bytes, mode: item.mode ?? mode });
    else if (!optional) throw new VolumeError(`${kind} references non-existent config key: ${item.key}`);
  }
  return files;
}

/** A path must stay inside its volume (validation refuses it too; this is the last line). */
function checkPath(path: string): string {
  if (path.startsWith("/") || path.split("/").includes("..") || path.startsWith("..")) {
    throw new VolumeError(`"${path}" is not a path inside a volume`);
  }
  return path;
}

export function downwardPayload(items: readonly DownwardAPIVolumeFile[], mode: number, sources: PayloadSources): Payload {
  const files = new Map<string, VolumeFile>();
  for (const item of items) {
    files.set(checkPath(item.path), { bytes: Buffer.from(downwardValue(item, sources)), mode: item.mode ?? mode });
  }
  return files;
}

function downwardValue(item: DownwardAPIVolumeFile, sources: PayloadSources): string {
  if (item.fieldRef !== undefined) return fieldValue(item.fieldRef.fieldPath, sources.facts);
  const container = sources.container(item.resourceFieldRef?.containerName ?? "");
  if (item.resourceFieldRef === undefined || container === undefined) {
    throw new VolumeError(`downwardAPI item "${item.path}" has neither a fieldRef nor a resourceFieldRef of a container of the pod`);
  }
  return resourceValue(item.resourceFieldRef, container, sources.facts);
}

export function projectedPayload(source: ProjectedVolumeSource, sources: PayloadSources): Payload {
  const mode = source.defaultMode ?? DEFAULT_MODE;
  const files = new Map<string, VolumeFile>();
  for (const projection of source.sources ?? []) {
    for (const [path, file] of projectionPayload(projection, mode, sources)) files.set(path, file);
  }
  return files;
}

function projectionPayload(projection: VolumeProjection, mode: number, sources: PayloadSources): Payload {
  const { configMap, secret, downwardAPI, serviceAccountToken } = projection;
  if (configMap !== undefined) return configMapPayload(selectionOf(configMap, configMap.name, mode), sources);
  if (secret !== undefined) return secretPayload(selectionOf(secret, secret.name, mode), sources);
  if (downwardAPI !== undefined) return downwardPayload(downwardAPI.items ?? [], mode, sources);
  if (serviceAccountToken !== undefined) {
    const { audience, expirationSeconds = DEFAULT_TOKEN_SECONDS, path } = serviceAccountToken;
    return new Map([[checkPath(path), { bytes: Buffer.from(sources.token(audience, expirationSeconds)), mode }]]);
  }
  throw new VolumeError(
    "a projected volume has a source that is not supported; supported are configMap, secret, downwardAPI, serviceAccountToken",
  );
}

export function selectionOf(
  source: { readonly items?: readonly KeyToPath[]; readonly optional?: boolean },
  name: string | undefined,
  mode: number | undefined,
): Omit<Selection, "kind"> {
  return { name: name ?? "", items: source.items, optional: source.optional ?? false, mode: mode ?? DEFAULT_MODE };
}
