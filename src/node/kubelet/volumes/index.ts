// The volumes of one pod on the node: made, kept up to date, taken away.
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync } from "node:fs";
import { normalize } from "node:path";
import type { ConfigMap, Secret, Volume, VolumeMount } from "kubernetes-types/core/v1";
import { errorMessage } from "#base";
import { mount, unmount } from "#linux";
import type { PodFacts } from "../field-ref.ts";
import { findContainer, type StoredPod } from "../pod-spec.ts";
import { writeAtomically } from "./atomic-files.ts";
import { prepareHostPath } from "./host-path.ts";
import {
  configMapPayload,
  DEFAULT_TOKEN_SECONDS,
  downwardPayload,
  type Payload,
  type PayloadSources,
  projectedPayload,
  secretPayload,
  selectionOf,
  VolumeError,
} from "./payload.ts";
import type { TokenStore } from "./tokens.ts";

export interface VolumeSources {
  readonly configMap: (name: string) => ConfigMap | undefined;
  readonly secret: (name: string) => Secret | undefined;
  readonly facts: PodFacts;
}

export class PodVolumes {
  readonly #dir: string;
  readonly #tokens: TokenStore;

  /** `dir` is the pod's own: `<node root>/pods/<uid>`. */
  constructor(dir: string, tokens: TokenStore) {
    this.#dir = dir;
    this.#tokens = tokens;
  }

  /**
   * Makes what is missing and renews what has changed. Rejects with VolumeError while something that a volume needs is missing. Resolves with
   * the time at which a token wants renewal.
   */
  async prepare(pod: StoredPod, sources: VolumeSources): Promise<number> {
    const renewals = await Promise.all(tokenRequests(pod).map((request) => this.#tokens.ensure(pod, request)));
    const payloadSources: PayloadSources = {
      ...sources,
      container: (name) => findContainer(pod, name),
      token: (audience, expirationSeconds) => this.#tokens.get({ audience, expirationSeconds }),
    };
    for (const volume of pod.spec?.volumes ?? []) {
      try {
        this.#prepareOne(pod, volume, payloadSources);
      } catch (err) {
        throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${errorMessage(err)}`);
      }
    }
    return Math.min(Number.POSITIVE_INFINITY, ...renewals);
  }

  /** The place on the node of what a container mounts. */
  hostPath(pod: StoredPod, volumeMount: VolumeMount, subPath: string | undefined): string {
    const volume = pod.spec?.volumes?.find(({ name }) => name === volumeMount.name);
    if (volume === undefined) throw new VolumeError(`volumeMount refers to volume "${volumeMount.name}", which the pod does not have`);
    const root = volume.hostPath === undefined ? this.#pathOf(volume) : volume.hostPath.path;
    if (subPath === undefined || subPath === "") return root;
    if (subPath.startsWith("/") || subPath.split("/").includes(".."))
      throw new VolumeError(`subPath "${subPath}" is not inside its volume`);
    const path = normalize(`${root}/${subPath}`);
    if (!existsSync(path)) mkdirSync(path, { recursive: true });
    // What is mounted is the file as it is now: later versions of it do not appear, and no link may lead out of the volume.
    const real = realpathSync(path);
    if (!real.startsWith(`${realpathSync(root)}/`)) throw new VolumeError(`subPath "${subPath}" leads out of its volume`);
    return real;
  }

  remove(): void {
    removePodDirectory(this.#dir);
  }

  #pathOf(volume: Volume): string {
    return `${this.#dir}/volumes/${pluginOf(volume)}/${volume.name}`;
  }

  #prepareOne(pod: StoredPod, volume: Volume, sources: PayloadSources): void {
    const { hostPath, emptyDir } = volume;
    if (hostPath !== undefined) {
      prepareHostPath(hostPath.path, hostPath.type ?? "");
      return;
    }
    const path = this.#pathOf(volume);
    if (emptyDir !== undefined) {
      if (existsSync(path)) return;
      mkdirSync(path, { recursive: true });
      if (emptyDir.medium === "Memory") mount({ source: "tmpfs", target: path, type: "tmpfs" });
      chmodSync(path, 0o777);
      setGroup(path, pod.spec?.securityContext?.fsGroup);
      return;
    }
    const payload = payloadOf(volume, sources);
    if (payload === undefined) {
      throw new VolumeError(
        `volumes of this kind (${kindOf(volume)}) are not supported; use configMap, secret, downwardAPI, projected, emptyDir or hostPath`,
      );
    }
    if (writeAtomically(path, payload)) setGroup(path, pod.spec?.securityContext?.fsGroup);
  }
}

/** Takes away what a pod has on the node, also where an earlier process made it. */
export function removePodDirectory(dir: string): void {
  const inMemory = `${dir}/volumes/${EMPTY_DIR}`;
  for (const name of existsSync(inMemory) ? readdirSync(inMemory) : []) tryUnmount(`${inMemory}/${name}`);
  rmSync(dir, { recursive: true, force: true });
}

/** Names of the in-tree volume plugins, as they appear in paths. */
const EMPTY_DIR = "kubernetes.io~empty-dir";
const PLUGINS: Readonly<Record<string, string>> = {
  emptyDir: EMPTY_DIR,
  configMap: "kubernetes.io~configmap",
  secret: "kubernetes.io~secret",
  downwardAPI: "kubernetes.io~downward-api",
  projected: "kubernetes.io~projected",
};

function kindOf(volume: Volume): string {
  return Object.keys(volume).find((key) => key !== "name") ?? "none";
}

function pluginOf(volume: Volume): string {
  return PLUGINS[kindOf(volume)] ?? kindOf(volume);
}

function payloadOf(volume: Volume, sources: PayloadSources): Payload | undefined {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap !== undefined) return configMapPayload(selectionOf(configMap, configMap.name, configMap.defaultMode), sources);
  if (secret !== undefined) return secretPayload(selectionOf(secret, secret.secretName, secret.defaultMode), sources);
  if (downwardAPI !== undefined) return downwardPayload(downwardAPI.items ?? [], downwardAPI.defaultMode ?? 0o644, sources);
  return projected && projectedPayload(projected, sources);
}

function tokenRequests(pod: StoredPod): { readonly audience: string | undefined; readonly expirationSeconds: number }[] {
  const projections = (pod.spec?.volumes ?? []).flatMap((volume) => volume.projected?.sources ?? []);
  return projections
    .map((projection) => projection.serviceAccountToken)
    .filter((token) => token !== undefined)
    .map(({ audience, expirationSeconds = DEFAULT_TOKEN_SECONDS }) => ({ audience, expirationSeconds }));
}

/** `fsGroup`: the group owns the volume and may write. Not possible for ids that a user namespace does not have; then root owns it anyway. */
function setGroup(path: string, group: number | undefined): void {
  if (group === undefined) return;
  try {
    chownSync(path, -1, group);
    chmodSync(path, (statSync(path).mode & 0o7777) | 0o2070);
  } catch {
    // See above.
  }
}

function tryUnmount(path: string): void {
  try {
    unmount(path, { detach: true });
  } catch {
    // Most are plain directories.
  }
}
