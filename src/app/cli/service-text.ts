// What `fairlead service` prints. Nodes that do the same are told of once.
import type { Service } from "kubernetes-types/core/v1";
import type { ServiceReport } from "#proxy";
import { formatTable, paint } from "./terminal.ts";

export interface Unanswered {
  readonly node: string;
  readonly error: string;
}

export type Answer = ServiceReport | Unanswered;

/** How many flows a group of nodes shows; `-o wide` shows all. */
const MAX_FLOWS = 10;

const OTHER_PROXY = "service.kubernetes.io/service-proxy-name";

export function isUnanswered(answer: Answer): answer is Unanswered {
  return "error" in answer;
}

function isAnswered(answer: Answer): answer is ServiceReport {
  return !isUnanswered(answer);
}

export function formatService(service: Service, answers: readonly Answer[], wide: boolean): string {
  const { metadata } = service;
  const head = `${paint("bold", `Service ${metadata?.namespace}/${metadata?.name}`)}  ${kindOf(service)}\n`;
  const groups = inGroups(answers.filter(isAnswered)).map((reports) => formatNodes(service, reports, wide));
  const silent = answers.filter(isUnanswered).map(({ node, error }) => `${paint("bold", node)}  ${paint("red", error.trim())}\n`);
  return [head, ...groups, ...silent].join("\n");
}

function kindOf({ spec = {} }: Service): string {
  const { clusterIP, internalTrafficPolicy, externalTrafficPolicy, sessionAffinity, sessionAffinityConfig } = spec;
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800;
  return [
    clusterIP === "None" ? "headless" : (spec.type ?? "ClusterIP"),
    ...(internalTrafficPolicy === "Local" ? ["internalTrafficPolicy Local"] : []),
    ...(externalTrafficPolicy === "Local" ? ["externalTrafficPolicy Local"] : []),
    ...(sessionAffinity === "ClientIP" ? [`affinity ClientIP ${seconds} s`] : []),
  ].join(", ");
}

/** Nodes that say the same, but for their own addresses, in the order of the first of each. */
function inGroups(reports: readonly ServiceReport[]): ServiceReport[][] {
  const groups = new Map<string, ServiceReport[]>();
  for (const report of reports) {
    const { mode, backends, healthCheck, problems } = report;
    const key = JSON.stringify([mode, report.frontends.map(withoutNode), backends, healthCheck, problems]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [report]);
    else group.push(report);
  }
  return [...groups.values()];
}

function withoutNode(frontend: ServiceReport["frontends"][number]): ServiceReport["frontends"][number] {
  if (frontend.kind !== "NodePort") return frontend;
  const family = frontend.address.startsWith("[") ? "IPv6" : "IPv4";
  return { ...frontend, address: frontend.address.replace(/^.*:/, `<node's ${family}>:`) };
}

function formatNodes(service: Service, reports: readonly ServiceReport[], wide: boolean): string {
  const [first] = reports;
  if (first === undefined) return "";
  const { mode, backends, healthCheck, problems } = first;
  const frontends = reports.length > 1 ? first.frontends.map(withoutNode) : first.frontends;
  const parts = [`${paint("bold", reports.map(({ node }) => node).join(", "))}  ${mode}\n`];
  const nothing = frontends.length === 0 ? [whyNothing(service)] : [];
  for (const text of [...nothing, ...problems.map((problem) => `left out: ${problem}`)]) parts.push(`  ${text}\n`);
  const tables = [
    frontends.length > 0 ? formatTable(["FRONTEND", "KIND", "BACKENDS"], frontends.map(frontendRow)) : "",
    backends.length > 0 ? backendTable(backends, frontends.length > 0) : "",
    affinityTable(reports),
    flowTable(reports, wide),
  ];
  for (const table of tables) if (table !== "") parts.push(indent(table));
  if (healthCheck !== undefined) parts.push(`  health check port ${healthCheck.port}: ${healthCheck.localEndpoints} local endpoints\n`);
  return parts.join("\n");
}

function whyNothing({ metadata, spec = {} }: Service): string {
  const other = metadata?.labels?.[OTHER_PROXY];
  if (other !== undefined) return `left to another proxy: the label ${OTHER_PROXY} is "${other}"`;
  if (spec.type === "ExternalName") return `nothing to do: DNS answers with the name ${spec.externalName}`;
  if (spec.clusterIP === "" || spec.clusterIP === undefined) return "nothing to do: it has no ClusterIP yet";
  return "nothing to do: headless, DNS answers with the addresses of those that are ready";
}

function frontendRow(frontend: ServiceReport["frontends"][number]): string[] {
  const { kind, address, protocol, backends, inside, whenEmpty, sources, lostTo } = frontend;
  const count = (list: readonly string[]): string =>
    list.length === 0 ? `none: ${whenEmpty === "drop" ? "dropped" : "refused"}` : String(list.length);
  const who = inside === undefined ? count(backends) : `${count(backends)} from outside, ${count(inside)} from pods and the node`;
  const notes = [
    ...(lostTo === undefined ? [who] : [paint("yellow", `not programmed: ${lostTo} has this address and port`)]),
    ...(sources === undefined ? [] : [sources.length === 0 ? "for nobody" : `only for ${sources.join(", ")}`]),
  ];
  return [`${address}/${protocol}`, kind, notes.join("; ")];
}

type Backend = ServiceReport["backends"][number];

function backendTable(backends: readonly Backend[], isUsed: boolean): string {
  const hasLocal = backends.some(({ local }) => local !== undefined);
  const verdict = (each: Backend["cluster"] | undefined): string => (each === undefined ? "" : `${each.in ? "in " : "out"} (${each.why})`);
  const columns: readonly (readonly [string, (backend: Backend) => string])[] = [
    ["PORT", ({ servicePort }) => servicePort],
    ["BACKEND", ({ id }) => id],
    ["POD", ({ target }) => target ?? "<none>"],
    ["NODE", ({ node }) => node ?? "<none>"],
    ["STATE", ({ state }) => state],
    ...(isUsed ? [[hasLocal ? "POLICY CLUSTER" : "USED", ({ cluster }: Backend) => verdict(cluster)] as const] : []),
    ...(isUsed && hasLocal ? [["POLICY LOCAL", ({ local }: Backend) => verdict(local)] as const] : []),
  ];
  return formatTable(
    columns.map(([head]) => head),
    backends.map((backend) => columns.map(([, cell]) => cell(backend))),
  );
}

/** With a column for the node where there are several. */
function tableOfNodes(
  reports: readonly ServiceReport[],
  heads: readonly string[],
  rows: readonly (readonly [string, ...string[]])[],
): string {
  if (rows.length === 0) return "";
  return reports.length > 1
    ? formatTable(["ON", ...heads], rows)
    : formatTable(
        heads,
        rows.map(([, ...cells]) => cells),
      );
}

function affinityTable(reports: readonly ServiceReport[]): string {
  const rows = reports.flatMap(({ node, affinities }) =>
    affinities.map(({ client, frontend, backend, expiresMs }): [string, ...string[]] => {
      const seconds = expiresMs === undefined ? "" : `${Math.round(expiresMs / 1000)} s`;
      return [node, client, frontend, backend, seconds];
    }),
  );
  return tableOfNodes(reports, ["CLIENT", "COMES TO", "STAYS WITH", "FOR"], rows);
}

function flowTable(reports: readonly ServiceReport[], wide: boolean): string {
  const rows = reports.flatMap(({ node, flows }) =>
    flows.map(({ protocol, client, frontend, backend, timeoutSeconds }): [string, ...string[]] => {
      return [node, protocol, client, frontend, backend, `${timeoutSeconds} s`];
    }),
  );
  const shown = wide ? rows : rows.slice(0, MAX_FLOWS);
  const more = rows.length > shown.length ? `and ${rows.length - shown.length} more (-o wide)\n` : "";
  return tableOfNodes(reports, ["FLOW", "CLIENT", "CAME TO", "IS WITH", "FORGOTTEN IN"], shown) + more;
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}
