// Events as `kubectl describe` shows them: core v1, repeated ones counted in one object. After client-go `tools/record`.
import { type Clock, errorMessage, formatTime, type Logger, silentLogger, systemClock } from "#base";
import { CORE_EVENTS, type ObjectKey, type Stored } from "#kube";
import { isNotFound } from "./errors.ts";
import type { Client } from "./types.ts";

export interface EventRecorder {
  /**
   * Says that something happened to `object`. Returns at once; the event is written a little later, and lost when the server does not
   * take it. `fieldPath` names a part of the object, such as `spec.containers{web}`.
   */
  event(object: Stored, event: RecordedEvent): void;
  /** Resolves when everything said so far has been written or given up. */
  flush(): Promise<void>;
}

export interface RecordedEvent {
  readonly type: "Normal" | "Warning";
  /** UpperCamelCase, such as `FailedScheduling`. */
  readonly reason: string;
  readonly message: string;
  readonly fieldPath?: string | undefined;
}

export interface EventRecorderOptions {
  /** Who says it: `replicaset-controller`, `kubelet`. */
  readonly component: string;
  /** The node, for components of a node. */
  readonly host?: string | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  /** How long an event waits, so that it does not compete with the work that it tells of (200 unless told). */
  readonly delayMs?: number | undefined;
}

// client-go `tools/record/events_cache.go`: messages are cut, and one object gets 25 events at once and one every 5 minutes then.
const MAX_MESSAGE = 1024;
const BURST = 25;
const REFILL_MS = 300_000;
const REMEMBERED = 1000;

interface Known {
  key: ObjectKey | undefined;
  count: number;
  readonly firstTimestamp: string;
}

interface Bucket {
  tokens: number;
  filledMs: number;
}

export function createEventRecorder(client: Client, options: EventRecorderOptions): EventRecorder {
  return new CountingRecorder(client, options);
}

class CountingRecorder implements EventRecorder {
  readonly #client: Client;
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #known = new Map<string, Known>();
  readonly #buckets = new Map<string, Bucket>();
  readonly #waiting = new Map<string, { object: Stored; event: RecordedEvent; times: number }>();
  #writing: Promise<void> | undefined;
  /** Begins anywhere, so that two recorders do not choose the same names. */
  #serial = Math.floor(Math.random() * 1_000_000);
  #timer: unknown;

  constructor(client: Client, options: EventRecorderOptions) {
    this.#client = client;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
  }

  event(object: Stored, event: RecordedEvent): void {
    const id = JSON.stringify([object.metadata.uid, event.type, event.reason, event.message, event.fieldPath]);
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) {
      waiting.times++;
      return;
    }
    if (!this.#allow(object.metadata.uid)) return;
    this.#waiting.set(id, { object, event, times: 1 });
    if (this.#timer !== undefined || this.#writing !== undefined) return;
    this.#timer = setTimeout(() => void this.flush(), this.#options.delayMs ?? 200);
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#writing !== undefined) await this.#writing;
    if (this.#waiting.size === 0) return;
    this.#writing = this.#writeAll();
    await this.#writing;
    this.#writing = undefined;
  }

  #allow(uid: string): boolean {
    const now = this.#clock.now();
    const bucket = this.#buckets.get(uid) ?? { tokens: BURST, filledMs: now };
    remember(this.#buckets, uid, bucket);
    const refill = Math.floor((now - bucket.filledMs) / REFILL_MS);
    if (refill > 0) {
      bucket.tokens = Math.min(BURST, bucket.tokens + refill);
      bucket.filledMs += refill * REFILL_MS;
    }
    if (bucket.tokens === 0) return false;
    bucket.tokens--;
    return true;
  }

  async #writeAll(): Promise<void> {
    for (let next = this.#waiting.entries().next(); next.done !== true; next = this.#waiting.entries().next()) {
      const [id, { object, event, times }] = next.value;
      this.#waiting.delete(id);
      try {
        await this.#write(id, object, event, times);
      } catch (err) {
        this.#logger.debug("an event was lost", { reason: event.reason, err: errorMessage(err) });
      }
    }
  }

  async #write(id: string, object: Stored, event: RecordedEvent, times: number): Promise<void> {
    const now = formatTime(this.#clock.now());
    const known: Known = this.#known.get(id) ?? { key: undefined, count: 0, firstTimestamp: now };
    known.count += times;
    remember(this.#known, id, known);
    if (known.key !== undefined) {
      const body = { count: known.count, lastTimestamp: now };
      try {
        await this.#client.patch(CORE_EVENTS, known.key, { type: "merge", body });
        return;
      } catch (err) {
        if (!isNotFound(err)) throw err;
      }
    }
    // Events of cluster-scoped objects live in "default" (client-go `tools/record/event.go`).
    const namespace = object.metadata.namespace ?? "default";
    // Nanoseconds in hexadecimal, as client-go has it; what the clock does not tell is a number that never comes twice.
    const suffix = (BigInt(this.#clock.now()) * 1_000_000n + BigInt(this.#serial++ % 1_000_000)).toString(16);
    const name = `${object.metadata.name.slice(0, 200)}.${suffix}`;
    const { component, host } = this.#options;
    const { kind, apiVersion } = object;
    const { name: objectName, uid, resourceVersion, namespace: objectNamespace } = object.metadata;
    await this.#client.create(CORE_EVENTS, {
      metadata: { name, namespace },
      involvedObject: {
        kind,
        apiVersion,
        name: objectName,
        uid,
        resourceVersion,
        ...(objectNamespace === undefined ? {} : { namespace: objectNamespace }),
        ...(event.fieldPath === undefined ? {} : { fieldPath: event.fieldPath }),
      },
      type: event.type,
      reason: event.reason,
      message: event.message.slice(0, MAX_MESSAGE),
      count: known.count,
      firstTimestamp: known.firstTimestamp,
      lastTimestamp: now,
      source: host === undefined ? { component } : { component, host },
      reportingComponent: component,
      reportingInstance: host ?? "",
    });
    known.key = { namespace, name };
  }
}

/** Sets, and forgets what was set longest ago. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
