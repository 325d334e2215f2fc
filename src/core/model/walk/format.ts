// A walk as lines for people, and for golden tests.
import { type Addr, formatAddr, formatAddrPort, formatMac, formatPrefix } from "#ip";
import { formatElement, formatVerdict } from "#nft";
import type { RuleStep, RuleVerdict } from "../evaluate/evaluation.ts";
import { formatPacket } from "../packet.ts";
import type { By, Decision, End, Hop, Outcome, RoundTrip, Walk, WalkEnd } from "./result.ts";

export function formatRoundTrip({ outcome, request, reply }: RoundTrip): string {
  const lines = [...formatWalk("request", request), ...(reply === undefined ? [] : formatWalk("reply", reply)), formatOutcome(outcome)];
  return lines.join("\n");
}

function formatWalk(name: string, { hops, end }: Walk): string[] {
  return [`${name}:`, ...hops.flatMap(formatHop), `  ${formatEnd(end)}`];
}

function formatHop(hop: Hop): string[] {
  const way = `${hop.linkIn ?? "made here"} → ${hop.linkOut ?? "ends here"}`;
  const same = formatPacket(hop.before) === formatPacket(hop.after);
  const packets = same ? [formatPacket(hop.before)] : [formatPacket(hop.before), `  becomes ${formatPacket(hop.after)}`];
  return [
    `  ${hop.namespace}: ${way}: ${packets[0]}`,
    ...hop.decisions.map((decision) => `    ${formatDecision(decision)}`),
    ...packets.slice(1).map((line) => `  ${line}`),
  ];
}

/** One line. */
export function formatDecision(decision: Decision): string {
  switch (decision.kind) {
    case "rule":
      return `${decision.hook}: ${formatRuleStep(decision)}`;
    case "policy":
      return `${decision.hook}: ${decision.table} ${decision.chain}: policy drop`;
    case "conntrack":
      return `conntrack: ${decision.state}${decision.direction === "reply" ? " (reply)" : ""}`;
    case "nat":
      return `${decision.what} ${formatEndOfPacket(decision.from)} becomes ${formatEndOfPacket(decision.to)}`;
    case "route":
      return `route: ${decision.type === "unicast" ? "" : `${decision.type} `}${formatPrefix(decision.dst)}${via(decision.via)}${dev(decision.link)}`;
    case "neigh":
      return `neighbour: ${formatAddr(decision.addr)} is at ${formatMac(decision.mac)} (${decision.how})`;
    case "bridge":
      return `bridge ${decision.bridge}: ${decision.from ?? "itself"} → ${decision.to}`;
    case "encapsulate":
      return `vxlan ${decision.vni} at ${decision.link}: to ${formatAddr(decision.to)}`;
    case "decapsulate":
      return `vxlan ${decision.vni}: comes out of ${decision.link}`;
    case "fragment":
      return `fragmented to ${decision.mtu} bytes`;
  }
}

function via(addr: Addr | undefined): string {
  return addr === undefined ? "" : ` via ${formatAddr(addr)}`;
}

function dev(link: string | undefined): string {
  return link === undefined ? "" : ` dev ${link}`;
}

function formatRuleStep({ table, chain, index, comment, verdict, elements = [] }: RuleStep): string {
  const words = [`${table} ${chain} ${index + 1}`];
  if (comment !== undefined) words.push(`"${comment}"`);
  for (const { set, element, header } of elements) words.push(`@${set} { ${formatElement(header, element)} }`);
  if (verdict !== undefined) words.push(`→ ${formatRuleVerdict(verdict)}`);
  return words.join(" ");
}

function formatRuleVerdict(verdict: RuleVerdict): string {
  return verdict.kind === "reject" ? `reject with ${verdict.with}` : formatVerdict(verdict);
}

function formatEndOfPacket({ addr, port }: End): string {
  return port === undefined ? formatAddr(addr) : formatAddrPort(addr, port);
}

function formatEnd(end: WalkEnd): string {
  if (end.kind === "delivered") return `delivered in ${end.namespace}${end.listener?.name === undefined ? "" : ` to ${end.listener.name}`}`;
  const by = end.by === undefined ? "" : ` by ${formatBy(end.by)}`;
  return end.kind === "dropped"
    ? `dropped in ${end.namespace}: ${end.why}${by}`
    : `refused in ${end.namespace} with ${end.with}: ${end.why}${by}`;
}

function formatBy(by: By): string {
  if (!("index" in by)) return `policy of ${by.table} ${by.chain}`;
  return `${by.table} ${by.chain} ${by.index + 1}${by.comment === undefined ? "" : ` "${by.comment}"`}`;
}

function formatOutcome(outcome: Outcome): string {
  switch (outcome.kind) {
    case "answered":
      return `answered by ${outcome.by}, which sees ${formatEndOfPacket(outcome.seenAs)}`;
    case "refused":
      return `refused by ${outcome.by} with ${outcome.with}: ${outcome.why}`;
    case "silence":
      return `silence: ${outcome.direction} ends in ${outcome.at}: ${outcome.why}`;
  }
}
