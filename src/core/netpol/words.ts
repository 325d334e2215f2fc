// Ends, ports and entries of rules in words. Pure.
import { formatAddr, formatPrefix } from "#ip";
import { formatParsedSelector } from "#kube";
import { SCTP, TCP, UDP } from "#nft";
import type { FlowEnd } from "./judge-types.ts";
import { subjectOf } from "./match.ts";
import type { Block, PortTerm } from "./terms.ts";
import type { PeerSelector } from "./types.ts";

const PROTOCOL_NAMES: Readonly<Record<number, "TCP" | "UDP" | "SCTP">> = { [TCP]: "TCP", [UDP]: "UDP", [SCTP]: "SCTP" };

/** As the API names it; undefined where it has no name for it. */
export function protocolName(protocol: number): "TCP" | "UDP" | "SCTP" | undefined {
  return PROTOCOL_NAMES[protocol];
}

export function protocolText(protocol: number): string {
  return protocolName(protocol) ?? (protocol === 1 || protocol === 58 ? "ICMP" : `IP protocol ${protocol}`);
}

/** `80/TCP`. */
export function portText(protocol: number, port: number | undefined): string {
  return port === undefined ? protocolText(protocol) : `${port}/${protocolText(protocol)}`;
}

export function endText(end: FlowEnd): string {
  const pod = subjectOf(end);
  if (pod !== undefined) return `pod ${pod.key}`;
  return end.pod === undefined ? formatAddr(end.addr) : `${formatAddr(end.addr)} (pod ${end.pod.key}, which has no address of its own)`;
}

export function blockText({ cidr, except }: Block): string {
  return except.length === 0 ? formatPrefix(cidr) : `${formatPrefix(cidr)} except ${except.map(formatPrefix).join(", ")}`;
}

export function selectorText({ pods, namespaces }: PeerSelector, namespace: string): string {
  const who = pods.length === 0 ? "all pods" : `pods with ${formatParsedSelector(pods)}`;
  if (namespaces === undefined) return `${who} of namespace ${namespace}`;
  return namespaces.length === 0 ? `${who} of every namespace` : `${who} of namespaces with ${formatParsedSelector(namespaces)}`;
}

export function portTermText(term: Exclude<PortTerm, { kind: "nothing" }>): string {
  if (term.kind === "name") return `${term.name}/${protocolText(term.protocol)}`;
  const { protocol, first, last } = term.interval;
  if (first === 0 && last === 65_535) return `every port of ${protocolText(protocol)}`;
  return portText(protocol, first).replace("/", first === last ? "/" : `-${last}/`);
}
