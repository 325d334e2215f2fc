// Starts what a pod is made of: its sandbox with the volumes, and its containers.
import { readFileSync } from "node:fs";
import type { Container } from "kubernetes-types/core/v1";
import { errorCode, errorMessage } from "#base";
import { RuntimeError } from "#runtime";
import { containerConfig, sandboxConfig } from "./container-config.ts";
import { CrashBackoff } from "./crash-backoff.ts";
import { podDns } from "./dns-config.ts";
import { makeEnv } from "./env.ts";
import type { PodFacts } from "./field-ref.ts";
import { hostNetworkHostsFile, hostsFile } from "./hosts-file.ts";
import { runHook } from "./lifecycle.ts";
import type { NodeContext } from "./node-context.ts";
import type { PodFiles } from "./pod-files.ts";
import { describePod, fieldPathOf, hostnameOf, type StoredPod, usesHostNetwork } from "./pod-spec.ts";
import { serviceEnv } from "./service-env.ts";
import type { Waiting } from "./status.ts";
import type { PodVolumes } from "./volumes/index.ts";

export interface StartFailure extends Waiting {
  readonly retryAtMs: number;
}

const HOOK_TIMEOUT_MS = 120_000;

export class PodStarter {
  readonly #node: NodeContext;
  readonly #files: PodFiles;
  readonly #volumes: PodVolumes;
  readonly #signal: AbortSignal;
  readonly #retries = new CrashBackoff();
  readonly #failures = new Map<string, StartFailure>();

  constructor(node: NodeContext, files: PodFiles, volumes: PodVolumes, signal: AbortSignal) {
    this.#node = node;
    this.#files = files;
    this.#volumes = volumes;
    this.#signal = signal;
  }

  facts(pod: StoredPod, podIps: readonly string[]): PodFacts {
    const { hostIps, allocatable } = this.#node.settings;
    return { pod, podIps, hostIps, allocatable };
  }

  /** Makes the volumes, or renews what has changed in them. Resolves with the time at which they want to be looked at again. */
  async prepareVolumes(pod: StoredPod): Promise<number> {
    const { objects } = this.#node;
    const namespace = pod.metadata.namespace ?? "";
    await objects.use(pod.metadata.uid, pod);
    return this.#volumes.prepare(pod, {
      configMap: (name) => objects.configMap(namespace, name),
      secret: (name) => objects.secret(namespace, name),
      facts: this.facts(pod, []),
    });
  }

  async createSandbox(pod: StoredPod, attempt: number): Promise<void> {
    const { settings, runtime } = this.#node;
    const { hostname } = hostnameOf(pod, settings.nodeName, settings.clusterDomain);
    const { clusterDns, clusterDomain, hostDns } = settings;
    const dns = podDns(pod, { clusterDns, clusterDomain, host: hostDns });
    if (dns.warning !== undefined) this.#node.events.event(pod, { type: "Warning", ...dns.warning });
    const { logDirectory } = this.#files;
    await runtime.runPodSandbox(sandboxConfig({ pod, attempt, hostname, logDirectory, dns: dns.config }));
  }

  writeHosts(pod: StoredPod, podIps: readonly string[]): void {
    const aliases = pod.spec?.hostAliases ?? [];
    const { nodeName, clusterDomain } = this.#node.settings;
    if (usesHostNetwork(pod)) this.#files.writeHosts(hostNetworkHostsFile(readFileSync("/etc/hosts", "utf8"), aliases));
    else this.#files.writeHosts(hostsFile({ ips: podIps, ...hostnameOf(pod, nodeName, clusterDomain), aliases }));
  }

  /** Why a container could not be started the last time, while it is too early to try again. */
  failureOf(name: string): StartFailure | undefined {
    const failure = this.#failures.get(name);
    return failure !== undefined && failure.retryAtMs > this.#node.clock.now() ? failure : undefined;
  }

  /** Something changed that may have been the reason. */
  retryNow(): void {
    for (const [name, failure] of this.#failures) this.#failures.set(name, { ...failure, retryAtMs: 0 });
  }

  /** Never rejects: what goes wrong is the container's state. Resolves with its reason for waiting, if it does not run now. */
  async start(pod: StoredPod, container: Container, place: StartPlace): Promise<Waiting | undefined> {
    try {
      await this.#ensureImage(pod, container);
      await this.#startContainer(pod, container, place);
      this.#failures.delete(container.name);
      this.#retries.forget(container.name);
      return undefined;
    } catch (err) {
      return this.#failed(pod, container, err);
    }
  }

  #failed(pod: StoredPod, container: Container, err: unknown): Waiting {
    const code = errorCode(err) ?? "CreateContainerError";
    const message = errorMessage(err);
    const { clock, logger } = this.#node;
    logger.info("a container could not be started", { pod: describePod(pod), container: container.name, reason: code, err: message });
    const reason = code === "FailedMount" ? "CreateContainerConfigError" : code;
    this.#event(pod, container, { type: "Warning", reason: "Failed", message: code === "ErrImagePull" ? message : `Error: ${message}` });
    // The container that could not run has a record of its own, and counts as one that crashed.
    if (code === "RunContainerError") return { reason, message };
    const now = clock.now();
    this.#retries.next(container.name, now);
    const retryAtMs = this.#retries.check(container.name, now, now)?.untilMs ?? now;
    // From the second look on it is known as being held back.
    const later =
      code === "ErrImagePull"
        ? { reason: "ImagePullBackOff", message: `Back-off pulling image "${container.image}": ErrImagePull: ${message}` }
        : { reason, message };
    this.#failures.set(container.name, { ...later, retryAtMs });
    return { reason, message };
  }

  async #ensureImage(pod: StoredPod, container: Container): Promise<void> {
    const { runtime } = this.#node;
    const image = container.image ?? "";
    const policy = container.imagePullPolicy ?? (/:[^/:]+$/.test(image) && !image.endsWith(":latest") ? "IfNotPresent" : "Always");
    const present = (await runtime.imageStatus(image)) !== undefined;
    if (policy === "Never" && !present) {
      throw new RuntimeError("ErrImageNeverPull", `Container image "${image}" is not present with pull policy of Never`);
    }
    if (policy !== "Always" && present) {
      const message = `Container image "${image}" already present on machine`;
      this.#event(pod, container, { type: "Normal", reason: "Pulled", message });
      return;
    }
    const begun = this.#node.clock.now();
    try {
      await runtime.pullImage(image);
    } catch (err) {
      if (errorCode(err) !== "ErrImagePull") throw err;
      throw new RuntimeError("ErrImagePull", `Failed to pull image "${image}": ${errorMessage(err)}`, err);
    }
    const message = `Successfully pulled image "${image}" in ${this.#node.clock.now() - begun}ms`;
    this.#event(pod, container, { type: "Normal", reason: "Pulled", message });
  }

  async #startContainer(pod: StoredPod, container: Container, place: StartPlace): Promise<void> {
    const { runtime } = this.#node;
    const { attempt } = place;
    const env = await this.#env(pod, container, place.podIps);
    const config = containerConfig({
      pod,
      container,
      attempt,
      pidTargetId: place.pidTargetId,
      env,
      hostPath: (mount, subPath) => this.#volumes.hostPath(pod, mount, subPath),
      hostsFile: this.#files.hostsFile,
      terminationFile: this.#files.createTerminationFile(container.name, attempt),
    });
    const id = await runtime.createContainer(place.sandboxId, config);
    const created = (): void => {
      this.#event(pod, container, { type: "Normal", reason: "Created", message: `Created container: ${container.name}` });
    };
    try {
      await runtime.startContainer(id);
    } catch (err) {
      // What could not even be prepared was not created, and leaves nothing to look at.
      if (errorCode(err) === "RunContainerError") created();
      else await runtime.removeContainer(id);
      throw err;
    }
    created();
    this.#event(pod, container, { type: "Normal", reason: "Started", message: `Started container ${container.name}` });
    await this.#postStart(pod, container, { containerId: id, podIp: place.podIps[0] ?? "" });
  }

  async #env(pod: StoredPod, container: Container, podIps: readonly string[]): Promise<Record<string, string>> {
    const { objects, services } = this.#node;
    const namespace = pod.metadata.namespace ?? "";
    await services.synced;
    const inScope = [services.get("default/kubernetes"), ...services.list(namespace)].filter((service) => service !== undefined);
    return makeEnv(container, {
      configMap: (name) => objects.configMap(namespace, name),
      secret: (name) => objects.secret(namespace, name),
      serviceEnv: serviceEnv({ namespace, links: pod.spec?.enableServiceLinks ?? true, services: inScope }),
      facts: this.facts(pod, podIps),
    });
  }

  async #postStart(pod: StoredPod, container: Container, at: { readonly containerId: string; readonly podIp: string }): Promise<void> {
    const handler = container.lifecycle?.postStart;
    if (handler === undefined) return;
    const { clock, runtime } = this.#node;
    const target = { container, runtime, ...at };
    const problem = await runHook(handler, target, { timeoutMs: HOOK_TIMEOUT_MS, clock, signal: this.#signal });
    if (problem === undefined) return;
    const message = `PostStartHook failed: ${problem}`;
    this.#event(pod, container, { type: "Warning", reason: "FailedPostStartHook", message });
    this.#event(pod, container, { type: "Normal", reason: "Killing", message: "FailedPostStartHook" });
    await runtime.stopContainer(at.containerId, pod.spec?.terminationGracePeriodSeconds ?? 30);
  }

  #event(pod: StoredPod, container: Container, event: { type: "Normal" | "Warning"; reason: string; message: string }): void {
    this.#node.events.event(pod, { ...event, fieldPath: fieldPathOf(pod, container.name) });
  }
}

export interface StartPlace {
  readonly sandboxId: string;
  /** The container whose processes this one sees, for one that asks for it. */
  readonly pidTargetId?: string | undefined;
  readonly attempt: number;
  readonly podIps: readonly string[];
}
