// Counts what is programmed, change by change: at 250,000 backends nobody wants to count anew.
import type { Family } from "#ip";
import type { ProxyMetrics } from "./metrics.ts";
import type { Frontend } from "./types.ts";

export class Tally {
  readonly #metrics: ProxyMetrics;
  /** Frontends of a service port that drop because policy Local finds nobody here, by family, policy and port. */
  readonly #withoutLocal = new Map<string, number>();

  constructor(metrics: ProxyMetrics) {
    this.#metrics = metrics;
  }

  clear(): void {
    const { sync_proxy_rules_no_local_endpoints_total: byFamily } = this.#metrics;
    this.#withoutLocal.clear();
    this.#metrics.frontends = 0;
    this.#metrics.backends = 0;
    for (const counts of [byFamily[4], byFamily[6]]) {
      counts.internal = 0;
      counts.external = 0;
    }
  }

  add(frontend: Frontend): void {
    this.#metrics.frontends++;
    this.#metrics.backends += backendsOf(frontend);
    if (isWithoutLocal(frontend)) this.#count(frontend, 1);
  }

  remove(frontend: Frontend): void {
    this.#metrics.frontends--;
    this.#metrics.backends -= backendsOf(frontend);
    if (isWithoutLocal(frontend)) this.#count(frontend, -1);
  }

  #count({ family, kind, service }: Frontend, by: 1 | -1): void {
    const policy = kind === "ClusterIP" ? "internal" : "external";
    const key = `${family} ${policy} ${service}`;
    const before = this.#withoutLocal.get(key) ?? 0;
    const after = before + by;
    if (after > 0) this.#withoutLocal.set(key, after);
    else this.#withoutLocal.delete(key);
    if (before === 0 || after === 0) this.#of(family)[policy] += by;
  }

  #of(family: Family): { internal: number; external: number } {
    return this.#metrics.sync_proxy_rules_no_local_endpoints_total[family];
  }
}

function backendsOf({ backends, inside }: Frontend): number {
  if (inside === undefined) return backends.length;
  return new Set([...backends, ...inside].map(({ id }) => id)).size;
}

/** With no endpoint anywhere it would be refused instead. */
function isWithoutLocal({ backends, whenEmpty }: Frontend): boolean {
  return backends.length === 0 && whenEmpty === "drop";
}
