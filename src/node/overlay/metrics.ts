import { type Metric, metric } from "#base";

/** What the overlay counts; `overlayMetrics` names it for Prometheus. */
export interface OverlayMetrics {
  reconciles: number;
  failures: number;
  /** Requests to the kernel that changed something. */
  steps: number;
  lastReconcileMs: number;
  peers: number;
  routes: number;
  problems: number;
}

export function newMetrics(): OverlayMetrics {
  return { reconciles: 0, failures: 0, steps: 0, lastReconcileMs: 0, peers: 0, routes: 0, problems: 0 };
}

const ROWS: readonly (readonly [keyof OverlayMetrics, "counter" | "gauge", name: string, help: string, scale: number])[] = [
  ["reconciles", "counter", "fairlead_overlay_reconciles_total", "How often the overlay was compared with the kernel.", 1],
  ["failures", "counter", "fairlead_overlay_reconcile_failures_total", "How often that failed.", 1],
  ["steps", "counter", "fairlead_overlay_kernel_changes_total", "Links, addresses, routes, neighbours and FDB entries set or deleted.", 1],
  ["lastReconcileMs", "gauge", "fairlead_overlay_last_reconcile_seconds", "How long the last comparison took.", 0.001],
  ["peers", "gauge", "fairlead_overlay_peers", "Nodes other than this one.", 1],
  ["routes", "gauge", "fairlead_overlay_routes", "Routes to the Pod CIDRs of other nodes.", 1],
  ["problems", "gauge", "fairlead_overlay_problems", "Reasons why some Pod CIDR is not reached.", 1],
];

export function overlayMetrics(metrics: Readonly<OverlayMetrics>, backend: string): Metric[] {
  return ROWS.map(([key, type, name, help, scale]) => metric(name, help, type, [[{ backend }, metrics[key] * scale]]));
}
