import type { Node, ResourceQuota } from "kubernetes-types/core/v1";
import {
  CONFIG_MAPS,
  LEASES,
  LIMIT_RANGES,
  NAMESPACES,
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  RESOURCE_QUOTAS,
  SECRETS,
  SERVICE_ACCOUNTS,
} from "../resources.ts";
import type { KubeObject } from "../types.ts";
import { AGE, ageOf, column, NAME, nameOf, orNone, type PrinterEntry, printerFor, type TableColumn, wide } from "./printer.ts";

const ROLE_LABEL = "node-role.kubernetes.io/";
const OLD_ROLE_LABEL = "kubernetes.io/role";

const ACCESS_MODES: TableColumn = column("Access Modes", "How the volume may be mounted, abbreviated: RWO, ROX, RWX, RWOP.");
const STORAGE_CLASS: TableColumn = column("StorageClass", "The class of storage it belongs to.");
const ATTRIBUTES_CLASS: TableColumn = column("VolumeAttributesClass", "The class of attributes it was given.");
const VOLUME_MODE: TableColumn = wide("VolumeMode", "Whether the volume is a file system or a block device.");

export const CLUSTER_PRINTERS: readonly PrinterEntry[] = [
  printerFor(NODES, {
    columns: [
      NAME,
      column("Status", "Whether the node is ready, and whether pods may be scheduled on it."),
      column("Roles", "The node's roles, from its labels."),
      AGE,
      column("Version", "The version of the node's kubelet."),
      wide("Internal-IP", "The node's address inside the cluster."),
      wide("External-IP", "The node's address outside."),
      wide("OS-Image", "The operating system."),
      wide("Kernel-Version", "The kernel's version."),
      wide("Container-Runtime", "The container runtime and its version."),
    ],
    cells: (node, now) => [
      nameOf(node),
      nodeStatus(node),
      nodeRoles(node),
      ageOf(node, now),
      node.status?.nodeInfo?.kubeletVersion ?? "",
      nodeAddress(node, "InternalIP"),
      nodeAddress(node, "ExternalIP"),
      orUnknown(node.status?.nodeInfo?.osImage),
      orUnknown(node.status?.nodeInfo?.kernelVersion),
      orUnknown(node.status?.nodeInfo?.containerRuntimeVersion),
    ],
  }),
  printerFor(NAMESPACES, {
    columns: [NAME, column("Status", "Active, or Terminating while its objects are deleted."), AGE],
    cells: (n, now) => [nameOf(n), n.status?.phase ?? "", ageOf(n, now)],
  }),
  printerFor(SECRETS, {
    columns: [NAME, column("Type", "What the secret is for."), column("Data", "How many entries it has."), AGE],
    cells: (s, now) => [nameOf(s), s.type ?? "", countOf(s.data), ageOf(s, now)],
  }),
  printerFor(CONFIG_MAPS, {
    columns: [NAME, column("Data", "How many entries it has."), AGE],
    cells: (c, now) => [nameOf(c), countOf(c.data) + countOf(c.binaryData), ageOf(c, now)],
  }),
  printerFor(SERVICE_ACCOUNTS, {
    columns: [NAME, column("Secrets", "How many secrets it may use."), AGE],
    cells: (s, now) => [nameOf(s), s.secrets?.length ?? 0, ageOf(s, now)],
  }),
  printerFor(LEASES, {
    columns: [NAME, column("Holder", "Who holds the lease."), AGE],
    cells: (l, now) => [nameOf(l), l.spec?.holderIdentity ?? "", ageOf(l, now)],
  }),
  printerFor(LIMIT_RANGES, {
    columns: [NAME, column("Created At", "When the object was created.", "date")],
    cells: (l) => [nameOf(l), l.metadata?.creationTimestamp ?? ""],
  }),
  printerFor(RESOURCE_QUOTAS, {
    columns: [
      NAME,
      column("Request", "What is requested, of what may be."),
      column("Limit", "What limits add up to, of what they may."),
      AGE,
    ],
    cells: (q, now) => {
      const { requests, limits } = quotaUse(q);
      return [nameOf(q), requests, limits, ageOf(q, now)];
    },
  }),
  printerFor(PERSISTENT_VOLUMES, {
    columns: [
      NAME,
      column("Capacity", "The volume's size."),
      ACCESS_MODES,
      column("Reclaim Policy", "What happens to the volume when its claim is gone."),
      column("Status", "Whether it is available, bound or released."),
      column("Claim", "The claim that it is bound to."),
      STORAGE_CLASS,
      ATTRIBUTES_CLASS,
      column("Reason", "Why it is in its status."),
      AGE,
      VOLUME_MODE,
    ],
    cells: (v, now) => [
      nameOf(v),
      v.spec?.capacity?.["storage"] ?? "",
      accessModes(v.spec?.accessModes),
      v.spec?.persistentVolumeReclaimPolicy ?? "",
      phaseOf(v, v.status?.phase),
      v.spec?.claimRef === undefined ? "" : `${v.spec.claimRef.namespace ?? ""}/${v.spec.claimRef.name ?? ""}`,
      v.spec?.storageClassName ?? "",
      attributesClass(v.spec),
      v.status?.reason ?? "",
      ageOf(v, now),
      v.spec?.volumeMode ?? "<unset>",
    ],
  }),
  printerFor(PERSISTENT_VOLUME_CLAIMS, {
    columns: [
      NAME,
      column("Status", "Whether the claim is bound to a volume."),
      column("Volume", "The volume that it is bound to."),
      column("Capacity", "The volume's size."),
      ACCESS_MODES,
      STORAGE_CLASS,
      ATTRIBUTES_CLASS,
      AGE,
      VOLUME_MODE,
    ],
    cells: (c, now) => {
      const bound = (c.spec?.volumeName ?? "") !== "";
      return [
        nameOf(c),
        phaseOf(c, c.status?.phase),
        c.spec?.volumeName ?? "",
        bound ? (c.status?.capacity?.["storage"] ?? "") : "",
        bound ? accessModes(c.status?.accessModes) : "",
        c.spec?.storageClassName ?? "",
        attributesClass(c.spec),
        ageOf(c, now),
        c.spec?.volumeMode ?? "<unset>",
      ];
    },
  }),
];

function countOf(map: object | undefined): number {
  return Object.keys(map ?? {}).length;
}

function orUnknown(text: string | undefined): string {
  return text === undefined || text === "" ? "<unknown>" : text;
}

function nodeStatus(node: Node): string {
  const ready = node.status?.conditions?.find((c) => c.type === "Ready");
  const health = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return node.spec?.unschedulable === true ? `${health},SchedulingDisabled` : health;
}

function nodeRoles(node: Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata?.labels ?? {})) {
    if (key.startsWith(ROLE_LABEL) && key.length > ROLE_LABEL.length) roles.add(key.slice(ROLE_LABEL.length));
    else if (key === OLD_ROLE_LABEL && value !== "") roles.add(value);
  }
  return orNone([...roles].sort().join(","));
}

function nodeAddress(node: Node, type: string): string {
  return orNone(node.status?.addresses?.find((a) => a.type === type)?.address);
}

function phaseOf(object: KubeObject, phase: string | undefined): string {
  return object.metadata?.deletionTimestamp === undefined ? (phase ?? "") : "Terminating";
}

const MODE_NAMES: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

function accessModes(modes: readonly string[] | undefined): string {
  return Object.entries(MODE_NAMES)
    .filter(([mode]) => modes?.includes(mode) === true)
    .map(([, short]) => short)
    .join(",");
}

function attributesClass(spec: object | undefined): string {
  return (spec as { volumeAttributesClassName?: string } | undefined)?.volumeAttributesClassName ?? "<unset>";
}

function quotaUse(quota: ResourceQuota): { requests: string; limits: string } {
  const { hard = {}, used = {} } = quota.status ?? {};
  const names = Object.keys(hard).sort();
  const list = (of: (name: string) => boolean): string =>
    names
      .filter(of)
      .map((name) => `${name}: ${used[name] ?? "0"}/${hard[name]}`)
      .join(", ");
  return { requests: list((name) => !name.startsWith("limits")), limits: list((name) => name.startsWith("limits")) };
}
