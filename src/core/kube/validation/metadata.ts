// Metadata that every object has: apimachinery `api/validation/objectmeta.go`.
import type { LabelSelector, ObjectMeta, OwnerReference } from "kubernetes-types/meta/v1";
import type { KubeObject, Resource } from "../types.ts";
import {
  isCanonicalIp,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isLabelValue,
  isPathSegment,
  isQualifiedName,
} from "./names.ts";
import { type Problems, sameJson } from "./problems.ts";

/** All annotations of an object together. */
const MAX_ANNOTATIONS = 256 * 1024;

type NameCheck = (name: string) => string[];

/** Kinds whose names are not DNS subdomains, by `group/kind`. */
const NAME_CHECKS: Readonly<Record<string, NameCheck>> = {
  "/Namespace": isDns1123Label,
  "/Service": isDns1035Label,
  "/Event": isPathSegment,
  "networking.k8s.io/IPAddress": isCanonicalIp,
  "events.k8s.io/Event": isPathSegment,
  "apps/StatefulSet": isDns1123Label,
};

/** Finalizers of the core group, which have no domain. */
const STANDARD_FINALIZERS: ReadonlySet<string> = new Set(["kubernetes", "orphan", "foregroundDeletion"]);

export function validateMetadata(problems: Problems, resource: Resource, object: KubeObject): void {
  const meta = object.metadata ?? {};
  validateNames(problems, resource, meta);
  validateLabels(problems, "metadata.labels", meta.labels);
  validateAnnotations(problems, "metadata.annotations", meta.annotations);
  validateOwners(problems, meta.ownerReferences ?? []);
  validateFinalizers(problems, meta.finalizers ?? []);
}

function validateNames(problems: Problems, resource: Resource, meta: ObjectMeta): void {
  const check = NAME_CHECKS[`${resource.group}/${resource.kind}`] ?? isDns1123Subdomain;
  if (meta.generateName) problems.invalidEach("metadata.generateName", meta.generateName, check(meta.generateName.replace(/.-$/, "a")));
  if (meta.name) problems.invalidEach("metadata.name", meta.name, [...new Set([...check(meta.name), ...isPathSegment(meta.name)])]);
  else if (!meta.generateName) problems.required("metadata.name", "name or generateName is required");
  if (!resource.namespaced) {
    if (meta.namespace) problems.forbidden("metadata.namespace", "not allowed on this type");
  } else if (meta.namespace) problems.invalidEach("metadata.namespace", meta.namespace, isDns1123Label(meta.namespace));
  else problems.required("metadata.namespace");
}

export function validateLabels(problems: Problems, path: string, labels: Readonly<Record<string, string>> | undefined): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    problems.invalidEach(path, key, isQualifiedName(key));
    problems.invalidEach(path, value, isLabelValue(value));
  }
}

export function validateAnnotations(problems: Problems, path: string, annotations: Readonly<Record<string, string>> | undefined): void {
  let size = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    // Case is ignored in annotations' names.
    problems.invalidEach(path, key, isQualifiedName(key.toLowerCase()));
    size += key.length + value.length;
  }
  if (size > MAX_ANNOTATIONS) problems.tooLong(path, MAX_ANNOTATIONS);
}

function validateOwners(problems: Problems, owners: readonly OwnerReference[]): void {
  const path = "metadata.ownerReferences";
  let controller: string | undefined;
  for (const owner of owners) {
    if (!owner.apiVersion || owner.apiVersion.endsWith("/"))
      problems.invalid(`${path}.apiVersion`, owner.apiVersion ?? "", "version must not be empty");
    if (!owner.kind) problems.invalid(`${path}.kind`, owner.kind ?? "", "kind must not be empty");
    if (!owner.name) problems.invalid(`${path}.name`, owner.name ?? "", "name must not be empty");
    if (!owner.uid) problems.invalid(`${path}.uid`, owner.uid ?? "", "uid must not be empty");
    if (owner.apiVersion === "v1" && owner.kind === "Event")
      problems.invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner");
    if (owner.controller !== true) continue;
    if (controller !== undefined) {
      const detail = `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${owner.name}`;
      problems.invalid(path, owners, detail);
    }
    controller = owner.name;
  }
}

function validateFinalizers(problems: Problems, finalizers: readonly string[]): void {
  const path = "metadata.finalizers";
  for (const finalizer of finalizers) {
    problems.invalidEach(path, finalizer, isQualifiedName(finalizer));
    if (!finalizer.includes("/") && !STANDARD_FINALIZERS.has(finalizer)) {
      problems.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
    }
  }
  if (finalizers.includes("orphan") && finalizers.includes("foregroundDeletion")) {
    problems.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
  }
}

/** What the API server keeps by itself (uid, timestamps) is not looked at here. */
export function validateMetadataUpdate(problems: Problems, object: KubeObject, old: KubeObject): void {
  const meta = object.metadata ?? {};
  const before = old.metadata ?? {};
  problems.immutable("metadata.name", meta.name, before.name);
  problems.immutable("metadata.namespace", meta.namespace, before.namespace);
  if (before.deletionTimestamp === undefined) return;
  const added = (meta.finalizers ?? []).filter((finalizer) => !before.finalizers?.includes(finalizer));
  if (added.length === 0) return;
  const names = added.map((name) => JSON.stringify(name)).join(", ");
  problems.forbidden(
    "metadata.finalizers",
    `no new finalizers can be added if the object is being deleted, found new finalizers []string{${names}}`,
  );
}

const SET_OPERATORS: ReadonlySet<string> = new Set(["In", "NotIn"]);
const EXISTENCE_OPERATORS: ReadonlySet<string> = new Set(["Exists", "DoesNotExist"]);

/** `meta/v1/validation` ValidateLabelSelector. */
export function validateLabelSelector(problems: Problems, path: string, selector: LabelSelector | undefined): void {
  validateLabels(problems, `${path}.matchLabels`, selector?.matchLabels);
  for (const [i, { key, operator, values = [] }] of (selector?.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${i}]`;
    if (SET_OPERATORS.has(operator)) {
      if (values.length === 0) problems.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (EXISTENCE_OPERATORS.has(operator)) {
      if (values.length > 0) problems.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else problems.invalid(`${at}.operator`, operator ?? "", "not a valid selector operator");
    problems.invalidEach(`${at}.key`, key ?? "", isQualifiedName(key ?? ""));
    for (const [j, value] of values.entries()) problems.invalidEach(`${at}.values[${j}]`, value, isLabelValue(value));
  }
}

export function isEmptySelector(selector: LabelSelector): boolean {
  return sameJson(selector.matchLabels, {}) && sameJson(selector.matchExpressions, []);
}
