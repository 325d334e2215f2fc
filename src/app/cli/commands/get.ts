// `fairlead get`: tables as the server prints them, or objects.
import { stringify } from "yaml";
import { ApiError, type HttpClient } from "#client";
import type { KubeObject, Resource } from "#kube";
import { findResources, openClient, parseTargets, pathOf } from "../api.ts";
import { formatTable } from "../terminal.ts";

export interface GetOptions {
  readonly name: string;
  readonly namespace: string;
  readonly allNamespaces: boolean;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly output: "table" | "wide" | "json" | "yaml" | "name";
}

interface Table extends KubeObject {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[];
  readonly rows: readonly { readonly cells: readonly unknown[]; readonly object?: KubeObject }[];
}

const AS_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io";

export async function get(args: readonly string[], options: GetOptions): Promise<void> {
  const client = openClient(options.name);
  const [first = ""] = args;
  const named = args.length > 1 || first.includes("/");
  const requests = named
    ? parseTargets(args, options.namespace).map(({ resource, key }) => ({ resource, path: pathOf(resource, key.namespace, key.name) }))
    : findResources(first).map((resource) => ({ resource, path: listPath(resource, options) }));
  const several = new Set(requests.map(({ resource }) => resource)).size > 1;
  const objects: KubeObject[] = [];
  let rows = 0;
  for (const { resource, path } of requests) {
    const answer = await fetchJson(client, path, options.output === "table" || options.output === "wide");
    if (isTable(answer)) {
      rows += answer.rows.length;
      process.stdout.write(printTable(answer, resource, options, several));
    } else if (named) objects.push(answer);
    else objects.push(...itemsOf(answer, resource));
  }
  client.close();
  if (options.output === "table" || options.output === "wide") {
    if (rows === 0) process.stderr.write(`No resources found${options.allNamespaces ? "" : ` in ${options.namespace} namespace`}.\n`);
    return;
  }
  printObjects(objects, named && objects.length === 1, options.output);
}

function listPath(resource: Resource, options: GetOptions): string {
  const query = new URLSearchParams();
  if (options.selector !== undefined) query.set("labelSelector", options.selector);
  if (options.fieldSelector !== undefined) query.set("fieldSelector", options.fieldSelector);
  const path = pathOf(resource, options.allNamespaces ? undefined : options.namespace);
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}

async function fetchJson(client: HttpClient, path: string, asTable: boolean): Promise<KubeObject> {
  const response = await client.raw({
    method: "GET",
    path,
    op: `get ${path}`,
    ...(asTable ? { accept: `${AS_TABLE},application/json` } : {}),
  });
  const body: unknown = JSON.parse(response.body.toString());
  if (response.status >= 300) throw new ApiError("get", body as ConstructorParameters<typeof ApiError>[1]);
  return body as KubeObject;
}

function isTable(answer: KubeObject): answer is Table {
  return answer.kind === "Table";
}

function itemsOf(list: KubeObject, resource: Resource): KubeObject[] {
  const items = "items" in list && Array.isArray(list.items) ? (list.items as KubeObject[]) : [];
  const apiVersion = resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
  return items.map((item) => ({ apiVersion, kind: resource.kind, ...item }));
}

function printTable(table: Table, resource: Resource, options: GetOptions, several: boolean): string {
  if (table.rows.length === 0) return "";
  const shown = table.columnDefinitions.map((column, i) => ({ ...column, i })).filter((c) => c.priority === 0 || options.output === "wide");
  const withNamespace = options.allNamespaces && resource.namespaced;
  const heads = shown.map((column) => column.name.toUpperCase());
  const lines = table.rows.map((row) => {
    const cells = shown.map(({ i }, n) => {
      const text = cellText(row.cells[i]);
      return several && n === 0 ? `${resource.singular}/${text}` : text;
    });
    return withNamespace ? [row.object?.metadata?.namespace ?? "", ...cells] : cells;
  });
  return `${formatTable(withNamespace ? ["NAMESPACE", ...heads] : heads, lines)}${several ? "\n" : ""}`;
}

function cellText(cell: unknown): string {
  return typeof cell === "string" || typeof cell === "number" || typeof cell === "boolean" ? String(cell) : "";
}

function printObjects(objects: readonly KubeObject[], single: boolean, output: GetOptions["output"]): void {
  if (output === "name") {
    for (const object of objects) process.stdout.write(`${(object.kind ?? "").toLowerCase()}/${object.metadata?.name ?? ""}\n`);
    return;
  }
  const [first] = objects;
  const value = single && first !== undefined ? first : { apiVersion: "v1", kind: "List", items: objects };
  process.stdout.write(output === "json" ? `${JSON.stringify(value, null, 2)}\n` : stringify(value, { lineWidth: 0 }));
}
