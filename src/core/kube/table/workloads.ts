import type { CronJob, Job } from "kubernetes-types/batch/v1";
import { humanAge, humanDuration } from "../duration.ts";
import {
  CONTROLLER_REVISIONS,
  CRON_JOBS,
  DAEMON_SETS,
  DEPLOYMENTS,
  JOBS,
  REPLICA_SETS,
  REPLICATION_CONTROLLERS,
  STATEFUL_SETS,
} from "../resources.ts";
import { formatLabelSelector } from "../selectors.ts";
import type { KubeObject } from "../types.ts";
import {
  AGE,
  ageOf,
  CONTAINERS,
  column,
  containersAndImages,
  formatLabels,
  IMAGES,
  NAME,
  nameOf,
  type PrinterEntry,
  printerFor,
  SELECTOR,
  type TableColumn,
} from "./printer.ts";

const REPLICA_COLUMNS: readonly TableColumn[] = [
  NAME,
  column("Desired", "How many pods there should be.", "integer"),
  column("Current", "How many pods there are.", "integer"),
  column("Ready", "How many pods are ready.", "integer"),
  AGE,
  CONTAINERS,
  IMAGES,
  SELECTOR,
];

export const WORKLOAD_PRINTERS: readonly PrinterEntry[] = [
  printerFor(DEPLOYMENTS, {
    columns: [
      NAME,
      column("Ready", "How many pods are ready, of how many there should be."),
      column("Up-to-date", "How many pods have the present template."),
      column("Available", "How many pods have been ready for long enough."),
      AGE,
      CONTAINERS,
      IMAGES,
      SELECTOR,
    ],
    cells: (d, now) => [
      nameOf(d),
      `${d.status?.readyReplicas ?? 0}/${d.spec?.replicas ?? 0}`,
      d.status?.updatedReplicas ?? 0,
      d.status?.availableReplicas ?? 0,
      ageOf(d, now),
      ...containersAndImages(d.spec?.template),
      formatLabelSelector(d.spec?.selector),
    ],
  }),
  printerFor(REPLICA_SETS, {
    columns: REPLICA_COLUMNS,
    cells: (rs, now) => [...replicaCells(rs, now), ...containersAndImages(rs.spec?.template), formatLabelSelector(rs.spec?.selector)],
  }),
  printerFor(REPLICATION_CONTROLLERS, {
    columns: REPLICA_COLUMNS,
    cells: (rc, now) => [...replicaCells(rc, now), ...containersAndImages(rc.spec?.template), formatLabels(rc.spec?.selector)],
  }),
  printerFor(STATEFUL_SETS, {
    columns: [NAME, column("Ready", "How many pods are ready, of how many there should be."), AGE, CONTAINERS, IMAGES],
    cells: (s, now) => [
      nameOf(s),
      `${s.status?.readyReplicas ?? 0}/${s.spec?.replicas ?? 0}`,
      ageOf(s, now),
      ...containersAndImages(s.spec?.template),
    ],
  }),
  printerFor(DAEMON_SETS, {
    columns: [
      NAME,
      column("Desired", "How many nodes should run the pod.", "integer"),
      column("Current", "How many of those nodes have it.", "integer"),
      column("Ready", "On how many nodes it is ready.", "integer"),
      column("Up-to-date", "On how many nodes it has the present template.", "integer"),
      column("Available", "On how many nodes it has been ready for long enough.", "integer"),
      column("Node Selector", "Labels of the nodes that run it."),
      AGE,
      CONTAINERS,
      IMAGES,
      SELECTOR,
    ],
    cells: (d, now) => [
      nameOf(d),
      d.status?.desiredNumberScheduled ?? 0,
      d.status?.currentNumberScheduled ?? 0,
      d.status?.numberReady ?? 0,
      d.status?.updatedNumberScheduled ?? 0,
      d.status?.numberAvailable ?? 0,
      formatLabels(d.spec?.template.spec?.nodeSelector),
      ageOf(d, now),
      ...containersAndImages(d.spec?.template),
      formatLabelSelector(d.spec?.selector),
    ],
  }),
  printerFor(CONTROLLER_REVISIONS, {
    columns: [
      NAME,
      column("Controller", "The object whose history this is."),
      column("Revision", "Its number in that history.", "integer"),
      AGE,
    ],
    cells: (r, now) => [nameOf(r), controllerOf(r), r.revision, ageOf(r, now)],
  }),
  printerFor(JOBS, {
    columns: [
      NAME,
      column("Status", "Whether the job runs, is complete, has failed or waits."),
      column("Completions", "How many pods have succeeded, of how many must."),
      column("Duration", "How long the job took, or has taken so far."),
      AGE,
      CONTAINERS,
      IMAGES,
      SELECTOR,
    ],
    cells: (job, now) => [
      nameOf(job),
      jobStatus(job),
      completions(job),
      jobDuration(job, now),
      ageOf(job, now),
      ...containersAndImages(job.spec?.template),
      formatLabelSelector(job.spec?.selector),
    ],
  }),
  printerFor(CRON_JOBS, {
    columns: [
      NAME,
      column("Schedule", "When jobs are started, in cron's notation."),
      column("Timezone", "The time zone of the schedule."),
      column("Suspend", "Whether no more jobs are started.", "boolean"),
      column("Active", "How many of its jobs run.", "integer"),
      column("Last Schedule", "Time since a job was last started."),
      AGE,
      CONTAINERS,
      IMAGES,
      SELECTOR,
    ],
    cells: cronJobCells,
  }),
];

interface Replicated extends KubeObject {
  readonly spec?: { readonly replicas?: number };
  readonly status?: { readonly replicas: number; readonly readyReplicas?: number };
}

function replicaCells(object: Replicated, now: number): (string | number)[] {
  const { spec, status } = object;
  return [nameOf(object), spec?.replicas ?? 0, status?.replicas ?? 0, status?.readyReplicas ?? 0, ageOf(object, now)];
}

function controllerOf(object: KubeObject): string {
  const owner = object.metadata?.ownerReferences?.find((ref) => ref.controller === true);
  if (owner === undefined) return "<none>";
  const slash = owner.apiVersion.indexOf("/");
  const group = slash < 0 ? "" : `.${owner.apiVersion.slice(0, slash)}`;
  return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
}

function jobStatus(job: Job): string {
  const has = (type: string): boolean => job.status?.conditions?.some((c) => c.type === type && c.status === "True") ?? false;
  if (has("Complete")) return "Complete";
  if (has("Failed")) return "Failed";
  if (job.metadata?.deletionTimestamp !== undefined) return "Terminating";
  return ["Suspended", "FailureTarget", "SuccessCriteriaMet"].find(has) ?? "Running";
}

function completions(job: Job): string {
  const succeeded = job.status?.succeeded ?? 0;
  if (job.spec?.completions !== undefined) return `${succeeded}/${job.spec.completions}`;
  const parallelism = job.spec?.parallelism ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function jobDuration(job: Job, now: number): string {
  const { startTime, completionTime } = job.status ?? {};
  if (startTime === undefined) return "";
  return humanDuration((completionTime === undefined ? now : Date.parse(completionTime)) - Date.parse(startTime));
}

function cronJobCells(job: CronJob, now: number): (string | number)[] {
  const { spec, status } = job;
  return [
    nameOf(job),
    spec?.schedule ?? "",
    (spec as { timeZone?: string } | undefined)?.timeZone ?? "<none>",
    spec?.suspend === undefined ? "<unset>" : spec.suspend ? "True" : "False",
    status?.active?.length ?? 0,
    status?.lastScheduleTime === undefined ? "<none>" : humanAge(status.lastScheduleTime, now),
    ageOf(job, now),
    ...containersAndImages(spec?.jobTemplate.spec?.template),
    formatLabelSelector(spec?.jobTemplate.spec?.selector),
  ];
}
