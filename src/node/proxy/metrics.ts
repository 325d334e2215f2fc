// Counters under the names that kube-proxy gives them, for whoever serves /metrics (k/k pkg/proxy/metrics). Times are in seconds.

export interface Histogram {
  /** Upper bounds, the last one infinite. */
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum: number;
  count: number;
}

export interface ProxyMetrics {
  readonly sync_proxy_rules_duration_seconds: Histogram;
  readonly sync_full_proxy_rules_duration_seconds: Histogram;
  readonly sync_partial_proxy_rules_duration_seconds: Histogram;
  /** From an EndpointSlice's last-change-trigger-time to the kernel. */
  readonly network_programming_duration_seconds: Histogram;
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
  conntrack_reconciler_deleted_entries_total: number;
  /** Ours: what is programmed now. */
  frontends: number;
  backends: number;
}

/** 1 ms to 16 s, doubling. */
const BOUNDS: readonly number[] = [...Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i), Number.POSITIVE_INFINITY];

function histogram(): Histogram {
  return { bounds: BOUNDS, counts: BOUNDS.map(() => 0), sum: 0, count: 0 };
}

export function createMetrics(): ProxyMetrics {
  return {
    sync_proxy_rules_duration_seconds: histogram(),
    sync_full_proxy_rules_duration_seconds: histogram(),
    sync_partial_proxy_rules_duration_seconds: histogram(),
    network_programming_duration_seconds: histogram(),
    sync_proxy_rules_service_changes_pending: 0,
    sync_proxy_rules_service_changes_total: 0,
    sync_proxy_rules_endpoint_changes_pending: 0,
    sync_proxy_rules_endpoint_changes_total: 0,
    sync_proxy_rules_last_timestamp_seconds: 0,
    sync_proxy_rules_last_queued_timestamp_seconds: 0,
    sync_failures_total: 0,
    sync_proxy_rules_nftables_cleanup_failures_total: 0,
    conntrack_reconciler_deleted_entries_total: 0,
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
