import { type BackoffOptions, backoffMs } from "./backoff.ts";

export interface WorkQueueOptions {
  /** Does the work of one key. A throw means "again, later". A number asks for another run after that many milliseconds. */
  readonly run: (key: string) => Promise<number | undefined>;
  readonly onError: (key: string, err: unknown, attempt: number) => void;
  readonly concurrency?: number;
  readonly backoff?: BackoffOptions;
}

/**
 * Coalesces work by key: a key that is added while it waits is done once, one that is added while it runs is done once more after.
 * The same key never runs twice at a time. After client-go `util/workqueue`.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #again = new Set<string>();
  readonly #attempts = new Map<string, number>();
  readonly #timers = new Map<string, unknown>();
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  add(key: string): void {
    if (this.#stopped) return;
    this.#clearTimer(key);
    if (this.#running.has(key)) this.#again.add(key);
    else this.#waiting.add(key);
    this.#pump();
  }

  addAfter(key: string, ms: number): void {
    if (this.#stopped) return;
    this.#clearTimer(key);
    this.#timers.set(
      key,
      setTimeout(() => {
        this.#timers.delete(key);
        this.add(key);
      }, ms),
    );
  }

  /** Resolves when nothing waits or runs (delayed keys do not count). */
  idle(): Promise<void> {
    if (this.#waiting.size === 0 && this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  stop(): void {
    this.#stopped = true;
    this.#waiting.clear();
    this.#again.clear();
    for (const key of [...this.#timers.keys()]) this.#clearTimer(key);
  }

  #clearTimer(key: string): void {
    const timer = this.#timers.get(key);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(key);
  }

  #pump(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= (this.#options.concurrency ?? 1)) return;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#runOne(key);
    }
  }

  async #runOne(key: string): Promise<void> {
    // A microtask later, so that keys added by one synchronous burst are coalesced before the first of them runs.
    await Promise.resolve();
    try {
      const againAfterMs = await this.#options.run(key);
      this.#attempts.delete(key);
      if (againAfterMs !== undefined && !this.#again.has(key)) this.addAfter(key, againAfterMs);
    } catch (err) {
      const attempt = this.#attempts.get(key) ?? 0;
      this.#attempts.set(key, attempt + 1);
      this.#options.onError(key, err, attempt);
      this.addAfter(key, backoffMs(this.#options.backoff ?? { initialMs: 20, maxMs: 10_000 }, attempt));
    }
    this.#running.delete(key);
    if (this.#again.delete(key) && !this.#stopped) {
      this.#clearTimer(key);
      this.#waiting.add(key);
    }
    this.#pump();
    if (this.#waiting.size === 0 && this.#running.size === 0) {
      const idle = this.#idle;
      this.#idle = [];
      for (const resolve of idle) resolve();
    }
  }
}
