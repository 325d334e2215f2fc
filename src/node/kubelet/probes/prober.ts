// Probes one running container until it is stopped: startup first, then liveness and readiness, each at its own pace.
import type { Container, Probe } from "kubernetes-types/core/v1";
import type { Clock } from "#base";
import type { Health } from "../decide.ts";
import type { CheckResult } from "./check.ts";

export type ProbeKind = "startup" | "liveness" | "readiness";

export interface ProberOptions {
  readonly container: Container;
  readonly check: (probe: Probe, timeoutSeconds: number) => Promise<CheckResult>;
  /** What it was before an agent began to look: a container that was ready stays so until a probe fails. */
  readonly wasReady: boolean;
  readonly clock: Clock;
  readonly onChange: () => void;
  readonly onUnhealthy: (kind: ProbeKind, message: string) => void;
}

/** Before its first success a container is asked more often than its period says, so that it gets ready soon: after 20 ms, 40 ms, … */
const EAGER_MS = 20;

interface Counters {
  successes: number;
  failures: number;
}

export class Prober {
  readonly #options: ProberOptions;
  readonly #stop = new AbortController();
  readonly #whenStarted: (() => void)[] = [];
  #started: boolean;
  #ready: boolean;
  #failed: string | undefined;

  constructor(options: ProberOptions) {
    this.#options = options;
    const { startupProbe, readinessProbe, livenessProbe } = options.container;
    this.#started = startupProbe === undefined || options.wasReady;
    this.#ready = readinessProbe === undefined || options.wasReady;
    if (startupProbe !== undefined && !this.#started) void this.#run("startup", startupProbe);
    if (readinessProbe !== undefined) void this.#run("readiness", readinessProbe);
    if (livenessProbe !== undefined) void this.#run("liveness", livenessProbe);
  }

  get ready(): boolean {
    return this.#ready;
  }

  health(): Health {
    const failed = this.#failed === undefined ? undefined : ({ reason: "Unhealthy", message: this.#failed } as const);
    return { started: this.#started, ...(failed !== undefined && { failed }) };
  }

  stop(): void {
    this.#stop.abort();
    for (const resolve of this.#whenStarted.splice(0)) resolve();
  }

  async #run(kind: ProbeKind, probe: Probe): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    if (kind !== "startup") await this.#untilStarted();
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    const delayMs = (probe.initialDelaySeconds ?? 0) * 1000;
    // A program needs a moment before it can answer; liveness has time, and its failures count.
    const firstMs = delayMs === 0 && kind === "liveness" ? periodMs : delayMs;
    if (firstMs > 0) await clock.sleep(firstMs, signal);
    const counters: Counters = { successes: 0, failures: 0 };
    let eagerMs = kind === "liveness" || this.#ready ? periodMs : EAGER_MS;
    let dueMs = clock.now() + (eagerMs < periodMs ? periodMs : 0);
    while (!signal.aborted) {
      const result = await this.#options.check(probe, probe.timeoutSeconds ?? 1);
      if (signal.aborted) return;
      const isDue = clock.now() >= dueMs;
      if (isDue) dueMs = clock.now() + periodMs;
      // What was asked out of turn can only be good news.
      if (result.ok || isDue) this.#count(kind, probe, counters, result);
      if (kind === "startup" && (this.#started || this.#failed !== undefined)) return;
      if (result.ok) eagerMs = periodMs;
      await clock.sleep(Math.min(eagerMs, periodMs), signal);
      eagerMs = Math.min(eagerMs * 2, periodMs);
    }
  }

  async #untilStarted(): Promise<void> {
    while (!this.#started && !this.#stop.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#whenStarted.push(resolve);
      });
    }
  }

  #count(kind: ProbeKind, probe: Probe, counters: Counters, result: CheckResult): void {
    if (result.ok) {
      counters.failures = 0;
      counters.successes++;
      if (counters.successes >= (probe.successThreshold ?? 1)) this.#succeed(kind);
      return;
    }
    counters.successes = 0;
    counters.failures++;
    this.#options.onUnhealthy(kind, result.message);
    if (counters.failures >= (probe.failureThreshold ?? 3)) this.#fail(kind, result.message);
  }

  #succeed(kind: ProbeKind): void {
    if (kind === "startup" && !this.#started) {
      this.#started = true;
      for (const resolve of this.#whenStarted.splice(0)) resolve();
      this.#options.onChange();
    } else if (kind === "readiness" && !this.#ready) {
      this.#ready = true;
      this.#options.onChange();
    }
  }

  #fail(kind: ProbeKind, message: string): void {
    if (kind === "readiness") {
      if (!this.#ready) return;
      this.#ready = false;
    } else {
      if (this.#failed !== undefined) return;
      this.#failed = message;
    }
    this.#options.onChange();
  }
}
