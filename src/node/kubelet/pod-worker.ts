// The life of one pod on this node. `sync` looks at what should be and what is, does the next step, and reports; it is called again
// whenever something has changed, never twice at a time.
import type { Container } from "kubernetes-types/core/v1";
import { errorCode, errorMessage } from "#base";
import { isConflict, isNotFound } from "#client";
import { PODS } from "#kube";
import type { ContainerStatus } from "#runtime";
import { CrashBackoff } from "./crash-backoff.ts";
import { type Decision, decide, type Observed } from "./decide.ts";
import type { NodeContext } from "./node-context.ts";
import { PodEnder } from "./pod-ender.ts";
import { PodFiles } from "./pod-files.ts";
import { PodProbes } from "./pod-probes.ts";
import {
  containerStatusesOf,
  describePod,
  ephemeralContainersOf,
  fieldPathOf,
  findContainer,
  gracePeriodOf,
  hasRun,
  isInit,
  isSidecar,
  type StoredPod,
  sharesProcesses,
  usesHostNetwork,
} from "./pod-spec.ts";
import { PodStarter } from "./pod-starter.ts";
import { podStatus, saysReady, type Waiting, withOthersConditions } from "./status.ts";
import { PodVolumes } from "./volumes/index.ts";
import { TokenStore } from "./volumes/tokens.ts";

/** How long a pod waits whose sandbox or volumes could not be made. */
const RETRY_MS = [250, 500, 1000, 2000, 5000, 10_000];

export class PodWorker {
  readonly #node: NodeContext;
  readonly #files: PodFiles;
  readonly #volumes: PodVolumes;
  readonly #starter: PodStarter;
  readonly #ender: PodEnder;
  readonly #probes: PodProbes;
  readonly #backoff = new CrashBackoff();
  readonly #stop = new AbortController();
  /** By container name: the number of the last instance that ran, also when the runtime does not remember it any more. */
  readonly #attempts: Map<string, number>;
  #pod: StoredPod;
  #waiting = new Map<string, Waiting>();
  /** The object is gone: there is nobody to report to. */
  #gone = false;
  #done = false;
  /** At first too: an agent before this one may have ended between the sandbox and what belongs to it. */
  #volumesStale = true;
  #retries = 0;
  #deadlineMs = Number.POSITIVE_INFINITY;

  constructor(node: NodeContext, pod: StoredPod) {
    this.#node = node;
    this.#pod = pod;
    this.#files = new PodFiles(node.settings.nodeRoot, pod);
    this.#volumes = new PodVolumes(this.#files.dir, new TokenStore(node.client, node.clock));
    this.#starter = new PodStarter(node, this.#files, this.#volumes, this.#stop.signal);
    this.#ender = new PodEnder(node, this.#stop.signal);
    this.#probes = new PodProbes(node, this.#stop.signal);
    this.#attempts = new Map(
      containerStatusesOf(pod)
        .filter(hasRun)
        .map((s) => [s.name, s.restartCount]),
    );
  }

  get pod(): StoredPod {
    return this.#pod;
  }

  /** Whether the API still has the pod. */
  get isKnown(): boolean {
    return !this.#gone;
  }

  /** Nothing is left of the pod. */
  get done(): boolean {
    return this.#done;
  }

  update(pod: StoredPod): void {
    // What the downward API shows may have changed.
    const shown = ({ metadata: { labels = {}, annotations = {} } }: StoredPod): string => JSON.stringify([labels, annotations]);
    if (shown(pod) !== shown(this.#pod)) this.#volumesStale = true;
    this.#pod = pod;
  }

  /** The object has vanished from the API, with these last words. */
  gone(pod: StoredPod): void {
    this.#pod = pod;
    this.#gone = true;
  }

  /** An object that the pod refers to has changed. */
  refresh(): void {
    this.#volumesStale = true;
    this.#starter.retryNow();
  }

  /** Stops looking after the pod; it goes on. */
  close(): void {
    this.#stop.abort();
    this.#probes.close();
  }

  /** Resolves with the milliseconds after which to sync again, if nothing happens before. */
  async sync(): Promise<number | undefined> {
    if (this.#done || this.#stop.signal.aborted) return undefined;
    const observed = await this.#observe();
    this.#probes.follow(this.#pod, observed, this.#podIps(observed));
    if (this.#gone || this.#pod.metadata.deletionTimestamp !== undefined) return this.#terminate(observed);
    const nowMs = this.#node.clock.now();
    const { backoff, healthOf } = { backoff: this.#backoff, healthOf: (id: string) => this.#probes.healthOf(id) };
    const decision = decide({ pod: this.#pod, observed, healthOf, backoff, nowMs });
    if (decision.finished || this.#hasEnded()) return this.#finish(observed);
    return this.#proceed(observed, decision);
  }

  #hasEnded(): boolean {
    const phase = this.#pod.status?.phase;
    return phase === "Succeeded" || phase === "Failed";
  }

  async #observe(): Promise<Observed> {
    const { runtime } = this.#node;
    const podUid = this.#pod.metadata.uid;
    const [sandboxes, statuses] = await Promise.all([runtime.listPodSandbox({ podUid }), runtime.listContainers({ podUid })]);
    sandboxes.sort((a, b) => b.metadata.attempt - a.metadata.attempt || b.createdAtMs - a.createdAtMs);
    const instances = new Map<string, ContainerStatus[]>();
    for (const status of statuses) {
      const list = instances.get(status.metadata.name) ?? [];
      list.push(status);
      instances.set(status.metadata.name, list);
    }
    for (const [name, list] of instances) {
      list.sort((a, b) => b.metadata.attempt - a.metadata.attempt || b.createdAtMs - a.createdAtMs);
      const begun = list.find(({ state }) => state === "running" || state === "exited");
      if (begun !== undefined) this.#attempts.set(name, Math.max(this.#attempts.get(name) ?? 0, begun.metadata.attempt));
    }
    for (const old of sandboxes.slice(1)) await runtime.removePodSandbox(old.id);
    return { sandbox: sandboxes[0], instances };
  }

  #podIps(observed: Observed): readonly string[] {
    if (usesHostNetwork(this.#pod)) return this.#node.settings.hostIps;
    return observed.sandbox?.ips ?? (this.#pod.status?.podIPs ?? []).map(({ ip }) => ip ?? "");
  }

  /** The ordinary way: end what must end, make what is missing, start what is next. */
  async #proceed(before: Observed, decision: Decision): Promise<number | undefined> {
    const waitedBefore = this.#waiting;
    this.#waiting = new Map(decision.waiting);
    this.#endUnhealthy(decision);
    let observed = before;
    let againMs = decision.retryAtMs === undefined ? Number.POSITIVE_INFINITY : decision.retryAtMs - this.#node.clock.now();
    try {
      if (decision.newSandbox) observed = await this.#prepare(before);
      else if (this.#volumesStale) {
        if (observed.sandbox !== undefined && !this.#files.hasHosts) this.#starter.writeHosts(this.#pod, this.#podIps(observed));
        againMs = Math.min(againMs, await this.#refreshVolumes());
      }
      this.#retries = 0;
    } catch (err) {
      return this.#notYet(before, err);
    }
    if (observed.sandbox !== undefined && decision.start.length > 0) {
      againMs = Math.min(againMs, await this.#startContainers(observed, decision.start));
      observed = await this.#observe();
      this.#probes.follow(this.#pod, observed, this.#podIps(observed));
    }
    this.#announceBackOff(waitedBefore);
    this.#report(observed, false);
    return Number.isFinite(againMs) ? Math.max(0, againMs) : undefined;
  }

  /** What is held back from now on. */
  #announceBackOff(before: ReadonlyMap<string, Waiting>): void {
    for (const [name, { reason }] of this.#waiting) {
      if (before.get(name)?.reason === reason) continue;
      const fieldPath = fieldPathOf(this.#pod, name);
      const crashed = `Back-off restarting failed container ${name} in pod ${describePod(this.#pod)}`;
      const pulling = `Back-off pulling image "${findContainer(this.#pod, name)?.image ?? ""}"`;
      const { events } = this.#node;
      if (reason === "CrashLoopBackOff") events.event(this.#pod, { type: "Warning", reason: "BackOff", message: crashed, fieldPath });
      if (reason === "ImagePullBackOff") events.event(this.#pod, { type: "Normal", reason: "BackOff", message: pulling, fieldPath });
    }
  }

  #endUnhealthy(decision: Decision): void {
    for (const { container, status, message } of decision.end) {
      const graceMs = (this.#pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000;
      const why = `Container ${container.name} failed ${container.startupProbe !== undefined && !this.#probes.healthOf(status.id).started ? "startup" : "liveness"} probe, will be restarted`;
      this.#node.logger.info("a probe failed", { pod: describePod(this.#pod), container: container.name, message });
      this.#ender.end(this.#pod, container, status, { message: why, deadlineMs: this.#node.clock.now() + graceMs });
    }
  }

  /** Volumes and sandbox do not need each other, and both take a moment. */
  async #prepare(observed: Observed): Promise<Observed> {
    const { runtime, events, networkReady } = this.#node;
    if (!networkReady() && !usesHostNetwork(this.#pod)) throw new Error("the node's network is not ready");
    const { sandbox } = observed;
    if (sandbox !== undefined) {
      events.event(this.#pod, {
        type: "Normal",
        reason: "SandboxChanged",
        message: "Pod sandbox changed, it will be killed and re-created.",
      });
      await runtime.removePodSandbox(sandbox.id);
    }
    // One that is there is right: that of a sandbox with other addresses must not be found by the next agent.
    this.#files.removeHosts();
    const made = this.#starter.createSandbox(this.#pod, (sandbox?.metadata.attempt ?? -1) + 1);
    const [volumes, created] = await Promise.allSettled([this.#refreshVolumes(), made]);
    if (created.status === "rejected") throw created.reason;
    const next = await this.#observe();
    this.#starter.writeHosts(this.#pod, this.#podIps(next));
    if (volumes.status === "rejected") throw volumes.reason;
    return next;
  }

  async #refreshVolumes(): Promise<number> {
    this.#volumesStale = false;
    try {
      const renewAtMs = await this.#starter.prepareVolumes(this.#pod);
      this.#renewAt(renewAtMs);
      return Number.POSITIVE_INFINITY;
    } catch (err) {
      this.#volumesStale = true;
      throw err;
    }
  }

  /** Tokens are renewed before they expire. */
  #renewAt(atMs: number): void {
    if (!Number.isFinite(atMs)) return;
    const { clock } = this.#node;
    void clock.sleep(atMs - clock.now(), this.#stop.signal).then(() => {
      if (this.#stop.signal.aborted) return;
      this.#volumesStale = true;
      this.#node.requeue(this.#pod.metadata.uid);
    });
  }

  /** Something that the pod needs is not there: say so, and try again. */
  #notYet(observed: Observed, err: unknown): number {
    const code = errorCode(err);
    const reason = code === "FailedMount" ? "FailedMount" : code === "RunPodSandboxError" ? "FailedCreatePodSandBox" : "FailedSync";
    const { events, logger, networkReady } = this.#node;
    logger.info("a pod cannot be started yet", { pod: describePod(this.#pod), reason, err: errorMessage(err) });
    const type = networkReady() || usesHostNetwork(this.#pod) ? "Warning" : "Normal";
    if (this.#retries > 0 || type === "Normal") events.event(this.#pod, { type, reason, message: errorMessage(err) });
    this.#report(observed, false);
    return RETRY_MS[Math.min(this.#retries++, RETRY_MS.length - 1)] ?? 0;
  }

  /** Resolves with the milliseconds until one that failed may be tried again. */
  async #startContainers(observed: Observed, containers: readonly Container[]): Promise<number> {
    const podIps = this.#podIps(observed);
    const { clock } = this.#node;
    let againMs = Number.POSITIVE_INFINITY;
    const startOne = async (container: Container): Promise<void> => {
      const held = this.#starter.failureOf(container.name);
      if (held !== undefined) {
        this.#waiting.set(container.name, held);
        againMs = Math.min(againMs, held.retryAtMs - clock.now());
        return;
      }
      const waiting = await this.#startContainer(container, observed, podIps);
      if (waiting === undefined) return;
      this.#waiting.set(container.name, waiting);
      // Soon, so that the reason becomes that of being held back.
      againMs = Math.min(againMs, 1000);
    };
    await Promise.all(containers.map(startOne));
    return againMs;
  }

  async #startContainer(container: Container, observed: Observed, podIps: readonly string[]): Promise<Waiting | undefined> {
    const instances = observed.instances.get(container.name) ?? [];
    const [latest, ...older] = instances;
    const { runtime, clock } = this.#node;
    if (latest?.state === "exited") this.#backoff.next(container.name, clock.now());
    // One that was made and never ran is of no use to anyone, and of those that ended only the last is kept.
    const useless = latest?.state === "created" || latest?.state === "unknown" ? instances : older;
    for (const instance of useless) {
      await runtime.removeContainer(instance.id);
      this.#files.forgetInstance(instance);
    }
    const attempt = (this.#attempts.get(container.name) ?? -1) + 1;
    const pidTargetId = this.#pidTarget(container, observed);
    return this.#starter.start(this.#pod, container, { sandboxId: observed.sandbox?.id ?? "", attempt, podIps, pidTargetId });
  }

  /** `targetContainerName` of an ephemeral container; where the pod shares its processes it sees them all anyway. */
  #pidTarget({ name }: Container, observed: Observed): string | undefined {
    const target = ephemeralContainersOf(this.#pod).find((container) => container.name === name)?.targetContainerName ?? "";
    if (target === "" || sharesProcesses(this.#pod)) return undefined;
    // The runtime says what is wrong with one that does not run.
    return observed.instances.get(target)?.[0]?.id ?? target;
  }

  /** All has ended for good: the network is given back, logs and states stay until the pod is deleted. */
  async #finish(observed: Observed): Promise<number | undefined> {
    const running = this.#running(observed);
    if (running.length > 0) {
      const deadlineMs = this.#node.clock.now() + (this.#pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000;
      this.#endAll(running, deadlineMs);
      return undefined;
    }
    if (observed.sandbox?.state === "ready") await this.#node.runtime.stopPodSandbox(observed.sandbox.id);
    this.#waiting.clear();
    if (!this.#hasEnded()) this.#report(await this.#observe(), true);
    return undefined;
  }

  async #terminate(observed: Observed): Promise<number | undefined> {
    const { clock } = this.#node;
    this.#deadlineMs = Math.min(this.#deadlineMs, clock.now() + gracePeriodOf(this.#pod) * 1000);
    const running = this.#running(observed);
    if (running.length > 0) {
      this.#endAll(running, this.#deadlineMs);
      // While it ends it may still serve: who leads traffic to it goes by its readiness (KEP-1669, conditions of EndpointSlices).
      if (!this.#gone) this.#report(observed, false);
      return undefined;
    }
    this.#probes.close();
    await this.#removeEverything(observed);
    return undefined;
  }

  #running(observed: Observed): { container: Container; status: ContainerStatus }[] {
    return [...observed.instances].flatMap(([name, list]) => {
      const container = findContainer(this.#pod, name) ?? { name };
      return list.filter((status) => status.state === "running").map((status) => ({ container, status }));
    });
  }

  /** Sidecars serve the others to their end. */
  #endAll(running: readonly { container: Container; status: ContainerStatus }[], deadlineMs: number): void {
    const isLast = (container: Container): boolean => isInit(this.#pod, container.name) && isSidecar(container);
    const first = running.filter(({ container }) => !isLast(container));
    for (const { container, status } of first.length > 0 ? first : running) {
      this.#ender.end(this.#pod, container, status, { message: `Stopping container ${container.name}`, deadlineMs });
    }
  }

  async #removeEverything(observed: Observed): Promise<void> {
    const { runtime, client, statuses, objects } = this.#node;
    const { name, namespace, uid } = this.#pod.metadata;
    // Nobody answers there any more: whoever still sends is to know before the address goes.
    if (!this.#gone && saysReady(this.#node.statuses.latest(this.#pod))) this.#report(observed, true);
    if (observed.sandbox !== undefined) await runtime.stopPodSandbox(observed.sandbox.id);
    if (!this.#gone) {
      this.#waiting.clear();
      this.#report(await this.#observe(), true);
      await statuses.flush(uid);
      await client.delete(PODS, { namespace, name }, { gracePeriodSeconds: 0, uid }).catch((err: unknown) => {
        if (!isNotFound(err) && !isConflict(err)) throw err;
      });
    }
    if (observed.sandbox !== undefined) await runtime.removePodSandbox(observed.sandbox.id);
    this.#stop.abort();
    this.#volumes.remove();
    this.#files.removeLogs();
    objects.release(uid);
    statuses.forget(uid);
    this.#done = true;
  }

  #report(observed: Observed, finished: boolean): void {
    const { statuses, settings, clock } = this.#node;
    const pod = { ...this.#pod, status: withOthersConditions(statuses.latest(this.#pod), this.#pod) };
    const status = podStatus({
      pod,
      observed,
      hostIps: settings.hostIps,
      podIps: this.#podIps(observed),
      waiting: this.#waiting,
      ready: (id) => this.#probes.isReady(id),
      started: (id) => this.#probes.healthOf(id).started,
      terminationMessage: (id) => this.#terminationMessage(observed, id),
      finished,
      nowMs: clock.now(),
    });
    statuses.set(this.#pod, status);
  }

  #terminationMessage(observed: Observed, id: string): string | undefined {
    const status = [...observed.instances.values()].flat().find((candidate) => candidate.id === id);
    if (status === undefined) return undefined;
    return this.#files.terminationMessage(status, findContainer(this.#pod, status.metadata.name));
  }
}
