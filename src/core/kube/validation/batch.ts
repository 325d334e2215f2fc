// Jobs and CronJobs: `pkg/apis/batch/validation/validation.go`.
import type { CronJob, Job, JobSpec } from "kubernetes-types/batch/v1";
import { validateLabelSelector } from "./metadata.ts";
import { type Problems, sameJson } from "./problems.ts";
import { validateTemplate } from "./workloads.ts";

/** A Job's name and 11 characters more are the names of its runs. */
const MAX_CRON_JOB_NAME = 52;

export function validateJob(problems: Problems, { spec }: Job): void {
  if (spec === undefined) {
    problems.required("spec");
    return;
  }
  validateJobSpec(problems, "spec", spec);
  if (spec.selector !== undefined) validateLabelSelector(problems, "spec.selector", spec.selector);
  else if (spec.manualSelector === true) problems.required("spec.selector");
}

function validateJobSpec(problems: Problems, path: string, spec: JobSpec): void {
  problems.notNegative(`${path}.parallelism`, spec.parallelism);
  problems.notNegative(`${path}.completions`, spec.completions);
  problems.notNegative(`${path}.activeDeadlineSeconds`, spec.activeDeadlineSeconds);
  problems.notNegative(`${path}.backoffLimit`, spec.backoffLimit);
  problems.notNegative(`${path}.ttlSecondsAfterFinished`, spec.ttlSecondsAfterFinished);
  problems.notNegative(`${path}.backoffLimitPerIndex`, spec.backoffLimitPerIndex);
  problems.optionalOneOf(`${path}.completionMode`, spec.completionMode, ["Indexed", "NonIndexed"]);
  if (spec.completionMode === "Indexed" && spec.completions === undefined) {
    problems.required(`${path}.completions`, "when completion mode is Indexed");
  }
  if (spec.template === undefined) {
    problems.required(`${path}.template`);
    return;
  }
  validateTemplate(problems, `${path}.template`, spec.template);
  const restart = spec.template.spec?.restartPolicy;
  const at = `${path}.template.spec.restartPolicy`;
  if (!restart || restart === "Always") problems.required(at, 'valid values: "OnFailure", "Never"');
  else if (restart !== "OnFailure" && restart !== "Never") problems.notSupported(at, restart, ["OnFailure", "Never"]);
}

export function validateJobUpdate(problems: Problems, job: Job, old: Job): void {
  if (job.spec === undefined || old.spec === undefined) return;
  problems.immutable("spec.selector", job.spec.selector, old.spec.selector);
  problems.immutable("spec.completionMode", job.spec.completionMode, old.spec.completionMode);
  problems.immutable("spec.podFailurePolicy", job.spec.podFailurePolicy, old.spec.podFailurePolicy);
  problems.immutable("spec.backoffLimitPerIndex", job.spec.backoffLimitPerIndex, old.spec.backoffLimitPerIndex);
  // An indexed job may grow and shrink with its parallelism; a suspended one may still be placed elsewhere.
  const elastic = job.spec.completionMode === "Indexed" && job.spec.completions === job.spec.parallelism;
  if (!elastic) problems.immutable("spec.completions", job.spec.completions, old.spec.completions);
  const unstarted = old.spec.suspend === true && old.status?.startTime === undefined;
  if (!unstarted && !sameJson(job.spec.template, old.spec.template))
    problems.invalid("spec.template", job.spec.template, "field is immutable");
}

export function validateCronJob(problems: Problems, job: CronJob): void {
  const { spec } = job;
  if (spec === undefined) {
    problems.required("spec");
    return;
  }
  const name = job.metadata?.name ?? "";
  if (name.length > MAX_CRON_JOB_NAME) problems.invalid("metadata.name", name, "must be no more than 52 characters");
  validateSchedule(problems, spec.schedule ?? "", spec.timeZone);
  problems.notNegative("spec.startingDeadlineSeconds", spec.startingDeadlineSeconds);
  problems.oneOf("spec.concurrencyPolicy", spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"]);
  problems.notNegative("spec.successfulJobsHistoryLimit", spec.successfulJobsHistoryLimit);
  problems.notNegative("spec.failedJobsHistoryLimit", spec.failedJobsHistoryLimit);
  const path = "spec.jobTemplate.spec";
  const template = spec.jobTemplate?.spec;
  if (template === undefined) {
    problems.required(path);
    return;
  }
  validateJobSpec(problems, path, template);
  if (template.manualSelector === true) problems.notSupported(`${path}.manualSelector`, true, ["nil", "false"]);
}

const MACROS: ReadonlySet<string> = new Set(["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]);

/** The form only: whether a time ever comes is the controller's to find out. */
function validateSchedule(problems: Problems, schedule: string, timeZone: string | undefined): void {
  const path = "spec.schedule";
  if (schedule === "") {
    problems.required(path);
    return;
  }
  if (/^(CRON_)?TZ=/.test(schedule)) {
    const detail =
      timeZone === undefined
        ? "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        : "cannot use both timeZone field and TZ or CRON_TZ in schedule";
    problems.invalid(path, schedule, detail);
    return;
  }
  const fields = schedule.trim().split(/\s+/);
  const known = MACROS.has(schedule) || /^@every \S+$/.test(schedule);
  if (!known && schedule.startsWith("@")) problems.invalid(path, schedule, `unrecognized descriptor: ${schedule}`);
  else if (!known && fields.length !== 5) {
    problems.invalid(path, schedule, `expected exactly 5 fields, found ${fields.length}: [${fields.join(" ")}]`);
  } else if (!known) {
    for (const field of fields)
      if (!/^[\d*?,/a-zA-Z-]+$/.test(field)) problems.invalid(path, schedule, `failed to parse int from ${field}`);
  }
}
