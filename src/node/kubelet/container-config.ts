// What the runtime is told of a pod and of each of its containers. Pure, but for the places of volumes, which are handed in.
import type { SecurityContext as ApiSecurityContext, Container, Pod, PodSecurityContext, VolumeMount } from "kubernetes-types/core/v1";
import { type ContainerConfig, type DnsConfig, type Mount, type PodSandboxConfig, RuntimeError, type SecurityContext } from "#runtime";
import { expand } from "./env.ts";
import { containersOf, initContainersOf, isSidecar, type StoredPod, usesHostNetwork } from "./pod-spec.ts";

/** Labels by which the pod of a container is told (`pkg/kubelet/types/labels.go`). */
const POD_NAME_LABEL = "io.kubernetes.pod.name";
const POD_NAMESPACE_LABEL = "io.kubernetes.pod.namespace";
const POD_UID_LABEL = "io.kubernetes.pod.uid";
const CONTAINER_NAME_LABEL = "io.kubernetes.container.name";

function podLabels(pod: StoredPod): Record<string, string> {
  const { name, namespace = "", uid } = pod.metadata;
  return { [POD_NAME_LABEL]: name, [POD_NAMESPACE_LABEL]: namespace, [POD_UID_LABEL]: uid };
}

/** `<namespace>_<name>_<uid>`: the pod's directory below `log/pods`, where tools look for logs. */
export function logDirectoryName(pod: StoredPod): string {
  return `${pod.metadata.namespace ?? ""}_${pod.metadata.name}_${pod.metadata.uid}`;
}

export interface SandboxRequest {
  readonly pod: StoredPod;
  readonly attempt: number;
  readonly hostname: string;
  readonly logDirectory: string;
  readonly dns: DnsConfig;
}

export function sandboxConfig({ pod, attempt, hostname, logDirectory, dns }: SandboxRequest): PodSandboxConfig {
  const { spec } = pod;
  const { name, namespace = "", uid } = pod.metadata;
  const sysctls = Object.fromEntries((spec?.securityContext?.sysctls ?? []).map((sysctl) => [sysctl.name, sysctl.value]));
  // What goes on while the pod runs: containers and sidecars.
  const portMappings = [...containersOf(pod), ...initContainersOf(pod).filter(isSidecar)]
    .flatMap((container) => container.ports ?? [])
    .filter((port) => port.hostPort !== undefined && port.hostPort > 0)
    .map((port) => ({
      protocol: protocolOf(port.protocol),
      containerPort: port.containerPort,
      hostPort: port.hostPort ?? 0,
      ...(port.hostIP !== undefined && { hostIp: port.hostIP }),
    }));
  return {
    metadata: { name, uid, namespace, attempt },
    hostname,
    logDirectory,
    dnsConfig: dns,
    namespaces: {
      network: usesHostNetwork(pod) ? "node" : "pod",
      pid: spec?.hostPID === true ? "node" : spec?.shareProcessNamespace === true ? "pod" : "container",
      ipc: spec?.hostIPC === true ? "node" : "pod",
    },
    ...(Object.keys(sysctls).length > 0 && { sysctls }),
    portMappings: usesHostNetwork(pod) ? [] : portMappings,
    labels: { ...pod.metadata.labels, ...podLabels(pod) },
    annotations: pod.metadata.annotations ?? {},
  };
}

function protocolOf(text: string | undefined): "TCP" | "UDP" | "SCTP" {
  return text === "UDP" || text === "SCTP" ? text : "TCP";
}

export interface ContainerRequest {
  readonly pod: StoredPod;
  readonly container: Container;
  readonly attempt: number;
  readonly pidTargetId?: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** The place of a volume, or of a part of it, on the node. */
  readonly hostPath: (mount: VolumeMount, subPath: string | undefined) => string;
  /** The pod's /etc/hosts on the node. */
  readonly hostsFile: string;
  /** Where the container leaves its last words, on the node. */
  readonly terminationFile: string;
}

export function containerConfig(request: ContainerRequest): ContainerConfig {
  const { pod, container, attempt, env } = request;
  const expandEnv = (text: string): string => expand(text, (name) => env[name]);
  return {
    metadata: { name: container.name, attempt },
    image: container.image ?? "",
    command: (container.command ?? []).map(expandEnv),
    args: (container.args ?? []).map(expandEnv),
    ...(container.workingDir !== undefined && { workingDir: container.workingDir }),
    envs: Object.entries(env).map(([key, value]) => ({ key, value })),
    mounts: mountsOf(request, expandEnv),
    logPath: `${container.name}/${attempt}.log`,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    ...(request.pidTargetId !== undefined && { pidTargetId: request.pidTargetId }),
    securityContext: securityContext(container, pod),
    labels: { ...podLabels(pod), [CONTAINER_NAME_LABEL]: container.name },
    annotations: {},
  };
}

const DEFAULT_TERMINATION_PATH = "/dev/termination-log";

function mountsOf(request: ContainerRequest, expandEnv: (text: string) => string): Mount[] {
  const { container, hostPath, hostsFile, terminationFile } = request;
  const mounts = (container.volumeMounts ?? []).map((mount): Mount => {
    const subPath = mount.subPathExpr === undefined ? mount.subPath : expandEnv(mount.subPathExpr);
    return { containerPath: mount.mountPath, hostPath: hostPath(mount, subPath), readonly: mount.readOnly ?? false };
  });
  if (!mounts.some((mount) => mount.containerPath === "/etc/hosts")) {
    mounts.push({ containerPath: "/etc/hosts", hostPath: hostsFile, readonly: false });
  }
  mounts.push({ containerPath: container.terminationMessagePath ?? DEFAULT_TERMINATION_PATH, hostPath: terminationFile, readonly: false });
  return mounts;
}

/** The container's own settings win over the pod's. */
function securityContext(container: Container, pod: Pod): SecurityContext {
  const own: ApiSecurityContext = container.securityContext ?? {};
  const pods: PodSecurityContext = pod.spec?.securityContext ?? {};
  const runAsUser = own.runAsUser ?? pods.runAsUser;
  const runAsGroup = own.runAsGroup ?? pods.runAsGroup;
  if ((own.runAsNonRoot ?? pods.runAsNonRoot) === true && (runAsUser ?? 0) === 0) {
    const why = runAsUser === undefined ? "image will run as root" : "the user is root";
    throw new RuntimeError("CreateContainerConfigError", `container has runAsNonRoot and ${why} (container: ${container.name})`);
  }
  const { add = [], drop = [] } = own.capabilities ?? {};
  const groups = [...(pods.supplementalGroups ?? []), ...(pods.fsGroup === undefined ? [] : [pods.fsGroup])];
  return {
    privileged: own.privileged ?? false,
    capabilities: { add, drop },
    ...(runAsUser !== undefined && { runAsUser }),
    ...(runAsGroup !== undefined && { runAsGroup }),
    supplementalGroups: groups,
    readonlyRootfs: own.readOnlyRootFilesystem ?? false,
    noNewPrivs: own.allowPrivilegeEscalation === false,
  };
}
