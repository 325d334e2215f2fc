import type {
  AzureDiskVolumeSource,
  DownwardAPIVolumeFile,
  PersistentVolumeClaimSpec,
  PersistentVolumeSpec,
  ProjectedVolumeSource,
  Volume,
} from "kubernetes-types/core/v1";
import { pullPolicyOf } from "./pod.ts";

/** -rw-r--r-- */
const FILE_MODE = 0o644;

/** Newer than the types that we have: an image as a volume. */
interface ImageVolume {
  image?: { reference?: string; pullPolicy?: string };
}

export function volumeDefaults(volume: Volume & ImageVolume): void {
  if (Object.keys(volume).every((field) => field === "name")) volume.emptyDir = {};
  if (volume.secret !== undefined) volume.secret.defaultMode ??= FILE_MODE;
  if (volume.configMap !== undefined) volume.configMap.defaultMode ??= FILE_MODE;
  if (volume.downwardAPI !== undefined) {
    volume.downwardAPI.defaultMode ??= FILE_MODE;
    downwardDefaults(volume.downwardAPI.items);
  }
  projectedDefaults(volume.projected);
  if (volume.ephemeral?.volumeClaimTemplate?.spec !== undefined) claimSpecDefaults(volume.ephemeral.volumeClaimTemplate.spec);
  if (volume.image !== undefined) volume.image.pullPolicy ||= pullPolicyOf(volume.image.reference ?? "");
  sourceDefaults(volume);
}

function projectedDefaults(projected: ProjectedVolumeSource | undefined): void {
  if (projected === undefined) return;
  projected.defaultMode ??= FILE_MODE;
  for (const source of projected.sources ?? []) {
    downwardDefaults(source.downwardAPI?.items);
    if (source.serviceAccountToken !== undefined) source.serviceAccountToken.expirationSeconds ??= 3600;
  }
}

function downwardDefaults(items: DownwardAPIVolumeFile[] | undefined): void {
  for (const { fieldRef } of items ?? []) if (fieldRef !== undefined) fieldRef.apiVersion ||= "v1";
}

export function claimSpecDefaults(spec: PersistentVolumeClaimSpec): void {
  spec.volumeMode ??= "Filesystem";
}

/** Sources that both volumes of pods and volumes of the cluster have. */
export function sourceDefaults(sources: Pick<Volume & PersistentVolumeSpec, "hostPath" | "azureDisk"> & OtherSources): void {
  if (sources.hostPath !== undefined) sources.hostPath.type ??= "";
  if (sources.iscsi !== undefined) sources.iscsi.iscsiInterface ||= "default";
  if (sources.rbd !== undefined) {
    sources.rbd.pool ||= "rbd";
    sources.rbd.user ||= "admin";
    sources.rbd.keyring ||= "/etc/ceph/keyring";
  }
  if (sources.scaleIO !== undefined) {
    sources.scaleIO.storageMode ||= "ThinProvisioned";
    sources.scaleIO.fsType ||= "xfs";
  }
  azureDiskDefaults(sources.azureDisk);
}

/** They differ only in how they name a Secret. */
interface OtherSources {
  iscsi?: { iscsiInterface?: string };
  rbd?: { pool?: string; user?: string; keyring?: string };
  scaleIO?: { storageMode?: string; fsType?: string };
}

function azureDiskDefaults(disk: AzureDiskVolumeSource | undefined): void {
  if (disk === undefined) return;
  disk.cachingMode ??= "ReadWrite";
  disk.kind ??= "Shared";
  disk.fsType ??= "ext4";
  disk.readOnly ??= false;
}
