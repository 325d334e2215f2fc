// The ruleset: four maps and the few chains that read them. A pod adds elements; what a packet passes stays the same.
import { FAMILIES, type Family, parseAddr, parsePrefix } from "#ip";
import {
  accept,
  type BaseChain,
  type Chain,
  concat,
  type Datatype,
  drop,
  type Expr,
  equals,
  goto,
  inPrefix,
  inSet,
  meta,
  named,
  ofFamily,
  payload,
  type Rule,
  type SetHeader,
  type Statement,
  type TableId,
} from "#nft";

export const TABLE: TableId = { family: "inet", name: "fairlead-portmap" };

const LOOPBACK = parsePrefix("127.0.0.0/8");

/**
 * One after a Service's translation (dstnat, -100): the first nat chain that translates a connection has it, and so a Service keeps
 * its node ports, load balancer addresses and externalIPs. It is what happens upstream, where Service rules stand before CNI's.
 */
const AFTER_SERVICES = 1;
const DSTNAT: number = -100 + AFTER_SERVICES;
const SRCNAT: number = 100 + AFTER_SERVICES;
/** Before conntrack: what is on the wire counts, not what an answer is translated back to. */
const RAW = -300;

export interface FamilySets {
  /** Protocol and port → pod, at every address of the node. */
  readonly anyAddr: SetHeader;
  /** Address, protocol and port → pod. */
  readonly oneAddr: SetHeader;
  /** Pod twice: who calls itself through the node needs another source address, or it answers itself directly. */
  readonly hairpin: SetHeader;
}

function familySets(family: Family): FamilySets {
  const addr: Datatype = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const pod: readonly Datatype[] = [addr, "inet_service"];
  return {
    anyAddr: { name: `host-ports${family}`, key: ["inet_proto", "inet_service"], data: pod },
    oneAddr: { name: `host-ip-ports${family}`, key: [addr, "inet_proto", "inet_service"], data: pod },
    hairpin: { name: `hairpin${family}`, key: [addr, addr] },
  };
}

export const SETS: Readonly<Record<Family, FamilySets>> = { 4: familySets(4), 6: familySets(6) };

function rule(comment: string | undefined, ...statements: readonly Statement[]): Rule {
  return comment === undefined ? { statements } : { statements, comment };
}

function addrOf(family: Family, side: "saddr" | "daddr"): Expr {
  return payload(family === 4 ? `ip ${side}` : `ip6 ${side}`);
}

function translateRules(family: Family): Rule[] {
  const { anyAddr, oneAddr } = SETS[family];
  const port = [meta("l4proto"), payload("th dport")];
  const to = (map: SetHeader, ...key: readonly Expr[]): Rule =>
    rule(undefined, ofFamily(family), {
      kind: "dnat",
      family: family === 4 ? "ip" : "ip6",
      to: { kind: "map", key: concat(...key), map: map.name, type: map.data === "verdict" ? [] : (map.data ?? []) },
    });
  return [to(oneAddr, addrOf(family, "daddr"), ...port), to(anyAddr, ...port)];
}

const MASQUERADE: Statement = { kind: "masquerade", flags: ["fully-random"] };

/**
 * Only where the answer would not come back here. Other pods keep their address: all that they say passes the node
 * (docs/adr/0005-pod-link.md), unlike on a plain bridge, where containernetworking/plugins#469 had to masquerade the whole subnet.
 */
function sourceRules(family: Family): Rule[] {
  const { hairpin } = SETS[family];
  const [saddr, daddr] = [addrOf(family, "saddr"), addrOf(family, "daddr")];
  const own = rule("a pod that calls itself", ofFamily(family), inSet(concat(saddr, daddr), hairpin.name), MASQUERADE);
  if (family === 6) return [own];
  // "daddr . daddr" is in the set when daddr is a pod of ours.
  const isPod = inSet(concat(daddr, daddr), hairpin.name);
  return [own, rule("the node, from its loopback address", ofFamily(4), inPrefix(saddr, LOOPBACK), isPod, MASQUERADE)];
}

/**
 * `route_localnet` lets 127.0.0.0/8 in from the pods' link, and others may have set it for all links: then everything that listens on
 * the loopback address would be open to who sends there (CVE-2020-8558). The kernel itself refuses ::1 from outside (ip6_rcv_core).
 */
function guardRules(): Rule[] {
  const fromOutside: Statement = { kind: "match", left: meta("iifname"), op: "!=", right: "lo" };
  return (["daddr", "saddr"] as const).map((side) =>
    rule("CVE-2020-8558", fromOutside, ofFamily(4), inPrefix(addrOf(4, side), LOOPBACK), drop()),
  );
}

function base(name: string, on: Pick<BaseChain, "type" | "hook" | "priority">, rules: readonly Rule[]): Chain {
  return { name, base: { ...on, policy: "accept" }, rules };
}

/** Everything that does not depend on pods. */
export function skeletonChains(): Chain[] {
  // For a hostIP too: a pod must not get what passes the node to somebody else's address (containernetworking/plugins#1209).
  const isOurs = equals({ kind: "fib", keys: ["daddr"], result: "type" }, named("fib_addrtype", "local"));
  const toNode = [rule(undefined, isOurs, goto("translate"))];
  // IPv6 has no route_localnet: an answer to ::1 is taken from the loopback link only (rt6_need_strict). Better refused than lost.
  const fromLoopback6 = rule("no way back to ::1", ofFamily(6), equals(addrOf(6, "saddr"), parseAddr("::1")), accept());
  return [
    { name: "translate", rules: FAMILIES.flatMap(translateRules) },
    base("guard", { type: "filter", hook: "prerouting", priority: RAW }, guardRules()),
    base("nat-prerouting", { type: "nat", hook: "prerouting", priority: DSTNAT }, toNode),
    base("nat-output", { type: "nat", hook: "output", priority: DSTNAT }, [fromLoopback6, ...toNode]),
    base("nat-postrouting", { type: "nat", hook: "postrouting", priority: SRCNAT }, FAMILIES.flatMap(sourceRules)),
  ];
}
