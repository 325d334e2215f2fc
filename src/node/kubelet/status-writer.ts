// Brings pod statuses to the API: at most one write per pod at a time, the newest status wins, nothing is written twice.
import type { PodStatus } from "kubernetes-types/core/v1";
import { backoffMs, type Clock, errorMessage, type Logger } from "#base";
import { type Client, isConflict, isNotFound } from "#client";
import { createMergePatch, type JsonObject, jsonEquals, PODS } from "#kube";
import type { StoredPod } from "./pod-spec.ts";

interface Entry {
  readonly pod: StoredPod;
  /** What the API server has, as far as is known. */
  written: PodStatus;
  wanted: PodStatus;
  writing: Promise<void> | undefined;
}

const RETRY = { initialMs: 100, maxMs: 10_000 };

export class StatusWriter {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #signal: AbortSignal;
  readonly #entries = new Map<string, Entry>();

  constructor(options: { readonly client: Client; readonly clock: Clock; readonly logger: Logger; readonly signal: AbortSignal }) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#signal = options.signal;
  }

  /** What was written, or will be. */
  latest(pod: StoredPod): PodStatus {
    return this.#entries.get(pod.metadata.uid)?.wanted ?? pod.status ?? {};
  }

  set(pod: StoredPod, status: PodStatus): void {
    const { uid } = pod.metadata;
    const entry = this.#entries.get(uid) ?? { pod, written: pod.status ?? {}, wanted: {}, writing: undefined };
    this.#entries.set(uid, entry);
    entry.wanted = status;
    entry.writing ??= this.#write(entry).finally(() => {
      entry.writing = undefined;
    });
  }

  /** The pod as the API has it: conditions that others have changed, because this node was silent, are put right. */
  observe(pod: StoredPod): void {
    const entry = this.#entries.get(pod.metadata.uid);
    if (entry === undefined || entry.writing !== undefined) return;
    const found = pod.status ?? {};
    if (conditionsOf(found) === conditionsOf(entry.wanted)) return;
    entry.written = found;
    this.set(pod, entry.wanted);
  }

  /** Resolves when what was set is written, or cannot be. */
  async flush(uid: string): Promise<void> {
    await this.#entries.get(uid)?.writing;
  }

  forget(uid: string): void {
    this.#entries.delete(uid);
  }

  async #write(entry: Entry): Promise<void> {
    // A turn later, so that what one sync sets in a row is written once.
    await Promise.resolve();
    for (let attempt = 0; !this.#signal.aborted; ) {
      const { wanted, written, pod } = entry;
      if (jsonEquals(asJson(wanted), asJson(written))) return;
      try {
        await this.#patch(pod, written, wanted);
        entry.written = wanted;
        attempt = 0;
      } catch (err) {
        // Gone, or another pod of that name by now.
        if (isNotFound(err) || isConflict(err)) return;
        this.#logger.warn("cannot write a pod's status", { pod: pod.metadata.name, err: errorMessage(err) });
        await this.#clock.sleep(backoffMs(RETRY, attempt++), this.#signal);
      }
    }
  }

  async #patch(pod: StoredPod, written: PodStatus, wanted: PodStatus): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    const body = { metadata: { uid }, status: createMergePatch(asJson(written), asJson(wanted)) };
    await this.#client.patch(PODS, { namespace, name }, { type: "merge", body }, { subresource: "status", signal: this.#signal });
  }
}

function conditionsOf(status: PodStatus): string {
  return (status.conditions ?? [])
    .map(({ type, status: value }) => `${type}=${value}`)
    .sort()
    .join();
}

/** Without fields that are undefined, which JSON does not have. */
function asJson(status: PodStatus): JsonObject {
  return JSON.parse(JSON.stringify(status)) as JsonObject;
}
