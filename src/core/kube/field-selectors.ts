// Field selectors: `metadata.name=x,status.phase!=Running`. After apimachinery `fields/selector.go` and, for what each kind accepts,
// `pkg/apis/*/v1/conversion.go` of Kubernetes.

import { SelectorError } from "./selectors.ts";
import { apiVersionOf, type KubeObject, type Resource } from "./types.ts";

export interface FieldRequirement {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

export type ParsedFieldSelector = readonly FieldRequirement[];

type Kind = Pick<Resource, "group" | "version" | "kind">;
type Read = (object: unknown) => string;

/** Parses the text without asking whether a kind has these fields. Throws SelectorError. */
export function parseFieldSelector(text: string): ParsedFieldSelector {
  return splitTerms(text)
    .filter((term) => term !== "")
    .map((term) => {
      const at = /^(?<field>(?:\\.|[^\\=!])*?)(?<operator>!=|==|=)(?<value>.*)$/s.exec(term)?.groups;
      if (at === undefined) throw new SelectorError(`invalid selector: '${text}'; can't understand '${term}'`);
      return { field: at["field"] ?? "", operator: at["operator"] === "!=" ? "!=" : "=", value: unescapeValue(at["value"] ?? "", text) };
    });
}

function splitTerms(text: string): string[] {
  return text.match(/(?:\\.|[^\\,])+/gs) ?? [];
}

function unescapeValue(value: string, selector: string): string {
  return value.replace(/\\(.?)|[,=]/gs, (all, escaped: string | undefined) => {
    if (escaped === undefined || !/^[\\,=]$/.test(escaped)) {
      throw new SelectorError(`invalid field selector: '${selector}': invalid escape sequence or unescaped character '${all}' in value`);
    }
    return escaped;
  });
}

function dig(object: unknown, path: readonly string[]): unknown {
  let at = object;
  for (const key of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[key];
  }
  return at;
}

/** The field at a path, as text: "" where it is absent. */
function at(path: string, absent = ""): Read {
  const keys = path.split(".");
  return (object) => {
    const value = dig(object, keys);
    return value === undefined || value === null ? absent : String(value as string | number | boolean);
  };
}

function fields(...paths: readonly string[]): Record<string, Read> {
  return Object.fromEntries(paths.map((path) => [path, at(path)]));
}

const META = fields("metadata.name", "metadata.namespace");

function eventFields(subject: string): Record<string, Read> {
  const parts = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];
  return Object.fromEntries(parts.map((part) => [`${subject}.${part}`, at(`${subject}.${part}`)]));
}

function podIps(object: unknown): string {
  const ips = dig(object, ["status", "podIPs"]);
  return Array.isArray(ips) ? ips.map((entry) => at("ip")(entry)).join(",") : "";
}

function eventSource(object: unknown): string {
  return at("source.component")(object) || at("reportingComponent")(object);
}

/** What each kind accepts beside `metadata.name` and `metadata.namespace`. */
const BY_KIND: Readonly<Record<string, Readonly<Record<string, Read>>>> = {
  "v1/Pod": {
    ...fields("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
    ...fields("status.phase", "status.podIP", "status.nominatedNodeName"),
    "spec.host": at("spec.nodeName"),
    "spec.hostNetwork": at("spec.hostNetwork", "false"),
    "status.podIPs": podIps,
  },
  "v1/Node": { "spec.unschedulable": at("spec.unschedulable", "false") },
  "v1/ReplicationController": { "status.replicas": at("status.replicas", "0") },
  "v1/Event": {
    ...eventFields("involvedObject"),
    ...fields("reason", "reportingComponent", "type"),
    source: eventSource,
  },
  "events.k8s.io/v1/Event": { ...eventFields("regarding"), ...fields("reason", "reportingController", "type") },
  "v1/Namespace": fields("status.phase"),
  "v1/Secret": fields("type"),
  "v1/Service": fields("spec.clusterIP", "spec.type"),
  "apps/v1/ReplicaSet": { "status.replicas": at("status.replicas", "0") },
  "apps/v1/StatefulSet": { "status.successful": at("status.successful") },
  "batch/v1/Job": { "status.successful": at("status.succeeded", "0") },
};

function readerOf(kind: Kind, field: string): Read | undefined {
  const own = BY_KIND[`${apiVersionOf(kind)}/${kind.kind}`];
  return META[field] ?? (own !== undefined && Object.hasOwn(own, field) ? own[field] : undefined);
}

/** Throws SelectorError when the kind cannot be selected by one of the fields. */
export function checkFieldSelector(kind: Kind, selector: ParsedFieldSelector): void {
  for (const { field } of selector) {
    if (readerOf(kind, field) !== undefined) continue;
    const hasOwnFields = BY_KIND[`${apiVersionOf(kind)}/${kind.kind}`] !== undefined;
    throw new SelectorError(
      hasOwnFields
        ? `field label not supported: ${field}`
        : `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`,
    );
  }
}

/** Whether the object matches; fields that the kind does not accept match nothing (`checkFieldSelector` comes first). */
export function matchFields(kind: Kind, selector: ParsedFieldSelector, object: KubeObject): boolean {
  return selector.every(({ field, operator, value }) => {
    const read = readerOf(kind, field);
    return read !== undefined && (read(object) === value) === (operator === "=");
  });
}

/** The name that the selector pins down with `metadata.name=x`, so that a list can be a get. */
export function selectedName(selector: ParsedFieldSelector): string | undefined {
  return selector.find((r) => r.field === "metadata.name" && r.operator === "=")?.value;
}

export function formatFieldSelector(selector: ParsedFieldSelector): string {
  return selector.map((r) => `${r.field}${r.operator}${r.value.replace(/[\\,=]/g, (c) => `\\${c}`)}`).join(",");
}
