import type { CronJob, Job, JobSpec } from "kubernetes-types/batch/v1";
import { podTemplateDefaults } from "./pod.ts";

const MAX_INT32 = 2 ** 31 - 1;

export function jobDefaults(job: Job): void {
  const { spec } = job;
  if (spec === undefined) return;
  // Without both, one pod once; with parallelism alone, a work queue.
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : MAX_INT32;
  const labels = spec.template?.metadata?.labels;
  if (labels !== undefined) {
    job.metadata ??= {};
    job.metadata.labels ??= { ...labels };
  }
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.manualSelector ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy === undefined ? "TerminatingOrFailed" : "Failed";
  failurePolicyDefaults(spec);
  podTemplateDefaults(spec.template);
}

function failurePolicyDefaults(spec: JobSpec): void {
  for (const rule of spec.podFailurePolicy?.rules ?? []) for (const pattern of rule.onPodConditions ?? []) pattern.status ||= "True";
}

/** The Job's own defaults come when the Job is made. */
export function cronJobDefaults({ spec }: CronJob): void {
  if (spec === undefined) return;
  spec.concurrencyPolicy ||= "Allow";
  spec.suspend ??= false;
  spec.successfulJobsHistoryLimit ??= 3;
  spec.failedJobsHistoryLimit ??= 1;
  const job = spec.jobTemplate?.spec;
  if (job === undefined) return;
  failurePolicyDefaults(job);
  podTemplateDefaults(job.template);
}
