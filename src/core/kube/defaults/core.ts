import type { TokenRequest } from "kubernetes-types/authentication/v1";
import type {
  Endpoints,
  LimitRange,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  ReplicationController,
  Secret,
} from "kubernetes-types/core/v1";
import { encodeBase64Text } from "../base64.ts";
import { podTemplateDefaults } from "./pod.ts";
import { claimSpecDefaults, sourceDefaults } from "./volumes.ts";

/** Clears the `readonly` that the types put on `status`: it is read-only for users, not for the API. */
type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** The finalizer comes with the object's birth only: an update that has none is how a namespace ends. */
export function namespaceDefaults(namespace: Writable<Namespace>): void {
  namespace.metadata ??= {};
  const { metadata } = namespace;
  if (metadata.name) metadata.labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name };
  if (metadata.uid === undefined) {
    namespace.spec ??= {};
    namespace.spec.finalizers ??= ["kubernetes"];
  }
  namespace.status ??= {};
  namespace.status.phase ||= "Active";
}

export function nodeDefaults(node: Node): void {
  const { status } = node;
  if (status?.capacity !== undefined) status.allocatable ??= { ...status.capacity };
}

/** `stringData` is a way to write `data`, and is never stored. */
export function secretDefaults(secret: Secret): void {
  secret.type ||= "Opaque";
  const { stringData } = secret;
  if (stringData === undefined) return;
  const written = Object.entries(stringData).map(([key, value]) => [key, encodeBase64Text(value)]);
  secret.data = { ...secret.data, ...Object.fromEntries(written) };
  delete secret.stringData;
}

export function endpointsDefaults(endpoints: Endpoints): void {
  for (const subset of endpoints.subsets ?? []) for (const port of subset.ports ?? []) port.protocol ||= "TCP";
}

export function persistentVolumeDefaults(volume: Writable<PersistentVolume>): void {
  volume.status ??= {};
  volume.status.phase ||= "Pending";
  if (volume.spec === undefined) return;
  volume.spec.persistentVolumeReclaimPolicy ||= "Retain";
  volume.spec.volumeMode ??= "Filesystem";
  sourceDefaults(volume.spec);
}

export function persistentVolumeClaimDefaults(claim: Writable<PersistentVolumeClaim>): void {
  claim.status ??= {};
  claim.status.phase ||= "Pending";
  if (claim.spec !== undefined) claimSpecDefaults(claim.spec);
}

export function replicationControllerDefaults(controller: ReplicationController): void {
  const { spec } = controller;
  if (spec === undefined) return;
  const labels = spec.template?.metadata?.labels;
  if (labels !== undefined) {
    spec.selector ??= { ...labels };
    controller.metadata ??= {};
    controller.metadata.labels ??= { ...labels };
  }
  spec.replicas ??= 1;
  podTemplateDefaults(spec.template);
}

/** What a container may use at most is also what it gets; what it gets is also what it asks for; the least is also asked for. */
export function limitRangeDefaults(range: LimitRange): void {
  for (const limit of range.spec?.limits ?? []) {
    if (limit.type !== "Container") continue;
    limit.default = { ...limit.max, ...limit.default };
    limit.defaultRequest = { ...limit.min, ...limit.default, ...limit.defaultRequest };
    if (Object.keys(limit.default).length === 0) delete limit.default;
    if (Object.keys(limit.defaultRequest).length === 0) delete limit.defaultRequest;
  }
}

export function tokenRequestDefaults(request: TokenRequest): void {
  request.spec ??= { audiences: [] };
  request.spec.expirationSeconds ??= 3600;
}
