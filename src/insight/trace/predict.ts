// What should happen: the model walks the question over what the kernels hold, every way that it can go, and once more with a packet of
// full size. Pure.
import { type Addr, formatAddr, formatAddrPort } from "#ip";
import { keyOf } from "#kube";
import * as model from "#model";
import { diagnose } from "./diagnose.ts";
import { endingOf } from "./ending.ts";
import { podOf } from "./question.ts";
import { PROTOCOL_NUMBERS } from "./text.ts";
import type { Ask, Cause, Predicted, Scene, Verdict, Way } from "./types.ts";

/** Throws FairleadError where the asker has no namespace that a report tells of. */
export function predict(scene: Scene, memory?: model.Memory): Predicted {
  const network = model.prepareNetwork(scene.state);
  const question = questionOf(scene.ask);
  const options: model.WalkOptions = memory === undefined ? {} : { memory };
  const branches = model.roundTrips(network, question, options);
  const ways = merged(branches).map(({ probability, result }): Way => {
    const cause = causeOf(scene, result);
    const endpoint = endpointOf(scene, result);
    return { probability, roundTrip: result, ...(endpoint && { endpoint }), ...(cause && { cause }) };
  });
  const verdicts = new Set(ways.map(({ roundTrip }) => verdictOf(roundTrip)));
  const [verdict = "silence"] = verdicts;
  const large = verdicts.size === 1 && verdict === "allowed" ? largeOf(scene, network, options) : undefined;
  const cause = ways.find((way) => way.cause !== undefined)?.cause ?? (large && causeOf(scene, large.roundTrip));
  return { verdict: verdicts.size > 1 ? "depends" : verdict, ways, ...(large && { large }), ...(cause && { cause }) };
}

function questionOf({ from, protocol, dst, dstPort }: Ask): model.Question {
  return { from: from.namespace, protocol: PROTOCOL_NUMBERS[protocol][dst.family], dst, ...(dstPort !== undefined && { dstPort }) };
}

function verdictOf({ outcome }: model.RoundTrip): Verdict {
  return outcome.kind === "answered" ? "allowed" : outcome.kind;
}

function causeOf(scene: Scene, roundTrip: model.RoundTrip): Cause | undefined {
  const ending = endingOf(roundTrip);
  return ending && diagnose(scene, ending);
}

/** Ways that end alike and pass the same endpoint are one. */
function merged(branches: readonly model.Branch<model.RoundTrip>[]): { readonly probability: number; readonly result: model.RoundTrip }[] {
  const byEnd = Map.groupBy(branches, ({ result: { outcome, request } }) => {
    const { end } = request;
    const { dst, dstPort } = end.packet.vxlan?.packet ?? end.packet;
    return JSON.stringify([outcome.kind, "why" in outcome ? outcome.why : "", end.namespace, formatAddr(dst), dstPort]);
  });
  return [...byEnd.values()]
    .flatMap((group) => {
      const [first] = group;
      return first === undefined ? [] : { probability: group.reduce((sum, { probability }) => sum + probability, 0), result: first.result };
    })
    .toSorted((a, b) => b.probability - a.probability);
}

/** Headers of the probe's packets: IP, and TCP or UDP or ICMP. */
function headerBytes({ protocol, dst }: Ask): number {
  return (dst.family === 4 ? 20 : 40) + (protocol === "tcp" ? 20 : protocol === "sctp" ? 28 : 8);
}

/** Path MTU discovery comes to an end after a few links that are narrower than the one before. */
const MAX_NARROWER = 4;

/** A full-size segment of a connection that stands, which the handshake does not show. Undefined: it passes, or its sender hears how large it may be. */
function largeOf(scene: Scene, network: model.Network, options: model.WalkOptions): Predicted["large"] {
  const { ask, state } = scene;
  if (ask.protocol !== "tcp") return undefined;
  const asker = state.namespaces.find(({ name }) => name === ask.from.namespace);
  const first = model.roundTrip(network, questionOf(ask), () => 0, options);
  const link = asker?.links.find(({ name }) => name === first.request.hops[0]?.linkOut);
  if (link === undefined || link.type.kind === "loopback") return undefined;
  let bytes = Math.min(link.mtu ?? 1500, routeMtu(asker, first) ?? Number.POSITIVE_INFINITY);
  for (let i = 0; i < MAX_NARROWER; i++) {
    const question = { ...questionOf(ask), payload: Math.max(0, bytes - headerBytes(ask)) };
    const lost = model.roundTrips(network, question, options).find(({ result }) => result.outcome.kind !== "answered")?.result;
    if (lost === undefined) return undefined;
    const narrower = toldMtu(lost);
    if (narrower === undefined || narrower >= bytes) return { bytes, roundTrip: lost };
    bytes = narrower;
  }
  return undefined;
}

/** What "fragmentation needed" and "packet too big" tell the asker (RFC 1191, RFC 8201). */
function toldMtu({ outcome, reply }: model.RoundTrip): number | undefined {
  if (outcome.kind !== "refused" || outcome.why !== "mtu") return undefined;
  return reply?.end.packet.icmp?.mtu;
}

function routeMtu(asker: model.Namespace | undefined, { request }: model.RoundTrip): number | undefined {
  const route = request.hops[0]?.decisions.find((one) => one.kind === "route");
  if (route?.kind !== "route") return undefined;
  const prefix = formatAddr(route.dst.addr);
  return asker?.routes.find(
    ({ dst, table = 254 }) => formatAddr(dst.addr) === prefix && dst.bits === route.dst.bits && table === route.table,
  )?.mtu;
}

function endpointOf(scene: Scene, { request }: model.RoundTrip): Way["endpoint"] {
  for (const { decisions, namespace } of request.hops) {
    for (const decision of decisions) {
      if (decision.kind !== "nat" || decision.what !== "destination") continue;
      const { addr, port } = decision.to;
      const pod = podOf(scene.objects, addr);
      return {
        addr,
        ...(port !== undefined && { port }),
        ...(pod !== undefined && { pod: keyOf(pod) }),
        why: [`translated in ${namespace}`, ...whyChosen(scene, addr, port)],
      };
    }
  }
  return undefined;
}

/** In the words of the node that translates. */
function whyChosen({ service }: Scene, addr: Addr, port: number | undefined): string[] {
  if (service === undefined) return [];
  const id = port === undefined ? formatAddr(addr) : formatAddrPort(addr, port);
  const backend = service.backends.find((one) => one.id === id);
  if (backend === undefined) return ["none of the Service's endpoints"];
  const others = service.backends.filter((one) => one.id !== id);
  const out = others.filter(({ cluster }) => !cluster.in).map((one) => `${one.target ?? one.id} is out: ${one.cluster.why}`);
  const sticky = service.affinities.find((one) => one.backend === id);
  return [
    backend.cluster.why,
    ...(backend.local === undefined ? [] : [`with policy Local: ${backend.local.in ? "in" : "out"}, ${backend.local.why}`]),
    ...(sticky === undefined ? [] : [`${sticky.client} stays with it (session affinity)`]),
    ...out.slice(0, 5),
  ];
}
