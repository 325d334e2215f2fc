// How a walk of the model ended, in the words in which causes are looked for. Pure.

import type * as model from "#model";
import { formatElement, formatVerdict } from "#nft";
import type { Culprit, Ending, FlowPacket } from "./types.ts";

/** Undefined: it was answered. */
export function endingOf({ outcome, request, reply }: model.RoundTrip): Ending | undefined {
  if (outcome.kind === "answered") return undefined;
  const direction = outcome.kind === "silence" ? outcome.direction : "request";
  const walk = direction === "reply" && reply !== undefined ? reply : request;
  const hop = walk.hops.at(-1);
  const rule = outcome.rule;
  return {
    direction,
    namespace: walk.end.namespace,
    why: outcome.why,
    said: outcome.kind === "refused" ? "refused" : "silence",
    packet: flowPacket(walk.end.packet),
    ...(hop?.linkOut !== undefined ? { link: hop.linkOut } : hop?.linkIn !== undefined && { link: hop.linkIn }),
    ...(rule !== undefined && { by: culpritOf(rule, hop) }),
  };
}

/** Of what is encapsulated, what is inside. */
function flowPacket(packet: model.Packet): FlowPacket {
  const { src, dst, protocol, dstPort, length, vxlan } = packet;
  if (vxlan !== undefined) return flowPacket(vxlan.packet);
  return { src, dst, protocol, length, ...(dstPort !== undefined && { dstPort }) };
}

type By = NonNullable<Extract<model.RoundTrip["outcome"], { kind: "silence" }>["rule"]>;

function culpritOf(by: By, hop: model.Hop | undefined): Culprit {
  const steps = (hop?.decisions ?? []).filter((one) => one.kind === "rule" && one.table === by.table);
  const led = steps.toReversed().flatMap((step) => (step.kind === "rule" ? commentsOf(step) : []));
  if (!("index" in by)) return { ...by, led, text: `policy drop of ${by.table} ${by.chain}` };
  const { table, chain, comment } = by;
  return { table, chain, led, text: formatStep(by), ...(comment !== undefined && { comment }) };
}

function commentsOf({ comment, elements = [] }: model.RuleStep): string[] {
  return [...elements.flatMap(({ element }) => element.comment ?? []), ...(comment === undefined ? [] : [comment])];
}

/** `inet fairlead-policy ingress-ab12 rule 3 "isolated": drop`. */
function formatStep({ table, chain, index, comment, verdict, elements = [] }: model.RuleStep): string {
  const words = [`${table} ${chain} rule ${index + 1}`];
  if (comment !== undefined) words.push(`"${comment}"`);
  for (const { set, element, header } of elements) words.push(`@${set} { ${formatElement(header, element)} }`);
  if (verdict !== undefined) words.push(`→ ${verdict.kind === "reject" ? `reject with ${verdict.with}` : formatVerdict(verdict)}`);
  return words.join(" ");
}
