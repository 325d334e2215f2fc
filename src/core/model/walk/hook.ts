// What happens to a packet at a hook. Mirrors nf_hook_slow (net/netfilter/core.c), nf_nat_inet_fn (net/netfilter/nf_nat_core.c) and
// nf_confirm (net/netfilter/nf_conntrack_proto.c).
import type { Hook } from "#nft";
import { bindNothing, isBound, type Manip, translate } from "../conntrack/nat.ts";
import { track } from "../conntrack/track.ts";
import { type Final, runChain } from "../evaluate/chain.ts";
import type { Evaluation, RuleStep, Skb } from "../evaluate/evaluation.ts";
import { isIcmpError, type Packet } from "../packet.ts";
import type { HookEntry, HookedChain } from "./hook-order.ts";
import type { Host } from "./host.ts";
import { icmpAnswer, resetAnswer } from "./refuse.ts";
import type { By, End } from "./result.ts";
import { dropped, type Ended, type OpenHop, type Run, refused } from "./run.ts";

export interface AtHook {
  readonly run: Run;
  readonly host: Host;
  readonly hop: OpenHop;
  readonly hook: Hook;
  readonly skb: Skb;
  readonly linkIn: string | undefined;
  readonly linkOut: string | undefined;
}

/** Undefined: the packet goes on, perhaps changed. */
export function passHook(at: AtHook): Ended | undefined {
  const { host, hook, skb } = at;
  const entries = host.hooks(skb.packet.src.family, hook);
  for (const entry of entries) {
    const ended = passEntry(at, entry);
    if (ended !== undefined) return ended;
  }
  return hook === "input" || hook === "postrouting" ? confirm(at) : undefined;
}

function passEntry(at: AtHook, entry: HookEntry): Ended | undefined {
  switch (entry.kind) {
    case "chain":
      return passChain(at, entry);
    case "conntrack":
      return passConntrack(at);
    case "nat":
      return passNat(at, entry.chains);
  }
}

function passChain(at: AtHook, { table, chain }: HookedChain): Ended | undefined {
  const { run, host, hop, hook, skb, linkIn, linkOut } = at;
  const steps: RuleStep[] | undefined = run.record ? [] : undefined;
  const evaluation: Evaluation = {
    skb,
    family: skb.packet.src.family,
    hook,
    linkIn,
    linkOut,
    around: run.around(host),
    dynamic: run.dynamic(host),
    choices: run.choices,
    now: run.now,
    elements: undefined,
    steps,
  };
  const final = runChain(table, chain, evaluation);
  for (const step of steps ?? []) hop.decisions.push({ kind: "rule", hook, ...step });
  if (final === undefined) {
    if (chain.base.policy === "accept") return undefined;
    const by: By = { table: table.table, chain: chain.name };
    run.decide(hop, () => ({ kind: "policy", hook, ...by }));
    return dropped(host, skb, "rule", by);
  }
  return endOf(at, final);
}

function endOf({ host, skb }: AtHook, final: Final): Ended | undefined {
  if (final.kind !== "reject") return final.kind === "accept" ? undefined : dropped(host, skb, "rule", final.by);
  const said = final.with === "tcp reset" ? resetAnswer(skb.packet) : icmpAnswer(host, skb.packet, final.with);
  if (said === undefined) return dropped(host, skb, "rule", final.by);
  return refused(host, skb, "rule", { ...said, ...(final.by !== undefined && { by: final.by }) });
}

function passConntrack({ run, host, hop, skb }: AtHook): Ended | undefined {
  const { conntrackMax: max, tcpLoose: loose } = host.settings;
  if (track(skb, { table: run.conntrack(host), now: run.now, max, loose }) === "full") return dropped(host, skb, "conntrack full");
  run.decide(hop, () => ({ kind: "conntrack", state: skb.ctState, direction: skb.ctDirection }));
  return undefined;
}

/** Chains are asked for the first packet of a connection only, and for what was made in answer to it. */
function passNat(at: AtHook, chains: readonly HookedChain[]): Ended | undefined {
  const { run, host, hop, hook, skb } = at;
  const { ct } = skb;
  if (ct === undefined) return undefined;
  const what: Manip = hook === "prerouting" || hook === "output" ? "destination" : "source";
  // An error is translated back and no more (nf_nat_icmp_reply_translation).
  if (skb.ctState !== "established" && !isIcmpError(skb.packet) && !isBound(ct, what)) {
    for (const each of chains) {
      const ended = passChain(at, each);
      if (ended !== undefined) return ended;
      if (isBound(ct, what)) break;
    }
    if (!isBound(ct, what)) bindNothing(ct, what, { table: run.conntrack(host), choices: run.choices });
  }
  const before = skb.packet;
  if (translate(skb, what))
    run.decide(hop, () => ({ kind: "nat", what, from: endOfPacket(before, what), to: endOfPacket(skb.packet, what) }));
  return undefined;
}

function endOfPacket({ src, dst, srcPort, dstPort }: Packet, what: Manip): End {
  const [addr, port] = what === "source" ? [src, srcPort] : [dst, dstPort];
  return { addr, ...(port !== undefined && { port }) };
}

/** Only now the connection is one, if it is the original direction's packet. */
function confirm({ run, host, skb }: AtHook): Ended | undefined {
  const { ct, ctDirection } = skb;
  if (ct === undefined || ctDirection !== "original") return undefined;
  return run.conntrack(host).confirm(ct) ? undefined : dropped(host, skb, "conntrack clash");
}
