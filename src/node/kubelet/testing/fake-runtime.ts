// A runtime in memory for tests of the kubelet: containers start at once, and end when a test or the kubelet says so.
import { once } from "node:events";
import { connect } from "node:net";
import { type Duplex, PassThrough } from "node:stream";
import {
  type ContainerConfig,
  type ContainerEvent,
  type ContainerFilter,
  type ContainerStatus,
  type ExecResult,
  type ExecSession,
  type Image,
  type ImageService,
  type PodSandboxConfig,
  type PodSandboxFilter,
  type PodSandboxStatus,
  RuntimeError,
  type RuntimeService,
} from "#runtime";

interface FakeContainer {
  status: ContainerStatus;
  readonly config: ContainerConfig;
}

export class FakeRuntime implements RuntimeService, ImageService {
  /** What was asked of it: `start web/0`, `stop web/0 30`. */
  readonly calls: string[] = [];
  readonly sandboxes: Map<string, { status: PodSandboxStatus; readonly config: PodSandboxConfig }> = new Map();
  readonly containers: Map<string, FakeContainer> = new Map();
  /** Containers that do not end by SIGTERM. */
  readonly deaf: Set<string> = new Set();
  /** By container name: thrown by the next start. */
  readonly startErrors: Map<string, RuntimeError> = new Map();
  /** Containers whose start is never answered. */
  readonly held: Set<string> = new Set();
  /** Making a sandbox is never answered, though it is made. */
  sandboxHeld = false;
  sandboxError: Error | undefined;
  /** A sandbox is stopped no sooner than this. */
  beforeSandboxStops: Promise<void> | undefined;
  execDelayMs = 0;
  /** Answers exec; undefined never answers. */
  onExec: (name: string, command: readonly string[]) => ExecResult = () => ({
    stdout: Buffer.alloc(0),
    stderr: Buffer.alloc(0),
    exitCode: 0,
  });
  readonly #listeners = new Set<(event: ContainerEvent) => void>();
  #count = 0;

  async version(): Promise<{ runtimeName: string; runtimeVersion: string }> {
    return { runtimeName: "fake", runtimeVersion: "0" };
  }

  async runPodSandbox(config: PodSandboxConfig): Promise<string> {
    const { sandboxError } = this;
    if (sandboxError !== undefined) throw sandboxError;
    const id = `s${++this.#count}`;
    this.calls.push(`sandbox ${config.metadata.name}/${config.metadata.attempt}`);
    const { metadata, labels, annotations } = config;
    const status: PodSandboxStatus = {
      id,
      metadata,
      state: "ready",
      createdAtMs: Date.now(),
      ips: [`10.244.0.${this.#count}`],
      labels,
      annotations,
    };
    this.sandboxes.set(id, { status, config });
    if (this.sandboxHeld) await new Promise(() => {});
    return id;
  }

  async stopPodSandbox(id: string): Promise<void> {
    await this.beforeSandboxStops;
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) return;
    sandbox.status = { ...sandbox.status, state: "notReady" };
    for (const container of this.#of(id)) this.#end(container, 137);
  }

  async removePodSandbox(id: string): Promise<void> {
    await this.stopPodSandbox(id);
    for (const container of this.#of(id)) this.containers.delete(container.status.id);
    this.sandboxes.delete(id);
  }

  async podSandboxStatus(id: string): Promise<PodSandboxStatus> {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) throw new RuntimeError("NotFound", id);
    return sandbox.status;
  }

  async listPodSandbox(filter: PodSandboxFilter = {}): Promise<PodSandboxStatus[]> {
    const all = [...this.sandboxes.values()].map(({ status }) => status);
    return all.filter(
      (status) =>
        (filter.podUid === undefined || status.metadata.uid === filter.podUid) &&
        (filter.state === undefined || status.state === filter.state),
    );
  }

  async createContainer(podSandboxId: string, config: ContainerConfig): Promise<string> {
    const id = `c${++this.#count}`;
    const { metadata, image, labels, annotations } = config;
    const status: ContainerStatus = {
      id,
      podSandboxId,
      metadata,
      state: "created",
      createdAtMs: Date.now(),
      image,
      imageId: `fake:${image}`,
      labels,
      annotations,
      logPath: `${this.sandboxes.get(podSandboxId)?.config.logDirectory ?? ""}/${config.logPath}`,
    };
    this.containers.set(id, { status, config });
    return id;
  }

  async startContainer(id: string): Promise<void> {
    const container = this.#get(id);
    const { name, attempt } = container.status.metadata;
    if (this.held.has(name)) await new Promise(() => {});
    this.calls.push(`start ${name}/${attempt}`);
    const err = this.startErrors.get(name);
    if (err !== undefined) {
      container.status = { ...container.status, state: "exited", exitCode: 128, reason: "StartError", finishedAtMs: Date.now() };
      throw err;
    }
    container.status = { ...container.status, state: "running", startedAtMs: Date.now() };
    this.#emit("started", container);
  }

  async stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    const container = this.#get(id);
    const { name, attempt } = container.status.metadata;
    if (container.status.state === "exited") return;
    this.calls.push(`stop ${name}/${attempt} ${Math.ceil(timeoutSeconds)}`);
    if (!this.deaf.has(name) || timeoutSeconds === 0) this.#end(container, this.deaf.has(name) ? 137 : 0);
  }

  async removeContainer(id: string): Promise<void> {
    this.containers.delete(id);
  }

  async listContainers(filter: ContainerFilter = {}): Promise<ContainerStatus[]> {
    const all = [...this.containers.values()].map(({ status }) => status);
    return all.filter(
      (status) =>
        (filter.podSandboxId === undefined || status.podSandboxId === filter.podSandboxId) &&
        (filter.podUid === undefined || this.sandboxes.get(status.podSandboxId)?.status.metadata.uid === filter.podUid) &&
        (filter.state === undefined || status.state === filter.state),
    );
  }

  async containerStatus(id: string): Promise<ContainerStatus> {
    return this.#get(id).status;
  }

  async execSync(id: string, command: readonly string[]): Promise<ExecResult> {
    return this.onExec(this.#get(id).status.metadata.name, command);
  }

  /** Echoes its input; `exit N` as a command ends with N, `fail` cannot be started. */
  async exec(
    id: string,
    request: { readonly command: readonly string[]; readonly stdin: boolean; readonly tty: boolean },
  ): Promise<ExecSession> {
    if (this.execDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.execDelayMs));
    const [command, argument] = request.command;
    this.calls.push(`exec ${this.#get(id).status.metadata.name} ${request.command.join(" ")}`);
    if (command === "fail") throw new RuntimeError("RunContainerError", 'exec: "fail": executable file not found in $PATH');
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const exit = Promise.withResolvers<number>();
    const end = (code: number): void => {
      stdout.end();
      stderr.end();
      exit.resolve(code);
    };
    if (command === "cat") stdin.on("data", (chunk: Buffer) => stdout.write(chunk)).on("end", () => end(0));
    else if (command === "exit") {
      stderr.write("leaving\n");
      end(Number(argument));
    }
    return {
      stdin: request.stdin ? stdin : undefined,
      stdout,
      stderr: request.tty ? undefined : stderr,
      exit: exit.promise,
      resize: ({ width, height }) => stdout.write(`${width}x${height}\n`),
      close: () => end(137),
    };
  }

  async attach(): Promise<ExecSession> {
    throw new RuntimeError("Unsupported", "the fake runtime attaches to nothing");
  }

  /** This machine's own ports stand in for the pod's. */
  async portForward(_podSandboxId: string, port: number): Promise<Duplex> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  }

  async imageStatus(image: string): Promise<Image | undefined> {
    return image.startsWith("missing") ? undefined : { id: image, repoTags: [image], sizeBytes: 0 };
  }

  async pullImage(image: string): Promise<string> {
    if (image.startsWith("missing")) throw new RuntimeError("ErrImagePull", `there is no ${image}`);
    return image;
  }

  async listImages(): Promise<Image[]> {
    return [];
  }

  onContainerEvent(listener: (event: ContainerEvent) => void): { close(): void } {
    this.#listeners.add(listener);
    return { close: () => this.#listeners.delete(listener) };
  }

  close(): void {
    this.#listeners.clear();
  }

  /** The newest container of that name. */
  find(name: string): FakeContainer | undefined {
    return [...this.containers.values()].filter(({ status }) => status.metadata.name === name).at(-1);
  }

  /** Ends the newest container of that name. */
  exit(name: string, code: number): void {
    const container = this.find(name);
    if (container !== undefined) this.#end(container, code);
  }

  #get(id: string): FakeContainer {
    const container = this.containers.get(id);
    if (container === undefined) throw new RuntimeError("NotFound", `there is no container ${id}`);
    return container;
  }

  #of(sandboxId: string): FakeContainer[] {
    return [...this.containers.values()].filter(({ status }) => status.podSandboxId === sandboxId);
  }

  #end(container: FakeContainer, exitCode: number): void {
    if (container.status.state === "exited") return;
    const reason = exitCode === 0 ? "Completed" : "Error";
    container.status = { ...container.status, state: "exited", exitCode, reason, finishedAtMs: Date.now() };
    this.#emit("stopped", container);
  }

  #emit(type: ContainerEvent["type"], { status }: FakeContainer): void {
    const podUid = this.sandboxes.get(status.podSandboxId)?.status.metadata.uid ?? "";
    for (const listener of this.#listeners) listener({ type, containerId: status.id, podSandboxId: status.podSandboxId, podUid });
  }
}
