// Deployments, ReplicaSets, StatefulSets, DaemonSets and ReplicationControllers: `pkg/apis/apps/validation/validation.go`.
import type { DaemonSet, Deployment, DeploymentSpec, ReplicaSet, StatefulSet } from "kubernetes-types/apps/v1";
import type { PodTemplateSpec, ReplicationController } from "kubernetes-types/core/v1";
import type { LabelSelector } from "kubernetes-types/meta/v1";
import { matchLabelSelector } from "../selectors.ts";
import { isEmptySelector, validateAnnotations, validateLabelSelector, validateLabels } from "./metadata.ts";
import { validatePodSpec } from "./pod.ts";
import { type Problems, sameJson } from "./problems.ts";

/** `kind` is what upstream's message says: of ReplicaSets it says "deployment" too. */
function validateSelector(problems: Problems, selector: LabelSelector | undefined, kind: string): void {
  if (selector === undefined) {
    problems.required("spec.selector");
    return;
  }
  validateLabelSelector(problems, "spec.selector", selector);
  if (isEmptySelector(selector)) problems.invalid("spec.selector", selector, `empty selector is invalid for ${kind}`);
}

export function validateTemplate(problems: Problems, path: string, template: PodTemplateSpec | undefined): void {
  validateLabels(problems, `${path}.metadata.labels`, template?.metadata?.labels);
  validateAnnotations(problems, `${path}.metadata.annotations`, template?.metadata?.annotations);
  validatePodSpec(problems, `${path}.spec`, template?.spec ?? { containers: [] });
}

/** Pods of these kinds live for ever: `owner` is the word of the message about deadlines. */
function validateLastingTemplate(
  problems: Problems,
  template: PodTemplateSpec | undefined,
  selector: LabelSelector | undefined,
  owner: string,
): void {
  const path = "spec.template";
  if (template === undefined) {
    problems.required(path);
    return;
  }
  const labels = template.metadata?.labels ?? {};
  if (selector !== undefined && !isEmptySelector(selector) && !matchesSafely(selector, labels)) {
    problems.invalid(`${path}.metadata.labels`, labels, "`selector` does not match template `labels`");
  }
  validateTemplate(problems, path, template);
  const { restartPolicy, activeDeadlineSeconds } = template.spec ?? {};
  if (restartPolicy !== undefined && restartPolicy !== "Always")
    problems.notSupported(`${path}.spec.restartPolicy`, restartPolicy, ["Always"]);
  if (activeDeadlineSeconds !== undefined) {
    problems.forbidden(`${path}.spec.activeDeadlineSeconds`, `activeDeadlineSeconds in ${owner} is not Supported`);
  }
}

/** A selector that is no selector has been reported already. */
function matchesSafely(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  try {
    return matchLabelSelector(selector, labels);
  } catch {
    return true;
  }
}

export function validateDeployment(problems: Problems, { spec }: Deployment): void {
  if (spec === undefined) {
    problems.required("spec");
    return;
  }
  problems.notNegative("spec.replicas", spec.replicas);
  validateSelector(problems, spec.selector, "deployment");
  validateLastingTemplate(problems, spec.template, spec.selector, "ReplicaSet");
  validateDeploymentStrategy(problems, spec);
  problems.notNegative("spec.minReadySeconds", spec.minReadySeconds);
  problems.notNegative("spec.revisionHistoryLimit", spec.revisionHistoryLimit);
  problems.notNegative("spec.progressDeadlineSeconds", spec.progressDeadlineSeconds);
  if (spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds <= (spec.minReadySeconds ?? 0)) {
    problems.invalid("spec.progressDeadlineSeconds", spec.progressDeadlineSeconds, "must be greater than minReadySeconds");
  }
}

function validateDeploymentStrategy(problems: Problems, { strategy = {} }: DeploymentSpec): void {
  const path = "spec.strategy";
  const { type, rollingUpdate } = strategy;
  if (type === "Recreate") {
    if (rollingUpdate !== undefined) problems.forbidden(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'");
    return;
  }
  problems.oneOf(`${path}.type`, type, ["Recreate", "RollingUpdate"]);
  if (type !== "RollingUpdate") return;
  if (rollingUpdate === undefined) problems.required(`${path}.rollingUpdate`, "this should be defaulted and never be nil");
  else validateRollingUpdate(problems, `${path}.rollingUpdate`, rollingUpdate);
}

interface RollingUpdate {
  readonly maxUnavailable?: number | string;
  readonly maxSurge?: number | string;
}

function validateRollingUpdate(problems: Problems, path: string, { maxUnavailable = 0, maxSurge = 0 }: RollingUpdate): void {
  validateIntOrPercent(problems, `${path}.maxUnavailable`, maxUnavailable);
  validateIntOrPercent(problems, `${path}.maxSurge`, maxSurge);
  if (amount(maxUnavailable) === 0 && amount(maxSurge) === 0) {
    problems.invalid(`${path}.maxUnavailable`, maxUnavailable, "may not be 0 when `maxSurge` is 0");
  }
  if (typeof maxUnavailable === "string" && amount(maxUnavailable) > 100) {
    problems.invalid(`${path}.maxUnavailable`, maxUnavailable, "must not be greater than 100%");
  }
}

function amount(value: number | string): number {
  return typeof value === "number" ? value : Number.parseInt(value, 10);
}

function validateIntOrPercent(problems: Problems, path: string, value: number | string): void {
  if (typeof value === "number") problems.notNegative(path, value);
  else if (!/^[0-9]+%$/.test(value)) {
    const rule =
      "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
    problems.invalid(path, value, rule);
  }
}

export function validateReplicaSet(problems: Problems, { spec }: ReplicaSet): void {
  if (spec === undefined) {
    problems.required("spec");
    return;
  }
  problems.notNegative("spec.replicas", spec.replicas);
  problems.notNegative("spec.minReadySeconds", spec.minReadySeconds);
  validateSelector(problems, spec.selector, "deployment");
  validateLastingTemplate(problems, spec.template, spec.selector, "ReplicaSet");
}

export function validateReplicationController(problems: Problems, { spec }: ReplicationController): void {
  if (spec === undefined) {
    problems.required("spec");
    return;
  }
  problems.notNegative("spec.replicas", spec.replicas);
  problems.notNegative("spec.minReadySeconds", spec.minReadySeconds);
  if (Object.keys(spec.selector ?? {}).length === 0) problems.required("spec.selector");
  const selector = spec.selector === undefined ? {} : { matchLabels: spec.selector };
  validateLastingTemplate(problems, spec.template, selector, "ReplicationController");
}

export function validateStatefulSet(problems: Problems, { spec }: StatefulSet): void {
  if (spec === undefined) {
    problems.required("spec");
    return;
  }
  problems.oneOf("spec.podManagementPolicy", spec.podManagementPolicy, ["OrderedReady", "Parallel"]);
  const { type, rollingUpdate } = spec.updateStrategy ?? {};
  const path = "spec.updateStrategy";
  if (type === "OnDelete") {
    if (rollingUpdate !== undefined)
      problems.invalid(`${path}.rollingUpdate`, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'");
  } else if (type === "RollingUpdate") problems.notNegative(`${path}.rollingUpdate.partition`, rollingUpdate?.partition);
  else if (type) problems.invalid(path, spec.updateStrategy, "must be 'RollingUpdate' or 'OnDelete'");
  else problems.required(path);
  problems.notNegative("spec.replicas", spec.replicas);
  problems.notNegative("spec.minReadySeconds", spec.minReadySeconds);
  problems.notNegative("spec.ordinals.start", spec.ordinals?.start);
  validateSelector(problems, spec.selector, "statefulset");
  validateLastingTemplate(problems, spec.template, spec.selector, "StatefulSet");
}

export function validateDaemonSet(problems: Problems, { spec }: DaemonSet): void {
  if (spec === undefined) {
    problems.required("spec");
    return;
  }
  validateSelector(problems, spec.selector, "daemonset");
  validateLastingTemplate(problems, spec.template, spec.selector, "DaemonSet");
  problems.notNegative("spec.minReadySeconds", spec.minReadySeconds);
  problems.notNegative("spec.revisionHistoryLimit", spec.revisionHistoryLimit);
  const { type, rollingUpdate } = spec.updateStrategy ?? {};
  problems.oneOf("spec.updateStrategy.type", type, ["RollingUpdate", "OnDelete"]);
  if (type !== "RollingUpdate") return;
  if (rollingUpdate === undefined) problems.required("spec.updateStrategy.rollingUpdate");
  else validateRollingUpdate(problems, "spec.updateStrategy.rollingUpdate", rollingUpdate);
}

export function validateSelectorUpdate(
  problems: Problems,
  object: { spec?: { selector?: unknown } },
  old: { spec?: { selector?: unknown } },
): void {
  problems.immutable("spec.selector", object.spec?.selector, old.spec?.selector);
}

/** The fields of a StatefulSet that may change, as the message lists them. */
const STATEFUL_SET_FIELDS: readonly string[] = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
];

export function validateStatefulSetUpdate(problems: Problems, set: StatefulSet, old: StatefulSet): void {
  const fixed = (spec: object | undefined): object =>
    Object.fromEntries(Object.entries(spec ?? {}).filter(([field]) => !STATEFUL_SET_FIELDS.includes(field)));
  if (sameJson(fixed(set.spec), fixed(old.spec))) return;
  const names = STATEFUL_SET_FIELDS.map((field) => `'${field}'`);
  const list = `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  problems.forbidden("spec", `updates to statefulset spec for fields other than ${list} are forbidden`);
}
