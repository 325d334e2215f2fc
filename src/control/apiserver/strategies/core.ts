// The kinds of the core group but for pods and Services. After `pkg/registry/core/*/strategy.go`.
import type {
  Endpoints,
  Event,
  LimitRange,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  ReplicationController,
  ServiceAccount,
} from "kubernetes-types/core/v1";
import { NAMESPACES } from "#kube";
import type { Strategy } from "../registry/types.ts";
import { forbidden } from "../status.ts";

const NAME_LABEL = "kubernetes.io/metadata.name";
const NAMESPACE_FINALIZER = "kubernetes";
const IMMORTAL: ReadonlySet<string> = new Set(["default", "kube-system", "kube-public"]);

export const NAMESPACE_STRATEGY: Strategy<Namespace> = {
  returnsDeleted: true,

  prepareForCreate(namespace) {
    setNameLabel(namespace);
    namespace.spec = { finalizers: [...new Set([...(namespace.spec?.finalizers ?? []), NAMESPACE_FINALIZER])] };
    namespace.status = { phase: "Active" };
  },

  /** Only the finalize subresource takes finalizers of the spec away. */
  prepareForUpdate(namespace, old) {
    setNameLabel(namespace);
    if (old.spec === undefined) delete namespace.spec;
    else namespace.spec = structuredClone(old.spec);
  },

  checkDelete(namespace) {
    const name = namespace.metadata?.name ?? "";
    if (IMMORTAL.has(name)) throw forbidden(NAMESPACES, name, "this namespace may not be deleted");
  },

  prepareForDelete(namespace) {
    namespace.status = { ...namespace.status, phase: "Terminating" };
  },

  isHeld: (namespace) => (namespace.spec?.finalizers ?? []).length > 0,
};

function setNameLabel(namespace: Namespace): void {
  const { metadata } = namespace;
  if (metadata?.name !== undefined) metadata.labels = { ...metadata.labels, [NAME_LABEL]: metadata.name };
}

export const NODE_STRATEGY: Strategy<Node> = { keepsStatusOnCreate: true };

export const ENDPOINTS_STRATEGY: Strategy<Endpoints> = { createOnUpdate: true };

export const EVENT_STRATEGY: Strategy<Event> = { createOnUpdate: true };

export const LIMIT_RANGE_STRATEGY: Strategy<LimitRange> = { createOnUpdate: true };

export const SERVICE_ACCOUNT_STRATEGY: Strategy<ServiceAccount> = { returnsDeleted: true };

export const REPLICATION_CONTROLLER_STRATEGY: Strategy<ReplicationController> = {
  hasGeneration: true,
  orphansByDefault: true,
  prepareForCreate(controller) {
    controller.status = { replicas: 0 };
  },
};

export const VOLUME_STRATEGY: Strategy<PersistentVolume> = {
  returnsDeleted: true,
  prepareForCreate(volume) {
    volume.status = { phase: "Pending" };
  },
};

export const CLAIM_STRATEGY: Strategy<PersistentVolumeClaim> = {
  returnsDeleted: true,
  prepareForCreate(claim) {
    claim.status = { phase: "Pending" };
  },
};
