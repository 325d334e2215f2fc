// What IPVS cannot do, as a small table: refuse, guard, mark, masquerade. It also is where the frontends stand that are ours in IPVS,
// whose services carry no name. docs/adr/0007-proxy-modes.md has the reasons.
import { FAMILIES, type Family, type Prefix } from "#ip";
import {
  type BaseChain,
  type Chain,
  concat,
  type Datatype,
  drop,
  type Expr,
  equals,
  goto,
  hasFlags,
  inSet,
  jump,
  meta,
  type NftSet,
  ofFamily,
  payload,
  prefixInterval,
  type Rule,
  reject,
  type SetHeader,
  type Statement,
  type Table,
  TCP,
} from "#nft";
import { daddr, frontendExpr, rule, saddr } from "../expressions.ts";
import { masqueradeRules } from "../masquerade-rules.ts";
import type { ClusterCidrs } from "../types.ts";
import { MARK_BASE, MARK_MASK, TABLE } from "./names.ts";

interface FamilySets {
  /** Every address, protocol and port that is in IPVS because of a Service. */
  readonly frontends: SetHeader;
  /** Those that are nobody's any more, for connections that are still there. No rule asks. */
  readonly leaving: SetHeader;
  /** Frontend that nobody can use now → refuse or drop. */
  readonly noEndpoints: SetHeader;
  /** The same for the outside alone, where policy Local leaves nothing for it. */
  readonly outside: SetHeader;
  /** Frontend → mark of the IPVS service that the inside gets in its stead. */
  readonly marks: SetHeader;
  /** Frontends with source ranges, and who may use them. */
  readonly guarded: SetHeader;
  readonly sourceRanges: SetHeader;
  /** Frontends that are reached from outside: their clients' addresses are replaced. */
  readonly external: SetHeader;
  /** Those whose clients keep their addresses (externalTrafficPolicy Local). */
  readonly keepsSource: SetHeader;
  /** Addresses that are local to the node only because of us. */
  readonly vips: SetHeader;
  /** Those of Services' own that have a frontend. */
  readonly clusterIps: SetHeader;
  /** Backend twice: who calls itself needs another source address, or it answers itself directly. */
  readonly hairpin: SetHeader;
  readonly podCidrs: SetHeader;
  /** Those of this node. */
  readonly localPodCidrs: SetHeader;
  readonly serviceCidrs: SetHeader;
}

function familySets(family: Family): FamilySets {
  const addr: Datatype = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const frontend: readonly Datatype[] = [addr, "inet_proto", "inet_service"];
  return {
    frontends: { name: `frontends${family}`, key: frontend },
    leaving: { name: `leaving${family}`, key: frontend },
    noEndpoints: { name: `no-endpoints${family}`, key: frontend, data: "verdict" },
    outside: { name: `outside${family}`, key: frontend, data: "verdict" },
    marks: { name: `marks${family}`, key: frontend, data: ["mark"] },
    guarded: { name: `guarded${family}`, key: frontend },
    sourceRanges: { name: `source-ranges${family}`, key: [...frontend, addr], flags: ["interval"] },
    external: { name: `external${family}`, key: frontend },
    keepsSource: { name: `keeps-source${family}`, key: frontend },
    vips: { name: `vips${family}`, key: [addr] },
    clusterIps: { name: `cluster-ips${family}`, key: [addr] },
    hairpin: { name: `hairpin${family}`, key: [addr, addr] },
    podCidrs: { name: `pod-cidrs${family}`, key: [addr], flags: ["interval"] },
    localPodCidrs: { name: `local-pod-cidrs${family}`, key: [addr], flags: ["interval"] },
    serviceCidrs: { name: `service-cidrs${family}`, key: [addr], flags: ["interval"] },
  };
}

export const SETS: Readonly<Record<Family, FamilySets>> = { 4: familySets(4), 6: familySets(6) };

export const REFUSE = "refuse";

/** New connections to Services, before IPVS sees them. What is to a Service's address and is no frontend must not reach the host. */
function checkRules(family: Family, from: "outside" | "inside"): Rule[] {
  const sets = SETS[family];
  const key = frontendExpr(family);
  const isGuarded = [
    inSet(key, sets.guarded.name),
    inSet(concat(daddr(family), meta("l4proto"), payload("th dport"), saddr(family)), sets.sourceRanges.name, true),
  ];
  const outside = rule(undefined, ofFamily(family), inSet(saddr(family), sets.localPodCidrs.name, true), {
    kind: "vmap",
    key,
    map: sets.outside.name,
  });
  return [
    rule("loadBalancerSourceRanges", ofFamily(family), ...isGuarded, drop()),
    ...(from === "outside" ? [outside] : []),
    rule(undefined, ofFamily(family), { kind: "vmap", key, map: sets.noEndpoints.name }),
    rule(undefined, ofFamily(family), inSet(key, sets.frontends.name), { kind: "verdict", verdict: { kind: "return" } }),
    rule("no such port", ofFamily(family), inSet(daddr(family), sets.clusterIps.name), goto(REFUSE)),
    unallocatedRule(family),
    rule("no such port", ofFamily(family), inSet(daddr(family), sets.vips.name), goto(REFUSE)),
  ];
}

function unallocatedRule(family: Family): Rule {
  return rule("no such ClusterIP", ofFamily(family), inSet(daddr(family), SETS[family].serviceCidrs.name), drop());
}

/**
 * Pods and the node itself are inside. Every packet of such a connection has the mark, not only the first: IPVS asks again when a client
 * uses a port a second time.
 */
function markRule(family: Family, from: readonly Statement[]): Rule {
  const mark: Expr = { kind: "map", key: frontendExpr(family), map: SETS[family].marks.name, type: ["mark"] };
  const set: Statement = { kind: "set", target: { kind: "meta", key: "mark" }, value: mark };
  return rule(undefined, ofFamily(family), ...from, set);
}

/** What IPVS sends on passes the output hook. A mark that stayed would be in a tunnel's outer copy too (kubernetes/kubernetes#92035). */
const UNMARK: Rule = rule(
  "IPVS has seen it",
  { kind: "match", left: { kind: "bitwise", of: meta("mark"), mask: MARK_MASK }, op: "==", right: MARK_BASE },
  { kind: "set", target: { kind: "meta", key: "mark" }, value: { kind: "value", type: "mark", value: 0 } },
);

function base(name: string, on: Pick<BaseChain, "type" | "hook" | "priority">, rules: readonly Rule[]): Chain {
  return { name, base: { ...on, policy: "accept" }, rules };
}

const isNew: Statement = hasFlags("state", "new");

/** IPVS takes packets at priority 98 of the input hook, and -98 of output (ip_vs_core.c, ip_vs_ops4). */
function chains(): Chain[] {
  return [
    {
      name: REFUSE,
      rules: [rule(undefined, equals(meta("l4proto"), TCP), reject("tcp reset")), rule(undefined, reject("icmpx port-unreachable"))],
    },
    { name: "check-input", rules: FAMILIES.flatMap((family) => checkRules(family, "outside")) },
    { name: "check-output", rules: FAMILIES.flatMap((family) => checkRules(family, "inside")) },
    base("filter-input", { type: "filter", hook: "input", priority: -10 }, [rule(undefined, isNew, jump("check-input"))]),
    base(
      "mark-input",
      { type: "filter", hook: "input", priority: 50 },
      FAMILIES.map((family) => markRule(family, [inSet(saddr(family), SETS[family].localPodCidrs.name)])),
    ),
    base(
      "filter-forward",
      { type: "filter", hook: "forward", priority: -10 },
      FAMILIES.map((family) => {
        const { statements, comment } = unallocatedRule(family);
        return rule(comment, isNew, ...statements);
      }),
    ),
    base("filter-output", { type: "filter", hook: "output", priority: -110 }, [
      UNMARK,
      rule(undefined, isNew, jump("check-output")),
      ...FAMILIES.map((family) => markRule(family, [])),
    ]),
    base(
      "nat-postrouting",
      { type: "nat", hook: "postrouting", priority: 100 },
      FAMILIES.flatMap((family) => masqueradeRules(family, SETS[family])),
    ),
  ];
}

function sets(cidrs: ClusterCidrs): NftSet[] {
  return FAMILIES.flatMap((family) => {
    const { podCidrs, localPodCidrs, serviceCidrs, ...others } = SETS[family];
    const ranges = (set: SetHeader, of: readonly Prefix[]): NftSet => {
      return { ...set, elements: of.filter(({ addr }) => addr.family === family).map((cidr) => ({ key: [prefixInterval(cidr)] })) };
    };
    const empty = Object.values(others).map((set: SetHeader): NftSet => ({ ...set, elements: [] }));
    return [
      ...empty,
      ranges(podCidrs, cidrs.podCidrs),
      ranges(localPodCidrs, cidrs.localPodCidrs ?? cidrs.podCidrs),
      ranges(serviceCidrs, cidrs.serviceCidrs),
    ];
  });
}

/** The table of a cluster without Services. */
export function skeleton(cidrs: ClusterCidrs): Table {
  return { ...TABLE, comment: "Services in IPVS, by Fairlead", sets: sets(cidrs), chains: chains() };
}
