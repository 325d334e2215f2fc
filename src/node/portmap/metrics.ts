/** Figures for whoever serves /metrics. */
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
