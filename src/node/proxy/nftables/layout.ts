// The flat layout: sets, maps, and the few chains that read them. Services add elements; what a packet passes stays the same.
// docs/adr/0004-flat-service-layout.md says why.
import { FAMILIES, type Family, type Prefix } from "#ip";
import {
  type BaseChain,
  type Chain,
  concat,
  type Datatype,
  equals,
  goto,
  hasFlags,
  inSet,
  jump,
  meta,
  type NftSet,
  ofFamily,
  prefixInterval,
  type Rule,
  reject,
  type SetHeader,
  type Statement,
  type Table,
  type TableId,
  TCP,
} from "#nft";
import { daddr, frontendExpr, originalFrontend, perProtocol, rule, saddr } from "../expressions.ts";
import { isOwnAddress, masqueradeRules } from "../masquerade-rules.ts";
import type { ClusterCidrs } from "../types.ts";

export const TABLE: TableId = { family: "inet", name: "fairlead-proxy" };

function addrType(family: Family): Datatype {
  return family === 4 ? "ipv4_addr" : "ipv6_addr";
}

/** The sets and maps of one family. */
export interface FamilySets {
  /** Frontend → which chain picks one of how many backends. */
  readonly services: SetHeader;
  /** The same for pods and the node itself, where policy Local gives them others than the outside. */
  readonly inside: SetHeader;
  /** Frontend and number → backend; see `FIRST_NUMBER`. */
  readonly endpoints: SetHeader;
  /** Frontend without backends → refuse or drop. */
  readonly noEndpoints: SetHeader;
  /** Frontends that are reached from outside: their clients' addresses are replaced. */
  readonly external: SetHeader;
  /** Frontends that are reached from outside by clients who keep their addresses (externalTrafficPolicy Local). */
  readonly keepsSource: SetHeader;
  /** ClusterIPs, whatever the port. */
  readonly clusterIps: SetHeader;
  /** Backend twice: who calls itself through a service needs another source address, or it answers itself directly. */
  readonly hairpin: SetHeader;
  /** Frontend with ClientIP affinity → the chain that remembers for so long; for the inside, where it has its own backends. */
  readonly sticky: SetHeader;
  readonly insideSticky: SetHeader;
  /** Frontend with affinity → which chain picks a backend for whom nobody remembers. This and the next two are made on demand. */
  readonly spread: SetHeader;
  readonly insideSpread: SetHeader;
  /** Frontend and who may use it: intervals in concatenations need Linux 5.6. */
  readonly sourceRanges: SetHeader;
  readonly podCidrs: SetHeader;
  /** Those of this node. */
  readonly localPodCidrs: SetHeader;
  readonly serviceCidrs: SetHeader;
}

function familySets(family: Family): FamilySets {
  const addr = addrType(family);
  const frontend: readonly Datatype[] = [addr, "inet_proto", "inet_service"];
  const backend: readonly Datatype[] = [addr, "inet_service"];
  return {
    services: { name: `services${family}`, key: frontend, data: "verdict" },
    inside: { name: `inside${family}`, key: frontend, data: "verdict" },
    endpoints: { name: `endpoints${family}`, key: [...frontend, "index"], data: backend },
    noEndpoints: { name: `no-endpoints${family}`, key: frontend, data: "verdict" },
    external: { name: `external${family}`, key: frontend },
    keepsSource: { name: `keeps-source${family}`, key: frontend },
    clusterIps: { name: `cluster-ips${family}`, key: [addr] },
    hairpin: { name: `hairpin${family}`, key: [addr, addr] },
    sticky: { name: `sticky${family}`, key: frontend, data: "verdict" },
    insideSticky: { name: `inside-sticky${family}`, key: frontend, data: "verdict" },
    spread: { name: `spread${family}`, key: frontend, data: "verdict" },
    insideSpread: { name: `inside-spread${family}`, key: frontend, data: "verdict" },
    sourceRanges: { name: `source-ranges${family}`, key: [...frontend, addr], flags: ["interval"] },
    podCidrs: { name: `pod-cidrs${family}`, key: [addr], flags: ["interval"] },
    localPodCidrs: { name: `local-pod-cidrs${family}`, key: [addr], flags: ["interval"] },
    serviceCidrs: { name: `service-cidrs${family}`, key: [addr], flags: ["interval"] },
  };
}

export const SETS: Readonly<Record<Family, FamilySets>> = { 4: familySets(4), 6: familySets(6) };

/**
 * A map remembers so many clients; beyond it, connections are spread as if there were no affinity. The kernel makes room for all of
 * them at once (nft_rhash_init, 1 MiB), so a map exists only where a Service asks for affinity.
 */
const AFFINITY_SIZE = 1 << 16;

/** Few, so that memory is bounded; several, since reading one takes time with the square of what is in it (nft_rhash_walk). */
export const AFFINITY_MAPS = 16;

/** Client, protocol and number of the service port → backend: elements are the packets' own. */
export function affinityMap(family: Family, owner: number): SetHeader {
  return {
    name: `affinity${family}-${owner % AFFINITY_MAPS}`,
    key: [addrType(family), "inet_proto", "index"],
    data: [addrType(family), "inet_service"],
    flags: ["dynamic", "timeout"],
    size: AFFINITY_SIZE,
  };
}

export const REFUSE = "refuse";
const STICKY = "sticky";

/** Which of a frontend's lists of backends: the one that all share, or the other one that the inside has. */
export type Scope = "all" | "inside";

export const SCOPES: readonly Scope[] = ["all", "inside"];

/** Both lists lie in one map; an EndpointSlice has at most 1,000 endpoints, and nobody has 65 of them behind one Service. */
export const FIRST_NUMBER: Readonly<Record<Scope, number>> = { all: 0, inside: 0x1_0000 };

/** Pods of this node and the node itself are inside. What the node sends passes `output`, what pods send passes `prerouting`. */
function dispatchRules(family: Family, hook: "prerouting" | "output"): Rule[] {
  const { inside, services, localPodCidrs } = SETS[family];
  const fromInside = hook === "prerouting" ? [inSet(saddr(family), localPodCidrs.name)] : [];
  const key = frontendExpr(family);
  return [
    rule(undefined, ofFamily(family), ...fromInside, { kind: "vmap", key, map: inside.name }),
    rule(undefined, ofFamily(family), { kind: "vmap", key, map: services.name }),
  ];
}

/** Who has which backend now. Pods and the node itself may have others than the outside, and no connection is remembered twice. */
function stickyRules(family: Family): Rule[] {
  const { insideSticky, sticky, localPodCidrs } = SETS[family];
  const frontend = concat(...originalFrontend(family));
  const inside: Statement = { kind: "vmap", key: frontend, map: insideSticky.name };
  return [
    ...perProtocol(family, inSet(saddr(family), localPodCidrs.name), inside),
    ...perProtocol(family, isOwnAddress, inside),
    ...perProtocol(family, { kind: "vmap", key: frontend, map: sticky.name }),
  ];
}

/** Only new connections: established ones outlive their endpoints. */
function unreachableRules(family: Family): Rule[] {
  const sets = SETS[family];
  return [
    rule(undefined, ofFamily(family), { kind: "vmap", key: frontendExpr(family), map: sets.noEndpoints.name }),
    rule("no such port", ofFamily(family), inSet(daddr(family), sets.clusterIps.name), goto(REFUSE)),
    rule("no such ClusterIP", ofFamily(family), inSet(daddr(family), sets.serviceCidrs.name), {
      kind: "verdict",
      verdict: { kind: "drop" },
    }),
  ];
}

function base(name: string, on: Pick<BaseChain, "type" | "hook" | "priority">, rules: readonly Rule[]): Chain {
  return { name, base: { ...on, policy: "accept" }, rules };
}

/** Everything that does not depend on Services. */
function skeletonChains(): Chain[] {
  const check = [rule(undefined, hasFlags("state", "new"), goto("unreachable"))];
  return [
    {
      name: REFUSE,
      rules: [rule(undefined, equals(meta("l4proto"), TCP), reject("tcp reset")), rule(undefined, reject("icmpx port-unreachable"))],
    },
    { name: "unreachable", rules: FAMILIES.flatMap(unreachableRules) },
    { name: STICKY, rules: FAMILIES.flatMap(stickyRules) },
    { name: "source", rules: [rule(undefined, jump(STICKY)), ...FAMILIES.flatMap((family) => masqueradeRules(family, SETS[family]))] },
    base(
      "nat-prerouting",
      { type: "nat", hook: "prerouting", priority: -100 },
      FAMILIES.flatMap((family) => dispatchRules(family, "prerouting")),
    ),
    base(
      "nat-output",
      { type: "nat", hook: "output", priority: -100 },
      FAMILIES.flatMap((family) => dispatchRules(family, "output")),
    ),
    // Before others who masquerade (at 100, srcnat): the first who does ends the hook for all, and the choice has to be remembered.
    base("nat-postrouting", { type: "nat", hook: "postrouting", priority: 99 }, [
      rule(undefined, hasFlags("status", "dnat"), jump("source")),
    ]),
    // `reject` needs these hooks before Linux 5.9. After dstnat, so that what has a backend has become its packet.
    base("filter-input", { type: "filter", hook: "input", priority: -10 }, check),
    base("filter-forward", { type: "filter", hook: "forward", priority: -10 }, check),
    base("filter-output", { type: "filter", hook: "output", priority: -10 }, check),
  ];
}

function cidrElements(set: SetHeader, family: Family, cidrs: readonly Prefix[]): NftSet {
  return { ...set, elements: cidrs.filter(({ addr }) => addr.family === family).map((cidr) => ({ key: [prefixInterval(cidr)] })) };
}

const ON_DEMAND: ReadonlySet<keyof FamilySets> = new Set(["spread", "insideSpread", "sourceRanges"]);
const WITH_CIDRS: ReadonlySet<keyof FamilySets> = new Set(["podCidrs", "localPodCidrs", "serviceCidrs"]);

function isEmptyAtFirst(name: string): boolean {
  const names: ReadonlySet<string> = ON_DEMAND.union(WITH_CIDRS);
  return !names.has(name);
}

/** All sets that are always there, empty but for the CIDRs. */
function skeletonSets(cidrs: ClusterCidrs): NftSet[] {
  return FAMILIES.flatMap((family) => {
    const { podCidrs, localPodCidrs, serviceCidrs } = SETS[family];
    const empty = Object.entries(SETS[family]).flatMap(([name, set]) => (isEmptyAtFirst(name) ? { ...set, elements: [] } : []));
    return [
      ...empty,
      cidrElements(podCidrs, family, cidrs.podCidrs),
      cidrElements(localPodCidrs, family, cidrs.localPodCidrs ?? cidrs.podCidrs),
      cidrElements(serviceCidrs, family, cidrs.serviceCidrs),
    ];
  });
}

/** The table of a cluster without Services. */
export function skeleton(cidrs: ClusterCidrs): Table {
  return { ...TABLE, comment: "Services, by Fairlead", sets: skeletonSets(cidrs), chains: skeletonChains() };
}
