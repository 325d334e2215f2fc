// What may change in a pod that exists: `pkg/apis/core/validation/validation.go` ValidatePodUpdate.
import type { Container, Pod, PodSpec, Toleration } from "kubernetes-types/core/v1";
import { type Problems, sameJson } from "./problems.ts";

const CHANGEABLE: readonly string[] = [
  "`spec.containers[*].image`",
  "`spec.initContainers[*].image`",
  "`spec.activeDeadlineSeconds`",
  "`spec.tolerations` (only additions to existing tolerations)",
  "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
];

export function validatePodUpdate(problems: Problems, pod: Pod, old: Pod): void {
  const { spec } = pod;
  const before = old.spec;
  if (spec === undefined || before === undefined) return;
  if (spec.containers?.length !== before.containers?.length) {
    problems.forbidden("spec.containers", "pod updates may not add or remove containers");
    return;
  }
  if ((spec.initContainers ?? []).length !== (before.initContainers ?? []).length) {
    problems.forbidden("spec.initContainers", "pod updates may not add or remove containers");
    return;
  }
  validateDeadline(problems, spec.activeDeadlineSeconds, before.activeDeadlineSeconds);
  validateGates(problems, spec, before);
  const kept = (before.tolerations ?? []).every((toleration) => spec.tolerations?.some((other) => isSameToleration(other, toleration)));
  if (!kept) problems.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
  const changed = changedFields(fixedFields(spec, before), fixedFields(before, before), "spec");
  if (changed.length === 0) return;
  problems.forbidden("spec", `pod updates may not change fields other than ${CHANGEABLE.join(",")}\nchanged: ${changed.join(", ")}`);
}

function validateDeadline(problems: Problems, deadline: number | undefined, before: number | undefined): void {
  if (before === undefined) return;
  const path = "spec.activeDeadlineSeconds";
  if (deadline === undefined) problems.invalid(path, null, "must not update from a positive integer to nil value");
  else if (deadline > before) problems.invalid(path, deadline, "must be less than or equal to previous value");
}

function validateGates(problems: Problems, spec: PodSpec, before: PodSpec): void {
  const had = new Set((before.schedulingGates ?? []).map((gate) => gate.name));
  const added = (spec.schedulingGates ?? []).filter((gate) => !had.has(gate.name));
  if (added.length > 0)
    problems.forbidden(
      "spec.schedulingGates",
      `only deletion is allowed, but found new scheduling gates '${added.map((gate) => gate.name).join(", ")}'`,
    );
}

function isSameToleration(a: Toleration, b: Toleration): boolean {
  return sameJson({ ...a, tolerationSeconds: undefined }, { ...b, tolerationSeconds: undefined });
}

/** The spec without what may change. A node is given once (binding), and debug containers are only added. */
function fixedFields(spec: PodSpec, before: PodSpec): object {
  const fixed: Partial<PodSpec> = { ...spec };
  for (const field of ["activeDeadlineSeconds", "tolerations", "schedulingGates", "ephemeralContainers"] as const) delete fixed[field];
  const bare = (container: Container): object => ({ ...container, image: "" });
  if (!before.nodeName) delete fixed.nodeName;
  if ((before.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1) {
    fixed.terminationGracePeriodSeconds = before.terminationGracePeriodSeconds ?? 0;
  }
  // As long as a pod waits to be scheduled, where it may go can be narrowed.
  if ((before.schedulingGates ?? []).length > 0) {
    delete fixed.nodeSelector;
    delete fixed.affinity;
  }
  return { ...fixed, containers: (spec.containers ?? []).map(bare), initContainers: (spec.initContainers ?? []).map(bare) };
}

/** The paths at which two values differ, not deeper than where something is missing. */
function changedFields(a: unknown, b: unknown, path: string): string[] {
  if (sameJson(a, b)) return [];
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return [path];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  const at = (value: object, key: string): unknown => (value as Record<string, unknown>)[key];
  return keys.flatMap((key) => changedFields(at(a, key), at(b, key), Array.isArray(a) ? `${path}[${key}]` : `${path}.${key}`));
}
