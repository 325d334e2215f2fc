// The embedded runtime: pods as processes in namespaces of this machine, from images that are built in. It needs no daemon, and its
// pods need no agent: they go on when it ends, and the next one finds them by the records on disk.
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { type Duplex, PassThrough } from "node:stream";
import type { Logger } from "#base";
import { netns } from "#linux";
import { Containers } from "./containers.ts";
import { RuntimeError } from "./errors.ts";
import { execInContainer, execToEnd } from "./exec.ts";
import { readHostLayout, readIdMaps } from "./host.ts";
import { BUILTIN_IMAGES, describeImage, findBuiltinImage, imageId, requireBuiltinImage } from "./images.ts";
import type { NodeFacts } from "./launch-plan.ts";
import { connectLocalhost } from "./port-forward.ts";
import type { ProgramFiles } from "./rootfs.ts";
import { Sandboxes } from "./sandboxes.ts";
import { isAlive } from "./state.ts";
import type {
  AttachRequest,
  ContainerConfig,
  ContainerEvent,
  ContainerFilter,
  ContainerStatus,
  ExecRequest,
  ExecResult,
  ExecSession,
  Image,
  ImageService,
  PodNetwork,
  PodSandboxConfig,
  PodSandboxFilter,
  PodSandboxStatus,
  RuntimeService,
  RuntimeVersion,
} from "./types.ts";

export interface EmbeddedRuntimeOptions {
  /** Records and pipes of this node's pods; on a file system of this machine. */
  readonly stateDir: string;
  readonly programs: ProgramFiles;
  readonly network: PodNetwork;
  /** Where pid 1 leaves the exit codes of orphans, a file per pid. Without it the exit code of an adopted container is not known. */
  readonly exitsDir?: string;
  readonly logger: Logger;
}

/** Finds the pods that an earlier runtime with this `stateDir` left, and goes on with them. */
export function createEmbeddedRuntime(options: EmbeddedRuntimeOptions): RuntimeService & ImageService {
  return new EmbeddedRuntime(options);
}

class EmbeddedRuntime implements RuntimeService, ImageService {
  readonly #node: NodeFacts;
  readonly #stateDir: string;
  readonly #sandboxes: Sandboxes;
  readonly #containers: Containers;
  readonly #listeners = new Set<(event: ContainerEvent) => void>();

  constructor(options: EmbeddedRuntimeOptions) {
    const { stateDir, programs, network, logger } = options;
    mkdirSync(stateDir, { recursive: true });
    this.#stateDir = stateDir;
    this.#node = { host: readHostLayout(), programs, idMaps: readIdMaps() };
    this.#sandboxes = new Sandboxes({ stateDir, programs, network, logger });
    this.#containers = new Containers({
      stateDir,
      exitsDir: options.exitsDir,
      node: this.#node,
      sandboxes: this.#sandboxes,
      logger,
      onEvent: (event) => {
        for (const listener of this.#listeners) listener(event);
      },
    });
  }

  async version(): Promise<RuntimeVersion> {
    return { runtimeName: "fairlead", runtimeVersion: "0.1.0" };
  }

  runPodSandbox(config: PodSandboxConfig): Promise<string> {
    return this.#sandboxes.run(config);
  }

  async stopPodSandbox(podSandboxId: string): Promise<void> {
    if (!this.#sandboxes.has(podSandboxId)) return;
    const containers = this.#containers.list({ podSandboxId });
    await Promise.all(containers.map((container) => this.#containers.stop(container.id, 0)));
    await this.#sandboxes.stop(podSandboxId);
  }

  async removePodSandbox(podSandboxId: string): Promise<void> {
    if (!this.#sandboxes.has(podSandboxId)) return;
    const containers = this.#containers.list({ podSandboxId });
    await Promise.all(containers.map((container) => this.#containers.remove(container.id)));
    await this.#sandboxes.remove(podSandboxId);
  }

  async podSandboxStatus(podSandboxId: string): Promise<PodSandboxStatus> {
    return this.#sandboxes.status(podSandboxId);
  }

  async listPodSandbox(filter?: PodSandboxFilter): Promise<PodSandboxStatus[]> {
    return this.#sandboxes.list(filter);
  }

  async createContainer(podSandboxId: string, config: ContainerConfig): Promise<string> {
    return this.#containers.create(podSandboxId, config);
  }

  startContainer(containerId: string): Promise<void> {
    return this.#containers.start(containerId);
  }

  stopContainer(containerId: string, timeoutSeconds: number): Promise<void> {
    return this.#containers.stop(containerId, timeoutSeconds);
  }

  removeContainer(containerId: string): Promise<void> {
    return this.#containers.remove(containerId);
  }

  async listContainers(filter?: ContainerFilter): Promise<ContainerStatus[]> {
    return this.#containers.list(filter);
  }

  async containerStatus(containerId: string): Promise<ContainerStatus> {
    return this.#containers.status(containerId);
  }

  async execSync(containerId: string, command: readonly string[], timeoutSeconds: number): Promise<ExecResult> {
    const result = await execToEnd(await this.exec(containerId, { command, stdin: false, tty: false }), timeoutSeconds);
    if (result !== undefined) return result;
    throw new RuntimeError("Timeout", `command ${JSON.stringify(command)} timed out after ${timeoutSeconds} s`);
  }

  async exec(containerId: string, request: ExecRequest): Promise<ExecSession> {
    const { config, sandboxId, process, state } = this.#containers.record(containerId);
    if (state !== "running" || !isAlive(process)) throw new RuntimeError("NotRunning", `container ${config.metadata.name} is not running`);
    const sandbox = this.#sandboxes.get(sandboxId).config;
    const where = this.#sandboxes.namespacesBeside(sandboxId, process);
    const target = { sandbox, config, process, where, dir: `${this.#stateDir}/exec` };
    return execInContainer(this.#node, target, request);
  }

  async attach(containerId: string, request: AttachRequest): Promise<ExecSession> {
    const { config, state } = this.#containers.record(containerId);
    const io = this.#containers.ioOf(containerId);
    if (state !== "running" || io === undefined) throw new RuntimeError("NotRunning", `container ${config.metadata.name} is not running`);
    const stdout = new PassThrough();
    const stderr = io.tty ? undefined : new PassThrough();
    const subscription = io.subscribe((stream, chunk) => (stream === "stderr" ? stderr : stdout)?.write(chunk));
    const end = (): void => {
      subscription.close();
      stdout.end();
      stderr?.end();
    };
    const exit = this.#containers.endOf(containerId).then(() => {
      end();
      return this.#containers.record(containerId).exitCode ?? 0;
    });
    exit.catch(() => {});
    const stdin = request.stdin ? attachedInput(io.stdin, config.stdinOnce === true && !io.tty) : undefined;
    return { stdin, stdout, stderr, exit, resize: (size) => io.resize(size), close: end };
  }

  async portForward(podSandboxId: string, port: number): Promise<Duplex> {
    const { netns: ns } = this.#sandboxes.namespacesOf(podSandboxId);
    if (ns !== undefined) return connectLocalhost(ns, port);
    using own = netns.current();
    return await connectLocalhost(own, port);
  }

  async imageStatus(image: string): Promise<Image | undefined> {
    const found = findBuiltinImage(image);
    return found && describeImage(found);
  }

  async pullImage(image: string): Promise<string> {
    return imageId(requireBuiltinImage(image));
  }

  async listImages(): Promise<Image[]> {
    return BUILTIN_IMAGES.map(describeImage);
  }

  onContainerEvent(listener: (event: ContainerEvent) => void): { close(): void } {
    this.#listeners.add(listener);
    return { close: () => this.#listeners.delete(listener) };
  }

  close(): void {
    this.#listeners.clear();
    this.#containers.close();
    this.#sandboxes.close();
  }
}

/** The end of one session's input is not the end of the container's, unless it asked for that. */
function attachedInput(stdin: NodeJS.WritableStream | undefined, endsWithIt: boolean): PassThrough | undefined {
  if (stdin === undefined) return undefined;
  const input = new PassThrough();
  input.on("data", (chunk: Buffer) => {
    if (stdin.write(chunk)) return;
    input.pause();
    void once(stdin, "drain").then(() => input.resume());
  });
  if (endsWithIt) input.once("end", () => stdin.end());
  return input;
}
