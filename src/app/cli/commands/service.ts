// `fairlead service`: what each node does for a Service, and why.
import type { Node, Service } from "kubernetes-types/core/v1";
import { stringify } from "yaml";
import { errorMessage, FairleadError } from "#base";
import type { HttpClient } from "#client";
import { NODES, SERVICES } from "#kube";
import type { ServiceReport } from "#proxy";
import { openClient } from "../api.ts";
import { formatTable, paint } from "../terminal.ts";

export interface ServiceOptions {
  readonly name: string;
  readonly namespace: string;
  readonly node?: string;
  readonly output: "text" | "wide" | "json" | "yaml";
}

interface Unanswered {
  readonly node: string;
  readonly error: string;
}

/** How many flows a node shows; `-o wide` shows all. */
const MAX_FLOWS = 10;

export async function service(name: string, options: ServiceOptions): Promise<void> {
  const client = openClient(options.name);
  try {
    const object = await client.get<Service>(SERVICES, { namespace: options.namespace, name });
    const nodes = await nodeNames(client, options.node);
    const answers = await Promise.all(nodes.map((node) => askNode(client, node, `${options.namespace}/${name}`)));
    if (options.output === "json") process.stdout.write(`${JSON.stringify(answers, null, 2)}\n`);
    else if (options.output === "yaml") process.stdout.write(stringify(answers));
    else process.stdout.write(format(object, answers, options.output === "wide"));
    if (answers.some(isUnanswered)) process.exitCode = 1;
  } finally {
    client.close();
  }
}

async function nodeNames(client: HttpClient, wanted: string | undefined): Promise<string[]> {
  const { items } = await client.list<Node>(NODES);
  const names = items.map(({ metadata }) => metadata.name).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  if (wanted === undefined) return names;
  if (names.includes(wanted)) return [wanted];
  throw new FairleadError(`there is no node "${wanted}"; there are: ${names.join(", ")}`, { code: "NoSuchNode" });
}

async function askNode(client: HttpClient, node: string, key: string): Promise<ServiceReport | Unanswered> {
  try {
    const op = `ask ${node} about Service ${key}`;
    const { status, body } = await client.raw({ method: "GET", path: `/api/v1/nodes/${node}/proxy/debug/services/${key}`, op });
    const text = body.toString();
    if (status === 200) return JSON.parse(text) as ServiceReport;
    return { node, error: text };
  } catch (err) {
    return { node, error: errorMessage(err) };
  }
}

function isUnanswered(answer: ServiceReport | Unanswered): answer is Unanswered {
  return "error" in answer;
}

function format({ metadata, spec = {} }: Service, answers: readonly (ServiceReport | Unanswered)[], wide: boolean): string {
  const policies = [
    spec.type ?? "ClusterIP",
    ...(spec.internalTrafficPolicy === "Local" ? ["internalTrafficPolicy Local"] : []),
    ...(spec.externalTrafficPolicy === "Local" ? ["externalTrafficPolicy Local"] : []),
    ...(spec.sessionAffinity === "ClientIP"
      ? [`affinity ClientIP ${spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800} s`]
      : []),
  ];
  const head = `${paint("bold", `Service ${metadata?.namespace}/${metadata?.name}`)}  ${policies.join(", ")}\n`;
  return [head, ...answers.map((answer) => (isUnanswered(answer) ? formatUnanswered(answer) : formatNode(answer, wide)))].join("\n");
}

function formatUnanswered({ node, error }: Unanswered): string {
  return `${paint("bold", node)}  ${paint("red", error.trim())}\n`;
}

function formatNode(report: ServiceReport, wide: boolean): string {
  const { node, mode, frontends, backends, affinities, flows, healthCheck } = report;
  const parts = [`${paint("bold", node)}  ${mode}\n`];
  if (frontends.length === 0) parts.push("  nothing to do: headless, ExternalName, or another proxy's\n");
  if (frontends.length > 0) parts.push(indent(formatTable(["FRONTEND", "KIND", "BACKENDS"], frontends.map(frontendRow))));
  if (backends.length > 0) parts.push(indent(backendTable(backends)));
  if (affinities.length > 0) {
    const rows = affinities.map(({ client, frontend, backend, expiresMs }) => [
      client,
      frontend,
      backend,
      expiresMs === undefined ? "" : `${Math.round(expiresMs / 1000)} s`,
    ]);
    parts.push(indent(formatTable(["CLIENT", "COMES TO", "STAYS WITH", "FOR"], rows)));
  }
  if (flows.length > 0) parts.push(indent(flowTable(flows, wide)));
  if (healthCheck !== undefined) parts.push(`  health check port ${healthCheck.port}: ${healthCheck.localEndpoints} local endpoints\n`);
  return parts.join("\n");
}

function frontendRow({
  kind,
  address,
  protocol,
  backends,
  inside,
  whenEmpty,
  sources,
  lostTo,
}: ServiceReport["frontends"][number]): string[] {
  const count = (list: readonly string[]): string =>
    list.length === 0 ? `none: ${whenEmpty === "drop" ? "dropped" : "refused"}` : String(list.length);
  const who = inside === undefined ? count(backends) : `${count(backends)} from outside, ${count(inside)} from pods and the node`;
  const notes = [
    who,
    ...(sources === undefined ? [] : [`only for ${sources.join(", ")}`]),
    ...(lostTo === undefined ? [] : [paint("yellow", `not programmed: ${lostTo} has this address and port`)]),
  ];
  return [`${address}/${protocol}`, kind, notes.join("; ")];
}

function backendTable(backends: ServiceReport["backends"]): string {
  const hasLocal = backends.some(({ local }) => local !== undefined);
  const verdict = (each: { in: boolean; why: string } | undefined): string =>
    each === undefined ? "" : `${each.in ? "in " : "out"} (${each.why})`;
  const heads = ["PORT", "BACKEND", "NODE", "STATE", hasLocal ? "POLICY CLUSTER" : "USED", ...(hasLocal ? ["POLICY LOCAL"] : [])];
  const rows = backends.map(({ servicePort, id, node, state, cluster, local }) => [
    servicePort,
    id,
    node ?? "<none>",
    state,
    verdict(cluster),
    ...(hasLocal ? [verdict(local)] : []),
  ]);
  return formatTable(heads, rows);
}

function flowTable(flows: ServiceReport["flows"], wide: boolean): string {
  const shown = wide ? flows : flows.slice(0, MAX_FLOWS);
  const rows = shown.map(({ protocol, client, frontend, backend, timeoutSeconds }) => [
    protocol,
    client,
    frontend,
    backend,
    `${timeoutSeconds} s`,
  ]);
  const more = flows.length > shown.length ? `and ${flows.length - shown.length} more (-o wide)\n` : "";
  return formatTable(["FLOW", "CLIENT", "CAME TO", "IS WITH", "FORGOTTEN IN"], rows) + more;
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}
