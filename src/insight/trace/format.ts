// A trace as text: two columns, what should happen beside what did, then the one verdict. Pure.
import { formatAddr, formatAddrPort } from "#ip";
import * as model from "#model";
import type { TraceSighting } from "#observe";
import { flowSteps, marksOf, waysAsSeen } from "./correlate.ts";
import type { Cause, Leg, Observed, SeenPoint, Trace, Way, YamlPlace } from "./types.ts";

type Style = "bold" | "dim" | "red" | "green" | "yellow";

export type Paint = (style: Style, text: string) => string;

const PLAIN: Paint = (_, text) => text;

interface Row {
  readonly predicted: string;
  readonly observed?: string;
  readonly style?: Style;
}

export function formatTrace(trace: Trace, paint: Paint = PLAIN): string {
  const { dns, leg } = trace;
  const parts = [`${paint("bold", trace.question)}\n`];
  if (dns !== undefined) parts.push(formatDns(dns, paint));
  if (leg !== undefined) parts.push(formatLeg(leg, paint));
  const differences = [...(dns?.leg?.differences ?? []), ...(leg?.differences ?? [])];
  for (const text of differences) parts.push(`${paint("yellow", "difference:")} ${text}\n`);
  if (trace.cause !== undefined) parts.push(formatCause(trace.cause, paint));
  const style = trace.verdict === "allowed" ? "green" : "red";
  parts.push(`${paint(style, trace.sentence)}\n`);
  return parts.join("\n");
}

function formatDns(dns: NonNullable<Trace["dns"]>, paint: Paint): string {
  const { leg } = dns;
  const head = `${paint("bold", "DNS")} ${dns.name}: ${dns.answer ?? dns.cause?.sentence ?? "not asked (no probe)"}\n`;
  if (leg === undefined) return head;
  const isLost = dns.cause !== undefined && dns.cause.code !== "no such name";
  return isLost ? `${head}\n${formatLeg(leg, paint)}` : `${head}  asked at ${leg.ask.text}${rtt(leg.observed)}\n`;
}

function rtt(observed: Observed | undefined): string {
  return observed?.probe.rttUs === undefined ? "" : `, ${(observed.probe.rttUs / 1000).toFixed(1)} ms`;
}

function formatLeg(leg: Leg, paint: Paint): string {
  const { predicted, observed } = leg;
  const [way, ...others] = waysAsSeen(leg);
  if (way === undefined) return "";
  const rows: Row[] = [
    { predicted: "PREDICTED", ...(observed && { observed: "OBSERVED" }), style: "bold" },
    ...walkRows("request", way.roundTrip.request, leg),
    ...(way.roundTrip.reply === undefined ? [] : walkRows("reply", way.roundTrip.reply, leg)),
    { predicted: outcomeText(way), ...(observed && { observed: probeText(observed) }), style: "bold" },
    ...(predicted.large === undefined ? [] : [{ predicted: largeText(predicted.large), style: "yellow" as const }]),
  ];
  return [
    columns(rows, paint),
    endpointText(way, others, paint),
    ...(observed?.problems ?? []).map((one) => paint("dim", `not watched: ${one}\n`)),
  ]
    .filter((part) => part !== "")
    .join("\n");
}

function walkRows(name: "request" | "reply", walk: model.Walk, leg: Leg): Row[] {
  return [
    { predicted: `${name}:`, style: "dim" },
    ...walk.hops.flatMap((hop) => hopRows(hop, name, leg)),
    { predicted: `  ${endText(walk.end)}` },
  ];
}

function hopRows(hop: model.Hop, direction: SeenPoint["direction"], leg: Leg): Row[] {
  const { observed } = leg;
  const way = `${hop.linkIn ?? "made here"} → ${hop.linkOut ?? "ends here"}`;
  const before = model.formatPacket(hop.before);
  const after = model.formatPacket(hop.after);
  const decisions = hop.decisions.map((decision): Row => {
    const text = `      ${model.formatDecision(decision)}`;
    const traced = decision.kind === "rule" && observed !== undefined ? stepText(decision, hop.namespace, leg) : undefined;
    return { predicted: text, ...(traced !== undefined && { observed: traced }), style: "dim" };
  });
  return [
    { predicted: `  ${hop.namespace}  ${way}`, ...(observed && { observed: seenText(hop, direction, observed) }) },
    { predicted: `      ${before}` },
    ...decisions,
    ...(after === before ? [] : [{ predicted: `      becomes ${after}` }]),
  ];
}

function seenText({ namespace, linkIn, linkOut, before }: model.Hop, direction: SeenPoint["direction"], { points }: Observed): string {
  const start = points[0]?.timeNs ?? 0n;
  const at = (link: string | undefined, way: "in" | "out"): string[] => {
    if (link === undefined || link === "lo") return [];
    const found = points.find(
      (one) =>
        one.namespace === namespace &&
        one.link === link &&
        one.way === way &&
        one.direction === direction &&
        one.isEncapsulated === (before.vxlan !== undefined),
    );
    return [found === undefined ? `${way} ${link}: not seen` : `${way} ${link} +${(found.timeNs - start) / 1000n} µs`];
  };
  return [...at(linkIn, "in"), ...at(linkOut, "out")].join(", ");
}

function stepText(step: model.RuleStep, namespace: string, { observed, ask, predicted }: Leg): string | undefined {
  if (observed === undefined) return undefined;
  const steps = flowSteps(observed.sightings, marksOf(ask, predicted, observed.clientPort));
  const comment = step.comment ?? step.elements?.find(({ element }) => element.comment !== undefined)?.element.comment;
  const isIt = (one: TraceSighting): boolean =>
    one.namespace === namespace && `${one.family} ${one.table}` === step.table && one.chain === step.chain && one.comment === comment;
  const found = steps.find(({ sighting }) => sighting.step === "rule" && isIt(sighting));
  return found === undefined
    ? undefined
    : `traced: ${found.sighting.verdict}${found.sighting.target === undefined ? "" : ` ${found.sighting.target}`}`;
}

function endText(end: model.WalkEnd): string {
  if (end.kind === "delivered") return `delivered in ${end.namespace}${end.listener?.name === undefined ? "" : ` to ${end.listener.name}`}`;
  return `${end.kind} in ${end.namespace}: ${end.why}${end.kind === "refused" ? ` (${end.with})` : ""}`;
}

function outcomeText({ roundTrip: { outcome } }: Way): string {
  if (outcome.kind === "answered") {
    const { addr, port } = outcome.seenAs;
    return `answered by ${outcome.by}, which sees ${port === undefined ? formatAddr(addr) : formatAddrPort(addr, port)}`;
  }
  return outcome.kind === "refused"
    ? `refused by ${outcome.by} with ${outcome.with}`
    : `silence: the ${outcome.direction} ends in ${outcome.at}`;
}

function probeText({ probe, verdict }: Observed): string {
  const { outcome, errno, message } = probe;
  const what = outcome === "answered" ? `answered${probe.rttUs === undefined ? "" : ` in ${(probe.rttUs / 1000).toFixed(1)} ms`}` : outcome;
  return [what === "silence" && verdict === "allowed" ? "delivered, not answered" : what, errno, message]
    .filter((part) => part !== undefined)
    .join(", ");
}

function largeText({ bytes, roundTrip }: NonNullable<Leg["predicted"]["large"]>): string {
  const { end } = roundTrip.reply?.end.kind === "delivered" || roundTrip.reply === undefined ? roundTrip.request : roundTrip.reply;
  return `a packet of ${bytes} bytes: ${endText(end)}`;
}

function endpointText(way: Way, others: readonly Way[], paint: Paint): string {
  const all = [way, ...others].filter(({ endpoint }) => endpoint !== undefined);
  if (all.length === 0) return "";
  const lines = all.map(({ endpoint, probability, roundTrip }, i) => {
    if (endpoint === undefined) return "";
    const at = endpoint.port === undefined ? formatAddr(endpoint.addr) : formatAddrPort(endpoint.addr, endpoint.port);
    const chance = `${(probability * 100).toFixed(probability < 1 ? 1 : 0)} %`;
    const why = i === 0 ? endpoint.why.join("; ") : (endpoint.why[1] ?? "");
    return `  ${i === 0 ? "→" : " "} ${endpoint.pod ?? at}  ${at}  ${chance}  ${roundTrip.outcome.kind}  ${paint("dim", why)}`;
  });
  return `${paint("bold", "endpoints")} (→ the one above)\n${lines.join("\n")}\n`;
}

function columns(rows: readonly Row[], paint: Paint): string {
  const hasObserved = rows.some(({ observed }) => observed !== undefined);
  const width = Math.min(
    100,
    Math.max(...rows.filter(({ observed }) => (observed ?? "") !== "").map(({ predicted }) => predicted.length), 0),
  );
  return rows
    .map(({ predicted, observed = "", style }) => {
      const left = style === undefined ? predicted : paint(style, predicted);
      const gap = " ".repeat(Math.max(1, width - predicted.length + 2));
      return hasObserved && observed !== "" ? `${left}${gap}${observed}\n` : `${left}\n`;
    })
    .join("");
}

export function formatCause({ code, facts, yaml = [], nearMisses = [], fixes = [] }: Cause, paint: Paint): string {
  const block = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : [`${paint("bold", title)}\n${lines.map((line) => `  ${line}\n`).join("")}`];
  return [
    ...block(`cause: ${code}`, facts),
    ...yaml.map((place) => formatPlace(place, paint)),
    ...block("nearest rules", nearMisses),
    ...block("smallest fix", fixes),
  ].join("\n");
}

function formatPlace({ object, path, lines }: YamlPlace, paint: Paint): string {
  const shown = lines.map(({ number, text, at }) => {
    const line = `${at ? "→" : " "} ${String(number).padStart(4)} ${text}`;
    return `  ${at ? paint("red", line) : paint("dim", line)}\n`;
  });
  return `${paint("bold", object)}  ${path}\n${shown.join("")}`;
}
