// A packet that policy refuses: which one, where in it, and what it would take. Pure.
import type { NetworkPolicy } from "kubernetes-types/networking/v1";
import { type Addr, formatAddr } from "#ip";
import { internalAddrsOf, keyOf, type Stored } from "#kube";
import {
  type DirectionJudgement,
  type Flow,
  type FlowEnd,
  type Judgement,
  judge,
  type NearMiss,
  type Opened,
  type Policy,
  type PolicyRef,
  parseClusterPolicy,
  parsePolicy,
  podFacts,
  type World,
} from "#netpol";
import { podOf } from "./question.ts";
import type { Cause, ClusterObjects, Ending, Scene, YamlPlace } from "./types.ts";
import { yamlPlace } from "./yaml-place.ts";

const MOST_OPENED = 5;

export function policyCause(scene: Scene, ending: Ending): Cause {
  const { objects } = scene;
  const flow = flowOf(scene, ending);
  const judgement = judge(worldOf(objects), flow, { nearMisses: 3, opens: true });
  const direction = directionOf(ending, judgement);
  const judged = judgement[direction];
  const facts = ending.by === undefined ? [] : [`on ${ending.namespace}: ${ending.by.text}`];
  if (judged.allowed) {
    const led = ending.by?.led.join(", ") ?? "";
    const sentence = `the ${direction} rules on ${ending.namespace} refuse it${led === "" ? "" : ` (${led})`}, though the policies of the API allow it now`;
    return { code: "policy", sentence, facts: [...facts, "the kernel's rules are older than the API's objects, or not made from them"] };
  }
  const other = judgement[direction === "egress" ? "ingress" : "egress"];
  if (!other.allowed) facts.push(`${other.direction} ${other.subject ?? ""} would refuse it, too: ${decidedText(other)}`);
  return { ...explain(objects, judged), facts: [...facts, ...isolationFacts(judged), ...judgement.notes.map(({ text }) => text)] };
}

/** A connection by its ends, after a Service's translation. */
export interface AskedFlow {
  readonly from: Addr;
  readonly to: Addr;
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly port?: number;
}

/** What policies say of it now, and for each direction that refuses it why, and what it would take. */
export function explainFlow(
  objects: ClusterObjects,
  asked: AskedFlow,
): { readonly judgement: Judgement; readonly causes: readonly Cause[] } {
  const from = endOf(objects, asked.from);
  const to = endOf(objects, asked.to);
  const { protocol, port } = asked;
  const ends = { from: withOwnNode(objects, from, to), to: withOwnNode(objects, to, from) };
  const flow: Flow = { ...ends, protocol, ...(port !== undefined && { port }) };
  const judgement = judge(worldOf(objects), flow, { nearMisses: 3, opens: true });
  const refusing = [judgement.egress, judgement.ingress].filter(({ allowed }) => !allowed);
  return { judgement, causes: refusing.map((judged) => ({ ...explain(objects, judged), facts: isolationFacts(judged) })) };
}

function directionOf({ by }: Ending, judgement: Judgement): "egress" | "ingress" {
  if (by?.chain.startsWith("egress") === true) return "egress";
  if (by?.chain.startsWith("ingress") === true) return "ingress";
  return judgement.egress.allowed ? "ingress" : "egress";
}

function explain(objects: ClusterObjects, judged: DirectionJudgement): Cause {
  const { direction, decidedBy, subject = "" } = judged;
  if (decidedBy.by === "rule") {
    const { policy, path, portPath, action = "Deny" } = decidedBy;
    const sentence = `${refText(policy)} ${path} says ${action}: pod ${subject} may not ${direction === "egress" ? "ask" : "be asked"}`;
    const yaml = [path, ...(portPath === undefined ? [] : [portPath])].flatMap((at) => placeOf(objects, policy, at));
    return { code: "policy", sentence, facts: [], yaml };
  }
  const policies = decidedBy.by === "default deny" ? decidedBy.policies : [];
  const names = policies.map(refText).join(", ");
  const { nearMisses } = judged;
  const places = nearMisses.slice(0, 1).flatMap((miss) => placesOf(objects, miss));
  const isolating = judged.isolatedBy.slice(0, 1).flatMap(({ policy, path }) => placeOf(objects, policy, path));
  return {
    code: "policy default deny",
    sentence: `${names} ${policies.length === 1 ? "isolates" : "isolate"} pod ${subject} for ${direction}, and no rule allows this`,
    facts: [],
    yaml: places.length > 0 ? places : isolating,
    nearMisses: nearMisses.map(missText),
    fixes: nearMisses.flatMap(fixText),
  };
}

function decidedText({ decidedBy }: DirectionJudgement): string {
  if (decidedBy.by === "rule") return `${refText(decidedBy.policy)} ${decidedBy.path}`;
  return decidedBy.by === "default deny" ? decidedBy.policies.map(refText).join(", ") : decidedBy.by;
}

function isolationFacts({ isolatedBy, direction, subject = "" }: DirectionJudgement): string[] {
  return isolatedBy.map(({ policy, because }) => {
    const why =
      because.length === 0 ? "every pod of its namespace" : because.map(({ term, label }) => `${term} (the pod has ${label})`).join(", ");
    return `${refText(policy)} selects pod ${subject} for ${direction}: ${why}`;
  });
}

function refText({ kind, key }: PolicyRef): string {
  return `${kind} ${key}`;
}

function missText({ policy, path, matched, lacks }: NearMiss): string {
  const has = matched.length === 0 ? "" : ` has ${matched.map(({ text }) => text).join(", ")}, but`;
  const wants = lacks.map(({ text }) => text).join("; ");
  return `${refText(policy)} ${path}:${has} ${wants === "" ? "it has no rules" : wants}`;
}

function fixText({ fix, opens }: NearMiss): string[] {
  if (fix === undefined) return [];
  if (opens === undefined) return [fix.text];
  if (opens.length === 0) return [`${fix.text}; that opens nothing else`];
  const more = opens.length > MOST_OPENED ? ` and ${opens.length - MOST_OPENED} more` : "";
  return [`${fix.text}; that opens besides: ${opens.slice(0, MOST_OPENED).map(openedText).join(", ")}${more}`];
}

const PROTOCOLS: Readonly<Record<number, string>> = { 6: "TCP", 17: "UDP", 132: "SCTP" };

function openedText({ from, to, protocol, first, last }: Opened): string {
  if (protocol === "other") return `${from} → ${to} protocols without ports`;
  const ports = first === last ? String(first) : first <= 1 && last === 65_535 ? "all" : `${first}-${last}`;
  return `${from} → ${to} ${ports}/${PROTOCOLS[protocol] ?? protocol}`;
}

function placesOf(objects: ClusterObjects, { policy, path, lacks }: NearMiss): YamlPlace[] {
  const paths = lacks.length === 0 ? [path] : [...new Set(lacks.map((lack) => lack.path))];
  return paths.flatMap((at) => placeOf(objects, policy, at));
}

function placeOf({ networkPolicies, clusterNetworkPolicies }: ClusterObjects, { kind, key }: PolicyRef, path: string): YamlPlace[] {
  const all = kind === "NetworkPolicy" ? networkPolicies : clusterNetworkPolicies;
  const found = all.find((object) => keyOf(object) === key);
  return found === undefined ? [] : [yamlPlace({ ...found, kind }, path)];
}

function worldOf(objects: ClusterObjects): World {
  const policies = new Map<string, Map<string, Policy>>();
  for (const object of objects.networkPolicies) {
    const policy = parsePolicy(object as Stored<NetworkPolicy>);
    const own = policies.get(policy.namespace) ?? new Map<string, Policy>();
    policies.set(policy.namespace, own.set(policy.key, policy));
  }
  return {
    cluster: {
      pods: new Map(objects.pods.map((pod) => [keyOf(pod), podFacts(pod)])),
      namespaces: new Map(objects.namespaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}])),
    },
    policies,
    clusterPolicies: objects.clusterNetworkPolicies.map((object) => parseClusterPolicy(object)),
  };
}

/** As the policies' hook has it: after a Service's translation of the destination, with the source that the asker has. */
function flowOf({ objects, ask }: Scene, { packet, direction }: Ending): Flow {
  const [src, dst] = direction === "request" ? [packet.src, packet.dst] : [packet.dst, packet.src];
  const from = endOf(objects, src);
  const to = endOf(objects, dst);
  const port = direction === "request" ? packet.dstPort : ask.dstPort;
  return {
    from: withOwnNode(objects, from, to),
    to: withOwnNode(objects, to, from),
    protocol: packet.protocol,
    ...(port !== undefined && { port }),
  };
}

function endOf(objects: ClusterObjects, addr: Addr): FlowEnd {
  const pod = podOf(objects, addr);
  return { addr, ...(pod !== undefined && { pod: podFacts(pod) }) };
}

function withOwnNode({ nodes }: ClusterObjects, end: FlowEnd, other: FlowEnd): FlowEnd {
  if (end.pod !== undefined || other.pod === undefined) return end;
  const node = nodes.find((one) => internalAddrsOf(one).addrs.some((addr) => formatAddr(addr) === formatAddr(end.addr)));
  return node === undefined ? end : { ...end, isOwnNode: node.metadata.name === other.pod.nodeName };
}
