// The shape of the Container Runtime Interface (kubernetes/cri-api runtime.v1), as far as it is used here: names are CRI's in
// camelCase, times are milliseconds since the epoch. The embedded runtime implements it in this process; a client that speaks gRPC
// to containerd can implement it too.
import type { Duplex, Readable, Writable } from "node:stream";
import type { NetNs } from "#linux";

export interface RuntimeVersion {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
}

export interface RuntimeService {
  version(): Promise<RuntimeVersion>;
  /** Makes the namespaces and the network of a pod, and holds them. Undone again when it fails. */
  runPodSandbox(config: PodSandboxConfig): Promise<string>;
  /** Ends all containers and gives the network back; what `podSandboxStatus` says stays. Idempotent. */
  stopPodSandbox(podSandboxId: string): Promise<void>;
  /** Forgets a sandbox and its containers; ends them first where needed. Idempotent. */
  removePodSandbox(podSandboxId: string): Promise<void>;
  podSandboxStatus(podSandboxId: string): Promise<PodSandboxStatus>;
  listPodSandbox(filter?: PodSandboxFilter): Promise<PodSandboxStatus[]>;
  createContainer(podSandboxId: string, config: ContainerConfig): Promise<string>;
  /** Resolves when the container's own program runs; rejects when it could not be started. */
  startContainer(containerId: string): Promise<void>;
  /** SIGTERM, and SIGKILL after `timeoutSeconds`; resolves when it has ended. Idempotent. */
  stopContainer(containerId: string, timeoutSeconds: number): Promise<void>;
  removeContainer(containerId: string): Promise<void>;
  listContainers(filter?: ContainerFilter): Promise<ContainerStatus[]>;
  containerStatus(containerId: string): Promise<ContainerStatus>;
  execSync(containerId: string, command: readonly string[], timeoutSeconds: number): Promise<ExecResult>;
  exec(containerId: string, request: ExecRequest): Promise<ExecSession>;
  attach(containerId: string, request: AttachRequest): Promise<ExecSession>;
  /** A connection to localhost:`port` inside the sandbox. Rejects with a RuntimeError of code "PortForwardError". */
  portForward(podSandboxId: string, port: number): Promise<Duplex>;
  /** Calls `listener` when a container has started or ended (GetContainerEvents). */
  onContainerEvent(listener: (event: ContainerEvent) => void): { close(): void };
  /** Stops watching; containers go on. */
  close(): void;
}

export interface ImageService {
  /** Undefined when the image is not here. */
  imageStatus(image: string): Promise<Image | undefined>;
  /** The image's id. Rejects with a RuntimeError of code "ErrImagePull" or "InvalidImageName". */
  pullImage(image: string): Promise<string>;
  listImages(): Promise<Image[]>;
}

export interface Image {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly sizeBytes: number;
}

export interface PodSandboxMetadata {
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  /** Counts sandboxes of one pod. */
  readonly attempt: number;
}

export interface DnsConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** CRI's NamespaceMode: `pod` shares within the pod, `node` with the node, `container` is each container's own. */
export interface NamespaceOptions {
  readonly network: "pod" | "node";
  readonly pid: "container" | "pod" | "node";
  readonly ipc: "pod" | "node";
}

export interface PodSandboxConfig {
  readonly metadata: PodSandboxMetadata;
  readonly hostname: string;
  /** Directory of the pod's logs on the node; containers' `logPath` is relative to it. */
  readonly logDirectory: string;
  readonly dnsConfig: DnsConfig;
  readonly namespaces: NamespaceOptions;
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly portMappings?: readonly PortMapping[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface PortMapping {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp?: string;
}

export type PodSandboxState = "ready" | "notReady";

export interface PodSandboxStatus {
  readonly id: string;
  readonly metadata: PodSandboxMetadata;
  readonly state: PodSandboxState;
  readonly createdAtMs: number;
  /** Empty with the node's network. */
  readonly ips: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** As they were asked for. CRI does not tell them; the next agent has to know which ports are open. */
  readonly portMappings?: readonly PortMapping[];
  /** Where the pod's network namespace is bound; absent with the node's. Others tell it in their verbose status. */
  readonly netnsPath?: string;
}

export interface PodSandboxFilter {
  readonly podUid?: string;
  readonly state?: PodSandboxState;
}

export interface Mount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly: boolean;
}

export interface SecurityContext {
  readonly privileged?: boolean;
  readonly capabilities?: { readonly add: readonly string[]; readonly drop: readonly string[] };
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly supplementalGroups?: readonly number[];
  readonly readonlyRootfs?: boolean;
  readonly noNewPrivs?: boolean;
}

export interface ContainerMetadata {
  readonly name: string;
  readonly attempt: number;
}

export interface ContainerConfig {
  readonly metadata: ContainerMetadata;
  readonly image: string;
  /** Replaces the image's entrypoint; empty: the image's. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir?: string;
  readonly envs: readonly { readonly key: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  /** Relative to the sandbox's log directory. */
  readonly logPath: string;
  readonly stdin?: boolean;
  /** The end of the first attached input is the end of the container's. */
  readonly stdinOnce?: boolean;
  readonly tty?: boolean;
  /** Lives in the pid namespace of this container (CRI's NamespaceMode TARGET), where containers have their own. */
  readonly pidTargetId?: string;
  readonly securityContext?: SecurityContext;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export type ContainerState = "created" | "running" | "exited" | "unknown";

export interface ContainerStatus {
  readonly id: string;
  readonly podSandboxId: string;
  readonly metadata: ContainerMetadata;
  readonly state: ContainerState;
  readonly createdAtMs: number;
  readonly startedAtMs?: number;
  readonly finishedAtMs?: number;
  readonly exitCode?: number;
  /** One CamelCase word, such as "Completed", "Error", "ContainerStatusUnknown". */
  readonly reason?: string;
  readonly message?: string;
  readonly image: string;
  readonly imageId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly logPath: string;
}

export interface ContainerFilter {
  readonly podSandboxId?: string;
  readonly podUid?: string;
  readonly state?: ContainerState;
}

export interface ContainerEvent {
  readonly type: "started" | "stopped";
  readonly containerId: string;
  readonly podSandboxId: string;
  readonly podUid: string;
}

export interface ExecResult {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;
}

export interface ExecRequest {
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly tty: boolean;
}

export interface AttachRequest {
  readonly stdin: boolean;
  readonly tty: boolean;
}

/** A process in a container, or the container itself, with its streams. With a terminal everything comes out of `stdout`. */
export interface ExecSession {
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable | undefined;
  resize(size: { readonly width: number; readonly height: number }): void;
  /** The exit code, when the process has ended and its output has been read. */
  readonly exit: Promise<number>;
  /** Ends the process (exec) or only the session (attach). */
  close(): void;
}

/** What a pod's link to the network needs to know. */
export interface PodNetworkRequest {
  readonly podUid: string;
  readonly namespace: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly netns: NetNs;
  readonly annotations: Readonly<Record<string, string>>;
  readonly portMappings: readonly PortMapping[];
}

/**
 * Connects pods; CNI's ADD and DEL. Both are idempotent: `add` again gives what is there, `del` of what is gone is content (`netns`
 * is absent when the namespace is gone).
 */
export interface PodNetwork {
  add(request: PodNetworkRequest): Promise<{ readonly ips: readonly string[] }>;
  del(request: Omit<PodNetworkRequest, "netns"> & { readonly netns: NetNs | undefined }): Promise<void>;
}
