// An answer in words. Pure.
import { formatAddr } from "#ip";
import type { Answer, ServiceLine } from "./answer.ts";
import { formatReasons, type Line } from "./lines.ts";
import { formatPoint, formatPorts } from "./ports.ts";
import type { Reached } from "./services.ts";

const SHOWN = 40;

export function formatAnswer(answer: Answer, all: boolean): string {
  const { names, lines, services, dns, connections, probes, findings, notes } = answer;
  const policies = lines.map((line) => formatLine(line, names));
  const sections = [
    section("Who reaches whom", policies.length === 0 ? ["  nothing changes"] : policies, all),
    section("Through Services", serviceTexts(services, names), all),
    section(
      "Connections that are cut",
      connections.map(({ connection, fromPod, toPod, by }) => {
        const { from, to, protocol, port } = connection;
        return `  ${fromPod ?? formatAddr(from)} -> ${toPod ?? formatAddr(to)} ${formatProtocol(protocol)} ${port}: by ${formatReasons(by)}`;
      }),
      all,
    ),
    section(
      "Pods that lose DNS",
      dns.lost.map((pod) => `  ${pod}`),
      all,
    ),
    section(
      "Pods that get DNS",
      dns.gained.map((pod) => `  ${pod}`),
      all,
    ),
    section(
      "Policies that do nothing",
      findings.map(({ policy, text }) => `  ${policy.kind} ${policy.key}: ${text}`),
      all,
    ),
    section(
      "Notes",
      [...notes, probesText(probes)].map((text) => `  ${text}`),
      true,
    ),
  ];
  return sections.filter((text) => text !== "").join("\n");
}

function probesText(probes: number): string {
  return probes === 0 ? "no container has probes" : `probes of ${probes} containers go on: what a node says to its own pods always passes`;
}

function section(head: string, lines: readonly string[], all: boolean): string {
  if (lines.length === 0) return "";
  const shown = all ? lines : lines.slice(0, SHOWN);
  const more = lines.length > shown.length ? `  … and ${lines.length - shown.length} more; -o wide shows them all\n` : "";
  return `${head}:\n${shown.map((line) => `${line}\n`).join("")}${more}`;
}

function formatLine({ from, to, families, ports, now, before, after }: Line, names: Answer["names"]): string {
  const was = before.every(({ by }) => by === "absent") && now === "allowed";
  const isGone = after.every(({ by }) => by === "absent") && now === "denied";
  const change = was
    ? "not there -> allowed"
    : isGone
      ? "allowed -> not there"
      : now === "denied"
        ? "allowed -> denied"
        : "denied -> allowed";
  const who = `${names.of(from)} -> ${names.of(to)}`;
  const by = isGone ? "" : `, by ${formatReasons(after)}`;
  const formerly = was || isGone || now === "denied" ? "" : ` (before: ${formatReasons(before)})`;
  return `  ${who}: ${formatPorts(ports)} ${families.map((family) => `IPv${family}`).join("+")}: ${change}${by}${formerly}`;
}

/** Families in which the same happens to the same clients are one line. */
function serviceTexts(lines: readonly ServiceLine[], names: Answer["names"]): string[] {
  const texts = lines.map((line) => ({ family: line.way.family, ...formatServiceLine(line, names) }));
  const groups = Map.groupBy(texts, ({ head, tail }) => JSON.stringify([head.replace(/ \(IPv[46]\)/, ""), tail]));
  return [...groups.values()].map((group) => {
    const [{ head, tail } = { head: "", tail: "" }] = group;
    const families = [...new Set(group.map(({ family }) => `IPv${family}`))].sort();
    return `  ${families.length > 1 ? head.replace(/ \(IPv[46]\)/, "") : head} ${families.join("+")}: ${tail}`;
  });
}

function formatServiceLine({ way, from, before, after }: ServiceLine, names: Answer["names"]): { head: string; tail: string } {
  const where = way.nodes === undefined ? "" : ` at ${way.nodes.join(", ")}`;
  const service = way.service.slice(0, way.service.lastIndexOf(":"));
  const head = `${names.of(from)} -> ${way.kind} of Service ${service}${where} ${formatProtocol(way.protocol)} ${way.port}`;
  return { head, tail: `${formatReached(before)} -> ${formatReached(after)}` };
}

function formatReached(reached: Reached | undefined): string {
  if (reached === undefined) return "not there";
  if (reached.endpoints === 0) return "no endpoints";
  if (reached.reached === reached.endpoints) return "allowed";
  if (reached.reached === 0) return "denied";
  return `${reached.reached} of ${reached.endpoints} endpoints`;
}

function formatProtocol(protocol: number): string {
  return { 6: "TCP", 17: "UDP", 132: "SCTP" }[protocol] ?? `protocol ${protocol}`;
}

/** The answer as plain data, for programs. */
export function answerJson(answer: Answer): unknown {
  const { names, lines, services, dns, connections, probes, findings, notes } = answer;
  const who = (atoms: Line["from"]): unknown => ({
    text: names.of(atoms),
    pods: atoms.flatMap((atom) => (atom.kind === "pods" ? atom.pods : [])),
    nodes: atoms.flatMap((atom) => (atom.kind === "nodes" ? atom.nodes.map(({ name }) => name) : [])),
    blocks: atoms.flatMap((atom) =>
      atom.kind === "block" ? atom.intervals.map(({ first, last }) => ({ first: addrText(first), last: addrText(last) })) : [],
    ),
  });
  return {
    changes: lines.map(({ from, to, families, ports, now, before, after, example }) => ({
      from: who(from),
      to: who(to),
      families,
      ports,
      before: now === "denied" ? "allowed" : "denied",
      after: now,
      decidedBefore: before,
      decidedAfter: after,
      example: { from: formatAddr(example.from), to: formatAddr(example.to), packet: formatPoint(example.point) },
    })),
    services: services.map(({ way, from, before, after }) => ({
      service: way.service,
      kind: way.kind,
      family: way.family,
      protocol: formatProtocol(way.protocol),
      port: way.port,
      ...(way.nodes !== undefined && { nodes: way.nodes }),
      from: who(from),
      before: before ?? null,
      after: after ?? null,
    })),
    dns,
    connections: connections.map(({ connection, fromPod, toPod, by }) => ({
      from: formatAddr(connection.from),
      to: formatAddr(connection.to),
      protocol: formatProtocol(connection.protocol),
      port: connection.port,
      fromPod: fromPod ?? null,
      toPod: toPod ?? null,
      by,
    })),
    probes: { containers: probes, broken: 0 },
    findings,
    notes,
  };
}

function addrText(value: unknown): string {
  if (typeof value !== "object" || value === null || !("family" in value)) return "";
  // Intervals of blocks hold addresses, and nothing else.
  return formatAddr(value as Parameters<typeof formatAddr>[0]);
}
