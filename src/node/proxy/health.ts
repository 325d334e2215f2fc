// Whether this proxy does its work, and whether load balancers should send to this node. After k/k pkg/proxy/healthcheck, whose rules
// and answers probes and cloud load balancers rely on (KEP-3836).
import type { Node } from "kubernetes-types/core/v1";
import type { Clock } from "#base";
import type { ProxyObserver } from "./reconcile.ts";

/** Twice kube-proxy's default `syncPeriod` of 30 s. */
const LATE_MS = 60_000;

/** The cluster autoscaler puts it on a node that it is about to remove. */
const TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler";

export class ProxyHealth implements ProxyObserver {
  readonly #clock: Clock;
  /** Since when something waits to be programmed. */
  #pendingSince: number | undefined;
  #lastProgrammed: number;
  #eligible = true;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastProgrammed = clock.now();
  }

  queued(): void {
    this.#pendingSince ??= this.#clock.now();
  }

  programmed(): void {
    this.#pendingSince = undefined;
    this.#lastProgrammed = this.#clock.now();
  }

  /** To be told of every state of this node's Node. When it is told nothing, the last state stays. */
  setNode({ metadata, spec }: Node): void {
    this.#eligible = metadata?.deletionTimestamp === undefined && !(spec?.taints ?? []).some(({ key }) => key === TO_BE_DELETED);
  }

  /** Healthy unless an update has been waiting for too long. */
  isHealthy(): boolean {
    return this.#pendingSince === undefined || this.#clock.now() - this.#pendingSince < LATE_MS;
  }

  isEligible(): boolean {
    return this.#eligible;
  }

  /** In milliseconds since 1970. While it is healthy there is nothing newer, so it is as good as just updated. */
  times(): { readonly lastUpdated: number; readonly currentTime: number } {
    const currentTime = this.#clock.now();
    return { lastUpdated: this.isHealthy() ? currentTime : this.#lastProgrammed, currentTime };
  }
}
