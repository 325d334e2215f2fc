// One trace from beginning to end: resolve, read, predict, send, compare.
import { formatAddr, parseAddr } from "#ip";
import { keyOf } from "#kube";
import type * as model from "#model";
import { mergeReports, type NodeReport } from "#observe";
import type { ServiceReport } from "#proxy";
import { differences } from "./compare.ts";
import { waysAsSeen } from "./correlate.ts";
import { traceName } from "./dns.ts";
import type { ObserverDoor } from "./gather.ts";
import { observe } from "./observe.ts";
import { predict } from "./predict.ts";
import { resolveQuestion } from "./question.ts";
import type { Ask, Cause, ClusterObjects, Leg, Predicted, RawQuestion, Scene, Trace, Verdict } from "./types.ts";

export interface TraceInput {
  readonly objects: ClusterObjects;
  readonly reports: readonly NodeReport[];
  readonly doors: readonly ObserverDoor[];
  readonly probes: boolean;
  /** What a node does for a Service (`namespace/name`). */
  readonly serviceReport: (node: string, key: string) => Promise<ServiceReport | undefined>;
}

/** Throws InputError for a question that names nothing that there is. */
export async function trace(raw: RawQuestion, input: TraceInput): Promise<Trace> {
  const resolved = resolveQuestion(raw, input.objects);
  if (resolved.kind === "impossible") {
    const { cause } = resolved;
    return { question: `${raw.from} → ${raw.to}`, verdict: "silence", sentence: `nothing can be sent: ${cause.sentence}`, cause };
  }
  const named = resolved.lookup === undefined ? undefined : await traceName(resolved.lookup, input);
  const ask = resolved.kind === "ask" ? resolved.ask : named?.askFor(resolved);
  const question = `${raw.from} → ${ask?.text ?? raw.to}`;
  if (named?.dns.cause !== undefined || ask === undefined) {
    const cause = named?.dns.cause;
    const sentence = `silence: ${cause?.sentence ?? "the name is not known"}`;
    return { question, ...(named && { dns: named.dns }), verdict: "silence", sentence, ...(cause && { cause }) };
  }
  const leg = await traceLeg(ask, input);
  return { question: `${ask.from.text} → ${ask.text}`, ...(named && { dns: named.dns }), leg, ...concluded(leg) };
}

export async function traceLeg(ask: Ask, input: TraceInput, payload?: Uint8Array): Promise<Leg> {
  const { reports, objects, doors } = input;
  const service = await serviceOf(ask, input);
  const { state, memory } = withFullTables(mergeReports(reports), reports);
  const scene: Scene = { objects, reports, state, ask, ...(service && { service }) };
  const predicted = predict(scene, memory);
  if (!input.probes) return { ask, predicted, differences: [] };
  const sent = payload ?? payloadOf(ask, predicted);
  const observed = await observe(doors, scene, predicted, sent === undefined ? {} : { payload: sent });
  return { ask, predicted, observed, differences: differences(scene, predicted, observed) };
}

/** Translation happens where the asker's packets first meet a node. */
async function serviceOf({ to, from }: Ask, { objects, serviceReport }: TraceInput): Promise<ServiceReport | undefined> {
  if (to.kind !== "service") return undefined;
  const { place, pod } = from;
  const first = objects.nodes[0]?.metadata.name;
  const node = place.kind === "node" ? place.name : (pod?.spec?.nodeName ?? first);
  return node === undefined ? undefined : serviceReport(node, keyOf(to.service));
}

const CONNTRACK_MAX = "net/netfilter/nf_conntrack_max";
const NOBODY = parseAddr("0.0.0.0");

/** A table that is full is told to the model as one with room for one connection, and that one in it: hundreds of thousands say no more. */
export function withFullTables(
  state: model.NetworkState,
  reports: readonly NodeReport[],
): { readonly state: model.NetworkState; readonly memory?: model.Memory } {
  const uses = reports.flatMap(({ namespaces }) => namespaces).map((one) => [one.state.name, one.conntrack] as const);
  const full = new Set(uses.filter(([, { count, max }]) => max > 0 && count >= max).map(([name]) => name));
  if (full.size === 0) return { state };
  const tuple: model.Tuple = { src: NOBODY, dst: NOBODY, protocol: 0, srcPort: 0, dstPort: 0 };
  const entry: model.ConntrackEntry = { original: tuple, reply: tuple, status: 0, mark: 0, expiresMs: Number.POSITIVE_INFINITY };
  const namespaces = state.namespaces.map((one) =>
    full.has(one.name) ? { ...one, sysctls: { ...one.sysctls, [CONNTRACK_MAX]: 1 } } : one,
  );
  return { state: { namespaces }, memory: { conntrack: Object.fromEntries([...full].map((name) => [name, [entry]])), elements: {} } };
}

/** RFC 7323: in every segment, with its padding. */
const TIMESTAMP_BYTES = 12;

/** A datagram that most test servers answer. */
const DATAGRAM = "hostname";

function payloadOf({ protocol, dst }: Ask, { large }: Predicted): Uint8Array | undefined {
  if (protocol === "udp") return new TextEncoder().encode(DATAGRAM);
  if (protocol !== "tcp" || large === undefined) return undefined;
  // One segment of full size: more go as one large packet, which links let pass whatever their MTU (is_skb_forwardable, GSO).
  const size = large.bytes - (dst.family === 4 ? 40 : 60) - TIMESTAMP_BYTES;
  const line = `GET / HTTP/1.0\r\nHost: ${formatAddr(dst)}\r\nX-Fill: `;
  return new TextEncoder().encode(`${line}${"x".repeat(Math.max(0, size - line.length - 4))}\r\n\r\n`);
}

function concluded(leg: Leg): {
  readonly verdict: Verdict | "depends";
  readonly sentence: string;
  readonly cause?: Cause;
} {
  const { predicted, observed } = leg;
  const verdict = observed?.verdict ?? (predicted.large === undefined ? predicted.verdict : "silence");
  const cause = observed === undefined ? predicted.cause : verdict === "allowed" ? undefined : (observed.cause ?? predicted.cause);
  const said = observed === undefined ? " (predicted)" : "";
  const [way] = waysAsSeen(leg);
  const by = way?.roundTrip.outcome.kind === "answered" ? `${way.roundTrip.outcome.by} answers` : "it is answered";
  const note = observed?.cause?.code === "no answer" ? `; ${observed.cause.sentence}` : "";
  const why = verdict === "allowed" ? `${by}${note}` : (cause?.sentence ?? "no cause was found");
  const large = predicted.large !== undefined && verdict !== "allowed" ? "large packets only: " : "";
  return { verdict, sentence: `${verdict}${said}: ${large}${why}`, ...(cause && { cause }) };
}
