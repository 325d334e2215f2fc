export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor?: number;
}

/** Exponential delays: `initialMs`, then times `factor` (2 unless told) up to `maxMs`. `attempt` counts from 0. */
export function backoffMs(options: BackoffOptions, attempt: number): number {
  return Math.min(options.maxMs, options.initialMs * (options.factor ?? 2) ** attempt);
}
