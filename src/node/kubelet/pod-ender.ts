// Ends containers: preStop, SIGTERM, and SIGKILL when the time is up. Does not wait for it: the runtime tells when a container has ended.
import type { Container } from "kubernetes-types/core/v1";
import { errorMessage } from "#base";
import type { ContainerStatus } from "#runtime";
import { runHook } from "./lifecycle.ts";
import type { NodeContext } from "./node-context.ts";
import { describePod, fieldPathOf, type StoredPod } from "./pod-spec.ts";

/** After a hook that took all the time a container still gets this long to end by itself (kubelet `minimumGracePeriodInSeconds`). */
const MIN_GRACE_MS = 2000;

interface Ending {
  deadlineMs: number;
}

export class PodEnder {
  readonly #node: NodeContext;
  readonly #signal: AbortSignal;
  readonly #endings = new Map<string, Ending>();

  constructor(node: NodeContext, signal: AbortSignal) {
    this.#node = node;
    this.#signal = signal;
  }

  /** A second call may shorten the time, never lengthen it. */
  end(
    pod: StoredPod,
    container: Container,
    status: ContainerStatus,
    { message, deadlineMs }: { message: string; deadlineMs: number },
  ): void {
    const ending = this.#endings.get(status.id);
    if (ending !== undefined && ending.deadlineMs <= deadlineMs) return;
    this.#endings.set(status.id, { deadlineMs });
    if (ending === undefined) {
      this.#node.events.event(pod, { type: "Normal", reason: "Killing", message, fieldPath: fieldPathOf(pod, container.name) });
    }
    // Shortened: the hook has had its time.
    void this.#end(pod, container, status.id, ending === undefined).catch((err: unknown) => {
      this.#node.logger.error("cannot end a container", { pod: describePod(pod), container: container.name, err: errorMessage(err) });
      this.#endings.delete(status.id);
      this.#node.requeue(pod.metadata.uid);
    });
  }

  isEnding(containerId: string): boolean {
    return this.#endings.has(containerId);
  }

  forget(containerId: string): void {
    this.#endings.delete(containerId);
  }

  async #end(pod: StoredPod, container: Container, id: string, withHook: boolean): Promise<void> {
    const { runtime, clock } = this.#node;
    const deadline = (): number => this.#endings.get(id)?.deadlineMs ?? 0;
    const givenMs = deadline() - clock.now();
    const preStop = container.lifecycle?.preStop;
    let leastMs = 0;
    if (withHook && preStop !== undefined && givenMs > 0) {
      const target = { container, containerId: id, podIp: pod.status?.podIP ?? "", runtime };
      const problem = await runHook(preStop, target, { timeoutMs: givenMs, clock, signal: this.#signal });
      if (problem !== undefined) {
        this.#node.events.event(pod, { type: "Warning", reason: "FailedPreStopHook", message: `PreStopHook failed: ${problem}` });
      }
      leastMs = MIN_GRACE_MS;
    }
    if (this.#signal.aborted) return;
    const seconds = Math.max(deadline() - clock.now(), leastMs, 0) / 1000;
    await runtime.stopContainer(id, seconds);
  }
}
