/** Figures for whoever serves /metrics. */
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
