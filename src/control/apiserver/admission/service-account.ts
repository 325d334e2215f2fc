// Gives pods their service account and its token. After plugin `admission/plugin/serviceaccount` and the projected volume that it builds.
import type { Container, Pod, PodSpec, Volume } from "kubernetes-types/core/v1";
import { PODS, SERVICE_ACCOUNTS } from "#kube";
import { headObject } from "../registry/access.ts";
import { randomSuffix } from "../registry/metadata.ts";
import type { Write } from "../registry/types.ts";
import { forbidden } from "../status.ts";

const DEFAULT = "default";
const VOLUME_PREFIX = "kube-api-access-";
const MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";
// An hour and some seconds, by which kube-apiserver recognises its own injected tokens (WarnOnlyBoundTokenExpirationSeconds).
const EXPIRATION_SECONDS = 3607;
const FILE_MODE = 0o644;

export function admitServiceAccount(pod: Pod, write: Write): void {
  const { spec } = pod;
  if (spec === undefined) return;
  const name = orDefault(spec.serviceAccountName);
  spec.serviceAccountName = name;
  spec.serviceAccount = name;
  const account = headObject(write.registry, SERVICE_ACCOUNTS, { namespace: pod.metadata?.namespace, name });
  // The account "default" is made by a controller a moment after its namespace; a pod need not wait for that.
  if (account === undefined && name !== DEFAULT) {
    const namespace = pod.metadata?.namespace ?? "";
    throw forbidden(
      PODS,
      pod.metadata?.name ?? "",
      `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`,
    );
  }
  if (spec.imagePullSecrets === undefined && account?.imagePullSecrets !== undefined) spec.imagePullSecrets = account.imagePullSecrets;
  if (spec.automountServiceAccountToken ?? account?.automountServiceAccountToken ?? true) mountToken(spec);
}

function orDefault(name: string | undefined): string {
  return name === undefined || name === "" ? DEFAULT : name;
}

/** Before validation: names and lists that every pod has may be missing. */
function mountToken(spec: PodSpec): void {
  const known = spec.volumes?.find((volume) => volume.name?.startsWith(VOLUME_PREFIX));
  const volume = known ?? tokenVolume(`${VOLUME_PREFIX}${randomSuffix()}`);
  let used = false;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) used = mountInto(container, volume.name) || used;
  if (used && known === undefined) spec.volumes = [...(spec.volumes ?? []), volume];
}

function mountInto(container: Container, name: string): boolean {
  const mounts = container.volumeMounts ?? [];
  if (mounts.some((mount) => mount.mountPath === MOUNT_PATH)) return false;
  container.volumeMounts = [...mounts, { name, readOnly: true, mountPath: MOUNT_PATH }];
  return true;
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: FILE_MODE,
      sources: [
        { serviceAccountToken: { expirationSeconds: EXPIRATION_SECONDS, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        { downwardAPI: { items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }] } },
      ],
    },
  };
}
