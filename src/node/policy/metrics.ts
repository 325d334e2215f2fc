import { type Metric, metric } from "#base";

export interface PolicyMetrics {
  /** Policies of the cluster. */
  policies: number;
  /** Pods of this node that a policy isolates in at least one direction. */
  isolated_pods: number;
  /** Different sets of policies that pods of this node are selected by, per direction. */
  selector_groups: number;
  elements: number;
  syncs_total: number;
  sync_failures_total: number;
}

export function createMetrics(): PolicyMetrics {
  return { policies: 0, isolated_pods: 0, selector_groups: 0, elements: 0, syncs_total: 0, sync_failures_total: 0 };
}

const ROWS: readonly (readonly [keyof PolicyMetrics, "counter" | "gauge", help: string])[] = [
  ["policies", "gauge", "Policies of the cluster."],
  ["isolated_pods", "gauge", "Pods of this node that a policy isolates in at least one direction."],
  ["selector_groups", "gauge", "Different sets of policies that pods of this node are selected by, per direction."],
  ["elements", "gauge", "Elements of the sets in the kernel."],
  ["syncs_total", "counter", "Transactions that changed something."],
  ["sync_failures_total", "counter", "Transactions that the kernel refused."],
];

/** As Prometheus names them. */
export function policyMetrics(metrics: Readonly<PolicyMetrics>): Metric[] {
  return ROWS.map(([key, type, help]) => metric(`fairlead_policy_${key}`, help, type, [[{}, metrics[key]]]));
}
