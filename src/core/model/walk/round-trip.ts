// A question and what comes of it: the request's walk, and the walk back of the answer or the refusal.
import { type Addr, type Family, parseAddr } from "#ip";
import { allBranches, type Branch, byRandom, type Choices, type Random } from "../choices.ts";
import { answerTo, opening, type Packet } from "../packet.ts";
import type { Memory } from "../state.ts";
import { output } from "./output.ts";
import type { Outcome, RoundTrip, Walk } from "./result.ts";
import { dropped, EMPTY_MEMORY, type Ended, type Network, newSkb, Run } from "./run.ts";
import { sourceFor } from "./source-addr.ts";

export interface Question {
  /** The namespace that asks. */
  readonly from: string;
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly dst: Addr;
  /** Absent for ICMP. */
  readonly dstPort?: number;
  /** Absent: the address that the namespace's routes choose. */
  readonly src?: Addr;
  /** 40,000 unless told; an echo's identifier. */
  readonly srcPort?: number;
  /** Bytes after the transport header. */
  readonly payload?: number;
  /** Bits of the TCP header's flags where it is not the first segment: with `ack`, one of a connection that is there. */
  readonly tcpFlags?: number;
}

export interface WalkOptions {
  /** What was there before; nothing, unless told. */
  readonly memory?: Memory;
  /** Milliseconds on the clock of the memory; 0 unless told. */
  readonly now?: number;
  /** False: only outcome and ends, at half the cost. */
  readonly record?: boolean;
  /** True: the result has a memory, for the walks after it. */
  readonly remember?: boolean;
}

/** One way that it can go, chosen by `random`. Throws FairleadError for a namespace that does not exist. */
export function roundTrip(network: Network, question: Question, random: Random, options: WalkOptions = {}): RoundTrip {
  return once(network, question, byRandom(random), options);
}

/** All ways that it can go, with their probabilities. */
export function roundTrips(network: Network, question: Question, options: WalkOptions = {}): Branch<RoundTrip>[] {
  return allBranches((choices) => once(network, question, choices, options));
}

const UNSPECIFIED: Readonly<Record<Family, Addr>> = { 4: parseAddr("0.0.0.0"), 6: parseAddr("::") };

function once(network: Network, question: Question, choices: Choices, options: WalkOptions): RoundTrip {
  const { memory = EMPTY_MEMORY, now = 0, record = true, remember = false } = options;
  const run = new Run(network, { choices, memory, now, record });
  const asker = run.host(question.from);
  const { dst, src } = question;
  const route = src === undefined ? asker.fib.lookup({ dst }) : undefined;
  const own = src ?? (route && sourceFor(asker, route, dst));
  const packet = firstPacket(question, own ?? UNSPECIFIED[dst.family]);
  if (own === undefined) {
    run.openHop(asker, undefined, packet);
    return finish(run, remember, dropped(asker, newSkb(packet), "no route"));
  }
  run.awaited = { host: asker, question: packet };
  return finish(run, remember, output(run, asker, newSkb(packet)));
}

function firstPacket({ protocol, dst, dstPort = 0, srcPort = 40_000, payload = 0, tcpFlags }: Question, src: Addr): Packet {
  const packet = opening(protocol, { src, dst, srcPort, dstPort }, payload);
  return tcpFlags === undefined || packet.tcpFlags === undefined ? packet : { ...packet, tcpFlags };
}

function finish(run: Run, remember: boolean, there: Ended): RoundTrip {
  const request: Walk = { hops: run.takeHops(), end: there.end };
  const back = answer(run, there);
  const memory = remember ? { memory: run.memory() } : {};
  if (back === undefined) return { outcome: withoutReply(there), request, ...memory };
  const reply: Walk = { hops: run.takeHops(), end: back.end };
  return { outcome: withReply(run.awaited?.host.name, there, back), request, reply, ...memory };
}

/** Whoever got the packet answers; who refused it says so, as part of the same connection (nf_ct_attach, for errors in icmp_glue_bits). */
function answer(run: Run, { end, host, skb, answer: said }: Ended): Ended | undefined {
  if (end.kind === "dropped") return undefined;
  if (end.kind === "delivered") {
    const packet = answerTo(end.packet);
    return packet && output(run, host, newSkb(packet));
  }
  if (said === undefined) return undefined;
  const next = newSkb(said);
  // Not so what a socket says: the packet has left conntrack when it comes up to one (nf_reset_ct).
  if (end.why !== "port closed" && skb.ct !== undefined) {
    next.ct = skb.ct;
    next.ctState = "related";
    next.ctDirection = skb.ctDirection === "original" ? "reply" : "original";
  }
  return output(run, host, next);
}

function withoutReply({ end }: Ended): Outcome {
  if (end.kind === "delivered") return delivered(end);
  return {
    kind: "silence",
    at: end.namespace,
    direction: "request",
    why: end.kind === "dropped" ? end.why : "port closed",
    ...(end.by !== undefined && { rule: end.by }),
  };
}

function delivered(end: Extract<Ended["end"], { kind: "delivered" }>): Outcome {
  const { src, srcPort } = end.packet;
  const seenAs = { addr: src, ...(srcPort !== undefined && { port: srcPort }) };
  return { kind: "answered", by: end.namespace, seenAs, ...(end.listener !== undefined && { listener: end.listener }) };
}

function withReply(asker: string | undefined, there: Ended, back: Ended): Outcome {
  const { end } = back;
  if (end.kind !== "delivered" || end.namespace !== asker) {
    const why = end.kind === "delivered" ? "other host" : end.why;
    return { kind: "silence", at: end.namespace, direction: "reply", why, ...("by" in end && end.by !== undefined && { rule: end.by }) };
  }
  if (there.end.kind === "refused") {
    return {
      kind: "refused",
      by: there.end.namespace,
      with: there.end.with,
      why: there.end.why,
      ...(there.end.by !== undefined && { rule: there.end.by }),
    };
  }
  return there.end.kind === "delivered" ? delivered(there.end) : withoutReply(there);
}
