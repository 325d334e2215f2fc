// What follows from a pod's spec alone. Pure.
import type { Container, ContainerStatus, EphemeralContainer, Pod } from "kubernetes-types/core/v1";
import type { Stored } from "#kube";

export type StoredPod = Stored<Pod>;

export type RestartPolicy = "Always" | "OnFailure" | "Never";

export function restartPolicyOf(pod: Pod): RestartPolicy {
  const policy = pod.spec?.restartPolicy;
  return policy === "OnFailure" || policy === "Never" ? policy : "Always";
}

export function initContainersOf(pod: Pod): readonly Container[] {
  return pod.spec?.initContainers ?? [];
}

export function containersOf(pod: Pod): readonly Container[] {
  return pod.spec?.containers ?? [];
}

/** Those that are added to a pod that runs, for looking into it (KEP-277). They are started once, and nobody waits for them. */
export function ephemeralContainersOf(pod: Pod): readonly EphemeralContainer[] {
  return pod.spec?.ephemeralContainers ?? [];
}

function allContainersOf(pod: Pod): readonly Container[] {
  return [...containersOf(pod), ...initContainersOf(pod), ...ephemeralContainersOf(pod)];
}

export function findContainer(pod: Pod, name: string): Container | undefined {
  return allContainersOf(pod).find((container) => container.name === name);
}

/** What is known of the containers of all kinds. */
export function containerStatusesOf(pod: Pod): readonly ContainerStatus[] {
  const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = pod.status ?? {};
  return [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses];
}

/** Whether any instance of the container has run, by what was reported of it. */
export function hasRun({ state, lastState }: ContainerStatus): boolean {
  return (state?.running ?? state?.terminated ?? lastState?.terminated) !== undefined;
}

/** Where events say that the container is declared: `spec.containers{web}`. */
export function fieldPathOf(pod: Pod, name: string): string {
  const kinds = { initContainers: initContainersOf(pod), ephemeralContainers: ephemeralContainersOf(pod) };
  const found = Object.entries(kinds).find(([, list]) => list.some((container) => container.name === name));
  return `spec.${found?.[0] ?? "containers"}{${name}}`;
}

/** An init container that goes on beside the others (KEP-753). */
export function isSidecar(container: Container): boolean {
  return "restartPolicy" in container && container.restartPolicy === "Always";
}

export function isInit(pod: Pod, name: string): boolean {
  return initContainersOf(pod).some((container) => container.name === name);
}

export function usesHostNetwork(pod: Pod): boolean {
  return pod.spec?.hostNetwork ?? false;
}

/** All containers of the pod, or of the node, see each other's processes. */
export function sharesProcesses(pod: Pod): boolean {
  return pod.spec?.shareProcessNamespace === true || pod.spec?.hostPID === true;
}

const DEFAULT_GRACE_SECONDS = 30;

/** How long the pod may take to end: what its deletion asked for, or its spec. */
export function gracePeriodOf(pod: Pod): number {
  return pod.metadata?.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
}

/** The words that name a pod in messages: `web_default(uid)`. */
export function describePod(pod: StoredPod): string {
  return `${pod.metadata.name}_${pod.metadata.namespace ?? ""}(${pod.metadata.uid})`;
}

/** What `hostname` says in the pod, and the pod's name in the cluster's domain where it has one (kubelet `GeneratePodHostNameAndDomain`). */
export function hostnameOf(pod: StoredPod, nodeName: string, clusterDomain: string): { readonly hostname: string; readonly fqdn?: string } {
  if (usesHostNetwork(pod)) return { hostname: nodeName };
  const wanted = pod.spec?.hostname;
  // A name of up to 63 characters is a host name; longer ones are cut, without a trailing dash or dot (kubelet `truncatePodHostnameIfNeeded`).
  const hostname = wanted !== undefined && wanted !== "" ? wanted : pod.metadata.name.slice(0, 63).replace(/[-.]+$/, "");
  const subdomain = pod.spec?.subdomain ?? "";
  if (subdomain === "") return { hostname };
  const fqdn = `${hostname}.${subdomain}.${pod.metadata.namespace ?? ""}.svc.${clusterDomain}`;
  return { hostname: pod.spec?.setHostnameAsFQDN === true ? fqdn : hostname, fqdn };
}

/** Guaranteed, Burstable or BestEffort (`pkg/apis/core/v1/helper/qos`): by cpu and memory of all containers. */
export function qosClassOf(pod: Pod): "Guaranteed" | "Burstable" | "BestEffort" {
  const all = [...initContainersOf(pod), ...containersOf(pod)];
  const resources = all.map(({ resources: r }) => ({ limits: r?.limits ?? {}, requests: { ...r?.limits, ...r?.requests } }));
  const kinds = ["cpu", "memory"] as const;
  const isZero = (quantity: string | undefined): boolean => quantity === undefined || /^0+(\.0+)?[a-zA-Z]*$/.test(quantity);
  if (resources.every(({ limits, requests }) => kinds.every((kind) => isZero(limits[kind]) && isZero(requests[kind])))) return "BestEffort";
  const guaranteed = resources.every(({ limits, requests }) =>
    kinds.every((kind) => !isZero(limits[kind]) && requests[kind] === limits[kind]),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}
