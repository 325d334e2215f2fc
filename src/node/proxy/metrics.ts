// What the proxy counts, under the names that kube-proxy gives it (k/k pkg/proxy/metrics). Times are in seconds. Text: metrics-text.ts.
import type { Histogram } from "#base";
import type { Family } from "#ip";

type PerFamily<T> = Readonly<Record<Family, T>>;

/** What connections that outlive their backend are worth a look at. */
interface ConntrackReconciler {
  readonly sync_duration_seconds: Histogram;
  deleted_entries_total: number;
}

/** One step writes the rules of both families, so most figures are those of both. */
export interface ProxyMetrics {
  readonly sync_proxy_rules_duration_seconds: Histogram;
  readonly sync_full_proxy_rules_duration_seconds: Histogram;
  readonly sync_partial_proxy_rules_duration_seconds: Histogram;
  /** From an EndpointSlice's last-change-trigger-time to the kernel. */
  readonly network_programming_duration_seconds: PerFamily<Histogram>;
  readonly conntrack_reconciler: PerFamily<ConntrackReconciler>;
  sync_proxy_rules_service_changes_pending: number;
  sync_proxy_rules_service_changes_total: number;
  sync_proxy_rules_endpoint_changes_pending: number;
  sync_proxy_rules_endpoint_changes_total: number;
  /** Unix time. */
  sync_proxy_rules_last_timestamp_seconds: number;
  sync_proxy_rules_last_queued_timestamp_seconds: number;
  /** kube-proxy's name depends on the mode: `sync_proxy_rules_nftables_sync_failures_total`, `…_iptables_restore_failures_total`. */
  sync_failures_total: number;
  sync_proxy_rules_nftables_cleanup_failures_total: number;
  /** Mode iptables: rules of ours in each table, and those that the last step wrote. */
  readonly sync_proxy_rules_iptables: PerFamily<Readonly<Record<"filter" | "nat", { total: number; last: number }>>>;
  /** By HTTP status. */
  readonly proxy_healthz_total: Map<number, number>;
  readonly proxy_livez_total: Map<number, number>;
  /** Service ports whose policy is Local and that have endpoints, but none on this node. */
  readonly sync_proxy_rules_no_local_endpoints_total: PerFamily<{ internal: number; external: number }>;
  /** Ours: what is programmed now; a backend counts once for each frontend that leads to it. */
  frontends: number;
  backends: number;
}

/** 1 ms to 16 s, doubling. */
const SYNC_BOUNDS: readonly number[] = [...Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i), Number.POSITIVE_INFINITY];

/** Those of kube-proxy, so that its dashboards and the SLO's queries fit: from a quarter of a second to five minutes, after a first of 0. */
const PROGRAMMING_BOUNDS: readonly number[] = [
  0,
  0.25,
  0.5,
  ...steps(59, 1, 1),
  ...steps(12, 60, 5),
  ...steps(7, 120, 30),
  Number.POSITIVE_INFINITY,
];

function steps(count: number, first: number, width: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i * width);
}

function histogram(bounds: readonly number[] = SYNC_BOUNDS): Histogram {
  return { bounds, counts: bounds.map(() => 0), sum: 0, count: 0 };
}

function perFamily<T>(make: () => T): PerFamily<T> {
  return { 4: make(), 6: make() };
}

export function createMetrics(): ProxyMetrics {
  return {
    sync_proxy_rules_duration_seconds: histogram(),
    sync_full_proxy_rules_duration_seconds: histogram(),
    sync_partial_proxy_rules_duration_seconds: histogram(),
    network_programming_duration_seconds: perFamily(() => histogram(PROGRAMMING_BOUNDS)),
    conntrack_reconciler: perFamily(() => ({ sync_duration_seconds: histogram(), deleted_entries_total: 0 })),
    sync_proxy_rules_service_changes_pending: 0,
    sync_proxy_rules_service_changes_total: 0,
    sync_proxy_rules_endpoint_changes_pending: 0,
    sync_proxy_rules_endpoint_changes_total: 0,
    sync_proxy_rules_last_timestamp_seconds: 0,
    sync_proxy_rules_last_queued_timestamp_seconds: 0,
    sync_failures_total: 0,
    sync_proxy_rules_nftables_cleanup_failures_total: 0,
    sync_proxy_rules_iptables: perFamily(() => ({ filter: { total: 0, last: 0 }, nat: { total: 0, last: 0 } })),
    proxy_healthz_total: new Map(),
    proxy_livez_total: new Map(),
    sync_proxy_rules_no_local_endpoints_total: perFamily(() => ({ internal: 0, external: 0 })),
    frontends: 0,
    backends: 0,
  };
}

export function observe(h: Histogram, seconds: number): void {
  const bucket = h.bounds.findIndex((bound) => seconds <= bound);
  h.counts[bucket] = (h.counts[bucket] ?? 0) + 1;
  h.sum += seconds;
  h.count++;
}
