// Pods that a workload will have: those of now with the template's labels and ports, and more or fewer of them. Pure.
import type { Node, Pod, PodTemplateSpec } from "kubernetes-types/core/v1";
import { InputError } from "#base";
import type { KubeObject, matchLabelSelector, Stored } from "#kube";

const WORKLOADS: ReadonlySet<string> = new Set(["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"]);

/** What controllers add to a template's labels: stays as it is. */
const OF_CONTROLLERS: readonly string[] = [
  "pod-template-hash",
  "controller-revision-hash",
  "statefulset.kubernetes.io/pod-name",
  "apps.kubernetes.io/pod-index",
  "pod-template-generation",
];

export function isWorkload({ kind, apiVersion }: KubeObject): boolean {
  return WORKLOADS.has(kind ?? "") && (apiVersion?.startsWith("apps/") === true || apiVersion?.startsWith("batch/") === true);
}

interface WorkloadSpec {
  readonly replicas?: unknown;
  readonly parallelism?: unknown;
  readonly selector?: Parameters<typeof matchLabelSelector>[0];
  readonly template?: PodTemplateSpec;
}

export interface WorkloadOptions {
  readonly where: string;
  readonly isDelete: boolean;
  readonly nodes: ReadonlyMap<string, Stored<Node>>;
}

/** Changes the pods, and returns what is to be said about it. Throws InputError. */
export function applyWorkload(pods: Map<string, Stored<Pod>>, workload: Stored, { where, isDelete, nodes }: WorkloadOptions): string[] {
  const { kind, metadata } = workload;
  const own = [...pods].filter(([, pod]) => isOwned(pod, workload)).sort(([a], [b]) => (a < b ? -1 : 1));
  if (isDelete) {
    for (const [key] of own) pods.delete(key);
    return own.length === 0 ? [`${where}: ${kind} "${metadata.namespace}/${metadata.name}" has no pods to delete`] : [];
  }
  const spec: WorkloadSpec = "spec" in workload && typeof workload.spec === "object" && workload.spec !== null ? workload.spec : {};
  const count = countOf(spec, workload, { where, live: own.length, nodes: nodes.size });
  for (const [key] of own.slice(count)) pods.delete(key);
  for (const [key, pod] of own.slice(0, count)) pods.set(key, spec.template === undefined ? pod : revised(pod, spec.template));
  if (count > own.length && spec.template === undefined) throw new InputError(`${where}: spec.template`, "is missing");
  const names = [...nodes.keys()];
  for (let n = own.length + 1; n <= count; n++) {
    const name = `${metadata.name}-new-${n}`;
    pods.set(`${metadata.namespace}/${name}`, podToBe(workload, spec.template ?? {}, { name, nodeName: names[n % names.length] ?? "" }));
  }
  return [];
}

function countOf(
  { replicas, parallelism }: WorkloadSpec,
  { kind }: Stored,
  { where, live, nodes }: { readonly where: string; readonly live: number; readonly nodes: number },
): number {
  if (kind === "DaemonSet") return nodes;
  const given = kind === "Job" ? parallelism : replicas;
  if (given === undefined) return live > 0 ? live : 1;
  if (typeof given === "number" && Number.isInteger(given) && given >= 0) return given;
  const field = kind === "Job" ? "parallelism" : "replicas";
  throw new InputError(`${where}: spec.${field}`, `${JSON.stringify(given)} is not a number of pods`);
}

/** A Deployment owns its pods through ReplicaSets, which have its name and a hash. */
function isOwned(pod: Stored<Pod>, { kind, metadata }: Stored): boolean {
  if (pod.metadata.namespace !== metadata.namespace) return false;
  return (pod.metadata.ownerReferences ?? []).some((owner) =>
    kind === "Deployment"
      ? owner.kind === "ReplicaSet" && owner.name.slice(0, owner.name.lastIndexOf("-")) === metadata.name
      : owner.kind === kind && owner.name === metadata.name,
  );
}

/** As a rollout would leave it, but with its name and addresses. */
function revised(pod: Stored<Pod>, template: PodTemplateSpec): Stored<Pod> {
  const kept = Object.entries(pod.metadata.labels ?? {}).filter(([key]) => OF_CONTROLLERS.includes(key));
  const { spec } = template;
  return {
    ...pod,
    metadata: { ...pod.metadata, labels: { ...template.metadata?.labels, ...Object.fromEntries(kept) } },
    ...(spec !== undefined && { spec: { ...spec, ...(pod.spec?.nodeName !== undefined && { nodeName: pod.spec.nodeName }) } }),
  };
}

function podToBe(
  workload: Stored,
  template: PodTemplateSpec,
  { name, nodeName }: { readonly name: string; readonly nodeName: string },
): Stored<Pod> {
  const { namespace } = workload.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      ...(namespace !== undefined && { namespace }),
      uid: `new ${name}`,
      resourceVersion: "",
      creationTimestamp: "",
      labels: { ...template.metadata?.labels },
    },
    spec: { containers: [], ...template.spec, nodeName },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  };
}
