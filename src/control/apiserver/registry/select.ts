// Which objects a list, watch or deletecollection is about.
import {
  checkFieldSelector,
  type KubeObject,
  matchFields,
  matchLabels,
  type ParsedFieldSelector,
  type ParsedLabelSelector,
  parseFieldSelector,
  parseLabelSelector,
  SelectorError,
  selectedName,
} from "#kube";
import { badRequest } from "../status.ts";
import type { Served } from "./types.ts";

export interface Selection {
  /** Of the store's keys: a namespace and its slash, or one key, or everything. */
  readonly prefix: string;
  readonly labels: ParsedLabelSelector;
  readonly fields: ParsedFieldSelector;
  /** Nothing but the prefix narrows it down. */
  readonly everything: boolean;
  matches(object: KubeObject): boolean;
}

export function parseSelection(served: Served, namespace: string | undefined, query: URLSearchParams, name?: string): Selection {
  const { resource } = served;
  const labelText = query.get("labelSelector") ?? "";
  const fieldText = query.get("fieldSelector") ?? "";
  const labels = labelText === "" ? [] : parseLabelSelector(labelText);
  const fields = [...(fieldText === "" ? [] : parseFields(served, labelText, fieldText))];
  if (name !== undefined) {
    const other = selectedName(fields);
    if (other !== undefined && other !== name)
      throw badRequest(`field selector metadata.name=${other} does not match the name in the path, ${name}`);
    if (other === undefined) fields.push({ field: "metadata.name", operator: "=", value: name });
  }
  const prefix = resource.namespaced && namespace !== undefined ? `${namespace}/` : "";
  const everything = labels.length === 0 && fields.length === 0;
  const matches = (object: KubeObject): boolean => matchLabels(labels, object.metadata?.labels) && matchFields(resource, fields, object);
  return { prefix, labels, fields, everything, matches: everything ? () => true : matches };
}

function parseFields({ resource }: Served, labelText: string, text: string): ParsedFieldSelector {
  try {
    const fields = parseFieldSelector(text);
    checkFieldSelector(resource, fields);
    return fields;
  } catch (err) {
    if (!(err instanceof SelectorError)) throw err;
    const gvr = `${resource.group === "" ? "" : resource.group}/${resource.version}, Resource=${resource.plural}`;
    throw badRequest(`Unable to find "${gvr}" that match label selector "${labelText}", field selector "${text}": ${err.message}`);
  }
}

/** The one key that the selection can match, where it names one. */
export function selectedKey(served: Served, selection: Selection): string | undefined {
  const name = selectedName(selection.fields);
  return name === undefined || (served.resource.namespaced && selection.prefix === "") ? undefined : `${selection.prefix}${name}`;
}
