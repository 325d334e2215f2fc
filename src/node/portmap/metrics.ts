import { type Metric, metric } from "#base";

export interface PortmapMetrics {
  /** Pods that have host ports on this node. */
  pods: number;
  /** Elements in the kernel: a port of every address counts once per family. */
  host_ports: number;
  sync_failures_total: number;
  conntrack_deleted_entries_total: number;
}

export function createMetrics(): PortmapMetrics {
  return { pods: 0, host_ports: 0, sync_failures_total: 0, conntrack_deleted_entries_total: 0 };
}

const ROWS: readonly (readonly [keyof PortmapMetrics, "counter" | "gauge", help: string])[] = [
  ["pods", "gauge", "Pods of this node that have host ports."],
  ["host_ports", "gauge", "Host ports in the kernel: a port of every address counts once per family."],
  ["sync_failures_total", "counter", "Transactions that the kernel refused."],
  ["conntrack_deleted_entries_total", "counter", "Flows removed because their pod has gone."],
];

/** As Prometheus names them. */
export function portmapMetrics(metrics: Readonly<PortmapMetrics>): Metric[] {
  return ROWS.map(([key, type, help]) => metric(`fairlead_portmap_${key}`, help, type, [[{}, metrics[key]]]));
}
