// How long a container that ends again and again is held back: 10 s, 20 s, … 5 min; forgotten after ten quiet minutes (client-go
// `util/flowcontrol/backoff.go` with kubelet's `backOffPeriod` and `MaxContainerBackOff`).

const INITIAL_MS = 10_000;
const MAX_MS = 300_000;
const FORGET_MS = 2 * MAX_MS;

interface Entry {
  readonly delayMs: number;
  readonly updatedMs: number;
}

export class CrashBackoff {
  readonly #entries = new Map<string, Entry>();

  /** Whether what ended at `endedMs` may not be started yet. */
  check(key: string, endedMs: number, nowMs: number): { readonly delayMs: number; readonly untilMs: number } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || nowMs - entry.updatedMs > FORGET_MS) return undefined;
    const untilMs = endedMs + entry.delayMs;
    return nowMs < untilMs ? { delayMs: entry.delayMs, untilMs } : undefined;
  }

  /** It is being started (again): the next time it waits longer. */
  next(key: string, nowMs: number): void {
    const entry = this.#entries.get(key);
    const fresh = entry === undefined || nowMs - entry.updatedMs > FORGET_MS;
    this.#entries.set(key, { delayMs: fresh ? INITIAL_MS : Math.min(MAX_MS, entry.delayMs * 2), updatedMs: nowMs });
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }
}
