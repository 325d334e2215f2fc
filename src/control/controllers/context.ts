// What every controller is given, and how its work queue is started and ends.
import { type BackoffOptions, type Clock, errorCode, errorMessage, type Logger, WorkQueue } from "#base";
import { type Client, type EventRecorder, type Informer, isAlreadyExists, isConflict, isNotFound } from "#client";
import type { KubeObject } from "#kube";
import type { Informers } from "./informers.ts";

export interface ControllerContext {
  readonly client: Client;
  readonly informers: Informers;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** A recorder of the component's own: `replicaset-controller`. */
  recorder(component: string): EventRecorder;
}

export interface QueueOptions {
  readonly name: string;
  readonly run: (key: string) => Promise<number | undefined>;
  readonly concurrency?: number;
  readonly backoff?: BackoffOptions;
}

/** A work queue that ends with the context. Lost races are part of the game and not reported. */
export function startQueue(context: ControllerContext, options: QueueOptions): WorkQueue {
  const logger = context.logger.child({ controller: options.name });
  const queue = new WorkQueue({
    run: (key) => (context.signal.aborted ? Promise.resolve(undefined) : options.run(key)),
    onError: (key, err, attempt) => {
      if (context.signal.aborted) return;
      const isRace = isConflict(err) || isNotFound(err) || isAlreadyExists(err) || isTerminating(err);
      const report = isRace || attempt < 1 ? "debug" : "warn";
      logger[report]("will try again", { key, attempt, err: errorMessage(err) });
    },
    concurrency: options.concurrency ?? 4,
    backoff: options.backoff ?? { initialMs: 5, maxMs: 60_000 },
  });
  context.signal.addEventListener("abort", () => queue.stop(), { once: true });
  return queue;
}

/** Refused because its namespace is going away: what was to be made would go with it. */
export function isTerminating(err: unknown): boolean {
  return errorCode(err) === "Forbidden" && errorMessage(err).includes("being terminated");
}

/** Nobody decides on half a copy: a ReplicaSet would start the pods again that it has not heard of yet. */
export async function whenSynced(informers: readonly Informer<KubeObject>[]): Promise<void> {
  await Promise.all(informers.map((informer) => informer.synced));
}
