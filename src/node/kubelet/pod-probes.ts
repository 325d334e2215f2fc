// The probes of a pod's running containers: begun when a container runs, ended when it does not.
import { errorMessage } from "#base";
import type { Health, Observed } from "./decide.ts";
import type { NodeContext } from "./node-context.ts";
import { containerStatusesOf, fieldPathOf, findContainer, isInit, isSidecar, type StoredPod } from "./pod-spec.ts";
import { check } from "./probes/check.ts";
import { type ProbeKind, Prober } from "./probes/prober.ts";

const TITLES: Readonly<Record<ProbeKind, string>> = { startup: "Startup", liveness: "Liveness", readiness: "Readiness" };

export class PodProbes {
  readonly #node: NodeContext;
  readonly #signal: AbortSignal;
  readonly #probers = new Map<string, Prober>();

  constructor(node: NodeContext, signal: AbortSignal) {
    this.#node = node;
    this.#signal = signal;
  }

  follow(pod: StoredPod, observed: Observed, podIps: readonly string[]): void {
    if (this.#signal.aborted) return;
    const running = new Set<string>();
    for (const list of observed.instances.values()) {
      for (const status of list) {
        if (status.state !== "running") continue;
        running.add(status.id);
        if (!this.#probers.has(status.id)) this.#begin(pod, status, podIps[0] ?? "");
      }
    }
    for (const [id, prober] of this.#probers) {
      if (running.has(id)) continue;
      prober.stop();
      this.#probers.delete(id);
    }
  }

  isReady(containerId: string): boolean {
    return this.#probers.get(containerId)?.ready ?? false;
  }

  healthOf(containerId: string): Health {
    return this.#probers.get(containerId)?.health() ?? { started: false };
  }

  close(): void {
    for (const prober of this.#probers.values()) prober.stop();
  }

  #begin(pod: StoredPod, status: { readonly id: string; readonly metadata: { readonly name: string } }, podIp: string): void {
    const declared = findContainer(pod, status.metadata.name) ?? { name: status.metadata.name };
    // Init containers that end are not probed.
    const isProbed = !isInit(pod, declared.name) || isSidecar(declared);
    const container = isProbed ? declared : { name: declared.name };
    const { runtime, clock, events, logger } = this.#node;
    const wasReady = containerStatusesOf(pod).some((known) => known.ready && known.containerID?.endsWith(status.id) === true);
    const target = { container, containerId: status.id, podIp, runtime };
    const prober = new Prober({
      container,
      wasReady,
      clock,
      check: (probe, timeoutSeconds) => check(probe, target, timeoutSeconds),
      onChange: () => this.#node.requeue(pod.metadata.uid),
      onUnhealthy: (kind, message) => {
        const fieldPath = fieldPathOf(pod, container.name);
        try {
          events.event(pod, { type: "Warning", reason: "Unhealthy", message: `${TITLES[kind]} probe failed: ${message}`, fieldPath });
        } catch (err) {
          logger.warn("cannot record an event", { err: errorMessage(err) });
        }
      },
    });
    this.#probers.set(status.id, prober);
  }
}
