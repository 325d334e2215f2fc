// What the proxy counts as Prometheus reads it, under the names that kube-proxy gives it.
import { formatMetrics as formatAll, type Histogram, type Labels, type Metric, metric, type Sample } from "#base";
import type { Family } from "#ip";
import type { ProxyMode } from "./dataplane.ts";
import type { ProxyMetrics } from "./metrics.ts";

const IP_FAMILY: Readonly<Record<Family, string>> = { 4: "IPv4", 6: "IPv6" };

export interface MetricsContext {
  readonly mode: ProxyMode;
  /** Those that the node has. */
  readonly families: readonly Family[];
}

/** Everything, as `/metrics` answers it. */
export function formatMetrics(metrics: ProxyMetrics, context: MetricsContext): string {
  return formatAll([
    ...syncMetrics(metrics, context),
    ...modeMetrics(metrics, context),
    ...otherMetrics(metrics, context),
    ...processMetrics(),
  ]);
}

function syncMetrics(m: ProxyMetrics, { families }: MetricsContext): Metric[] {
  const timed = (name: string, help: string, value: (family: Family) => Histogram): Metric => ({
    ...metric(`kubeproxy_${name}`, help, "histogram", []),
    histograms: families.map((family) => [labelOf(family), value(family)]),
  });
  const both = (name: string, help: string, type: "counter" | "gauge", value: number): Metric =>
    metric(
      `kubeproxy_${name}`,
      help,
      type,
      families.map((family) => [labelOf(family), value]),
    );
  const one = (name: string, help: string, type: "counter" | "gauge", value: number): Metric =>
    metric(`kubeproxy_${name}`, help, type, [[{}, value]]);
  return [
    timed("sync_proxy_rules_duration_seconds", "How long a synchronisation of rules took.", () => m.sync_proxy_rules_duration_seconds),
    timed("sync_full_proxy_rules_duration_seconds", "The same, of everything.", () => m.sync_full_proxy_rules_duration_seconds),
    timed("sync_partial_proxy_rules_duration_seconds", "The same, of what changed.", () => m.sync_partial_proxy_rules_duration_seconds),
    timed(
      "network_programming_duration_seconds",
      "From the change of a pod or Service to the rules in the kernel.",
      (family) => m.network_programming_duration_seconds[family],
    ),
    one(
      "sync_proxy_rules_endpoint_changes_pending",
      "EndpointSlice changes that wait.",
      "gauge",
      m.sync_proxy_rules_endpoint_changes_pending,
    ),
    one("sync_proxy_rules_endpoint_changes_total", "EndpointSlice changes seen.", "counter", m.sync_proxy_rules_endpoint_changes_total),
    one("sync_proxy_rules_service_changes_pending", "Service changes that wait.", "gauge", m.sync_proxy_rules_service_changes_pending),
    one("sync_proxy_rules_service_changes_total", "Service changes seen.", "counter", m.sync_proxy_rules_service_changes_total),
    both(
      "sync_proxy_rules_last_queued_timestamp_seconds",
      "When a synchronisation was last asked for, in Unix time.",
      "gauge",
      m.sync_proxy_rules_last_queued_timestamp_seconds,
    ),
    both(
      "sync_proxy_rules_last_timestamp_seconds",
      "When rules were last synchronised, in Unix time.",
      "gauge",
      m.sync_proxy_rules_last_timestamp_seconds,
    ),
    metric(
      "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
      "Service ports with a Local traffic policy and no endpoint on this node.",
      "gauge",
      families.flatMap((family) =>
        Object.entries(m.sync_proxy_rules_no_local_endpoints_total[family]).map(
          ([policy, count]): Sample => [{ ...labelOf(family), traffic_policy: policy }, count],
        ),
      ),
    ),
  ];
}

/** kube-proxy has other names for failures in each mode. */
function modeMetrics(m: ProxyMetrics, { mode, families }: MetricsContext): Metric[] {
  const perFamily = (name: string, help: string, value: number): Metric =>
    metric(
      `kubeproxy_${name}`,
      help,
      "counter",
      families.map((family) => [labelOf(family), value]),
    );
  const failed = "Synchronisations that the kernel refused.";
  if (mode === "nftables") {
    return [
      perFamily("sync_proxy_rules_nftables_sync_failures_total", failed, m.sync_failures_total),
      perFamily(
        "sync_proxy_rules_nftables_cleanup_failures_total",
        "Failed removals of chains that are not used.",
        m.sync_proxy_rules_nftables_cleanup_failures_total,
      ),
    ];
  }
  const failures = perFamily("sync_proxy_rules_iptables_restore_failures_total", failed, m.sync_failures_total);
  return mode === "iptables" ? [failures, ...ruleCounts(m, families)] : [failures];
}

function ruleCounts(m: ProxyMetrics, families: readonly Family[]): Metric[] {
  const perTable = (name: string, help: string, which: "total" | "last"): Metric =>
    metric(
      `kubeproxy_${name}`,
      help,
      "gauge",
      families.flatMap((family) =>
        Object.entries(m.sync_proxy_rules_iptables[family]).map(([table, count]): Sample => [{ ...labelOf(family), table }, count[which]]),
      ),
    );
  return [
    perTable("sync_proxy_rules_iptables_total", "Rules of Services in each table.", "total"),
    perTable("sync_proxy_rules_iptables_last", "Rules that the last synchronisation wrote.", "last"),
  ];
}

function otherMetrics(m: ProxyMetrics, { families, mode }: MetricsContext): Metric[] {
  const byCode = (counts: ReadonlyMap<number, number>): Sample[] => Array.from(counts, ([code, count]) => [{ code: String(code) }, count]);
  return [
    {
      ...metric("kubeproxy_conntrack_reconciler_sync_duration_seconds", "How long a look for stale flows took.", "histogram", []),
      histograms: families.map((family) => [labelOf(family), m.conntrack_reconciler[family].sync_duration_seconds]),
    },
    metric(
      "kubeproxy_conntrack_reconciler_deleted_entries_total",
      "Stale flows removed.",
      "counter",
      families.map((family) => [labelOf(family), m.conntrack_reconciler[family].deleted_entries_total]),
    ),
    metric("kubeproxy_proxy_healthz_total", "Answers of /healthz by status.", "counter", byCode(m.proxy_healthz_total)),
    metric("kubeproxy_proxy_livez_total", "Answers of /livez by status.", "counter", byCode(m.proxy_livez_total)),
    metric("fairlead_proxy_frontends", "Addresses and ports of Services that are programmed.", "gauge", [[{ mode }, m.frontends]]),
    metric("fairlead_proxy_backends", "Their backends, counted once for each of them.", "gauge", [[{ mode }, m.backends]]),
  ];
}

/** The ones that every client library has under these names. */
function processMetrics(): Metric[] {
  const { user, system } = process.cpuUsage();
  const started = Math.round(Date.now() / 1000 - process.uptime());
  return [
    metric("process_cpu_seconds_total", "CPU time of this process.", "counter", [[{}, (user + system) / 1e6]]),
    metric("process_resident_memory_bytes", "Resident memory of this process.", "gauge", [[{}, process.memoryUsage.rss()]]),
    metric("process_start_time_seconds", "When this process started, in Unix time.", "gauge", [[{}, started]]),
  ];
}

function labelOf(family: Family): Labels {
  return { ip_family: IP_FAMILY[family] };
}
