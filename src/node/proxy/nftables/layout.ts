// The flat layout: sets, maps, and the few chains that read them. Services add elements; what a packet passes stays the same.
// docs/adr/0004-flat-service-layout.md says why.
import { type Family, type Prefix, parsePrefix } from "#ip";
import {
  type BaseChain,
  type Chain,
  concat,
  ct,
  type Datatype,
  drop,
  type Expr,
  equals,
  goto,
  hasFlags,
  inPrefix,
  inSet,
  jump,
  meta,
  type NftSet,
  named,
  payload,
  prefixInterval,
  type Rule,
  reject,
  SCTP,
  type SetHeader,
  type Statement,
  type Table,
  type TableId,
  TCP,
  UDP,
} from "#nft";
import type { ClusterCidrs } from "../types.ts";

export const TABLE: TableId = { family: "inet", name: "fairlead-proxy" };

export const FAMILIES: readonly Family[] = [4, 6];

/** NFPROTO_*. */
const NF_PROTO = { 4: 2, 6: 10 } as const;

function addrType(family: Family): Datatype {
  return family === 4 ? "ipv4_addr" : "ipv6_addr";
}

/** The sets and maps of one family. Elements in `affinity` are the packets' own. */
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
  /** Frontend with ClientIP affinity → the chain that remembers for so long. */
  readonly sticky: SetHeader;
  /** Client and frontend → backend. */
  readonly affinity: SetHeader;
  /** Frontend and who may use it. Like `affinity` it is made on demand: intervals in concatenations need Linux 5.6. */
  readonly sourceRanges: SetHeader;
  readonly podCidrs: SetHeader;
  readonly serviceCidrs: SetHeader;
}

/**
 * Affinity is remembered for so many clients per family; beyond it, connections are spread as if there were none. The kernel makes
 * room for all of them at once (nft_rhash_init, 4 MiB), so this map exists only where a Service asks for affinity.
 */
const AFFINITY_SIZE = 1 << 18;

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
    affinity: { name: `affinity${family}`, key: [addr, ...frontend], data: backend, flags: ["dynamic", "timeout"], size: AFFINITY_SIZE },
    sourceRanges: { name: `source-ranges${family}`, key: [...frontend, addr], flags: ["interval"] },
    podCidrs: { name: `pod-cidrs${family}`, key: [addr], flags: ["interval"] },
    serviceCidrs: { name: `service-cidrs${family}`, key: [addr], flags: ["interval"] },
  };
}

export const SETS: Readonly<Record<Family, FamilySets>> = { 4: familySets(4), 6: familySets(6) };

export const REFUSE = "refuse";

/** Which of a frontend's lists of backends: the one that all share, or the other one that the inside has. */
export type Scope = "all" | "inside";

/** Both lists lie in one map; an EndpointSlice has at most 1,000 endpoints, and nobody has 65 of them behind one Service. */
export const FIRST_NUMBER: Readonly<Record<Scope, number>> = { all: 0, inside: 0x1_0000 };

const GUARDED = "guarded-";

export interface Choice {
  readonly count: number;
  /** Looks first whether the client has a backend already. */
  readonly sticky: boolean;
  readonly scope: Scope;
  /** Asks before all whether the client may use the frontend. */
  readonly guarded: boolean;
}

/** Picks one of `count` backends. */
export function pickChainName(family: Family, { count, sticky, scope, guarded }: Choice): string {
  return `${guarded ? GUARDED : ""}${scope === "inside" ? "inside-" : ""}${sticky ? "stick" : "pick"}${family}-${count}`;
}

export function rememberChainName(family: Family, seconds: number): string {
  return `remember${family}-${seconds}`;
}

/** A chain that elements go to, from its name: these are made on demand. */
export function chainByName(name: string): Chain | undefined {
  if (name.startsWith(GUARDED)) return { name, rules: guardRules(/^\D+4/.test(name) ? 4 : 6, name.slice(GUARDED.length)) };
  const match = /^(inside-)?(pick|stick|remember)([46])-(\d+)$/.exec(name);
  if (match === null) return undefined;
  const [, inside, kind, digit, number] = match;
  const family: Family = digit === "4" ? 4 : 6;
  const n = Number(number);
  const scope: Scope = inside === undefined ? "all" : "inside";
  const rules = kind === "pick" ? pickRules(family, n, scope) : kind === "stick" ? stickRules(family, n, scope) : rememberRules(family, n);
  return { name, rules };
}

/** What must exist before a chain that is made on demand: the chain it goes to, the map it uses. */
export function neededBy(name: string): { readonly chain?: string; readonly set?: SetHeader } {
  const family: Family = /^\D+4/.test(name) ? 4 : 6;
  if (name.startsWith(GUARDED)) return { chain: name.slice(GUARDED.length), set: SETS[family].sourceRanges };
  if (/^(inside-)?stick/.test(name)) return { chain: name.replace("stick", "pick"), set: SETS[family].affinity };
  return name.startsWith("remember") ? { set: SETS[family].affinity } : {};
}

function ofFamily(family: Family): Statement {
  return equals(meta("nfproto"), NF_PROTO[family]);
}

function saddr(family: Family): Expr {
  return payload(family === 4 ? "ip saddr" : "ip6 saddr");
}

function daddr(family: Family): Expr {
  return payload(family === 4 ? "ip daddr" : "ip6 daddr");
}

function frontendExpr(family: Family): Expr {
  return concat(daddr(family), meta("l4proto"), payload("th dport"));
}

/** The frontend that the client used, after the packet's own destination became the backend. */
function originalFrontend(family: Family): readonly Expr[] {
  return [ct(family === 4 ? "ip daddr" : "ip6 daddr", "original"), meta("l4proto"), ct("proto-dst", "original")];
}

function dnatTo(family: Family, key: Expr, map: SetHeader): Statement {
  const to: Expr = { kind: "map", key, map: map.name, type: map.data === "verdict" ? [] : (map.data ?? []) };
  return { kind: "dnat", family: family === 4 ? "ip" : "ip6", to };
}

function pickRules(family: Family, count: number, scope: Scope): Rule[] {
  const first = FIRST_NUMBER[scope];
  const choose = (mod: number): Rule => {
    const number: Expr = { kind: "numgen", mode: "random", mod, ...(first > 0 && { offset: first }) };
    const key = concat(daddr(family), meta("l4proto"), payload("th dport"), number);
    return { statements: [ofFamily(family), dnatTo(family, key, SETS[family].endpoints)] };
  };
  if (count === 1) return [choose(1)];
  // A transaction may come between the look-up of the count and that of the backend, and take the last number away. The first stays.
  return [choose(count), { ...choose(1), comment: "the number is gone" }];
}

/** A drop in a nat chain leaves nothing behind: the connection is not confirmed, and its next packet is asked again. */
function guardRules(family: Family, next: string): Rule[] {
  const client = concat(daddr(family), meta("l4proto"), payload("th dport"), saddr(family));
  return [
    { statements: [ofFamily(family), inSet(client, SETS[family].sourceRanges.name, true), drop()], comment: "loadBalancerSourceRanges" },
    { statements: [goto(next)] },
  ];
}

function stickRules(family: Family, count: number, scope: Scope): Rule[] {
  const client = concat(saddr(family), daddr(family), meta("l4proto"), payload("th dport"));
  return [
    { statements: [ofFamily(family), dnatTo(family, client, SETS[family].affinity)] },
    { statements: [goto(pickChainName(family, { count, sticky: false, scope, guarded: false }))] },
  ];
}

/** `update` leaves the backend of a client that is known, and starts its time anew. */
function rememberRules(family: Family, seconds: number): Rule[] {
  const key = concat(ct(family === 4 ? "ip saddr" : "ip6 saddr", "original"), ...originalFrontend(family));
  const data = concat(daddr(family), payload("th dport"));
  const update: Statement = { kind: "dynset", op: "update", set: SETS[family].affinity.name, key, data, timeoutMs: seconds * 1000 };
  return perProtocol(family, update);
}

/** nft knows the type of `ct proto-dst` only after a match on the protocol. */
function perProtocol(family: Family, ...statements: readonly Statement[]): Rule[] {
  return [TCP, UDP, SCTP].map((protocol) => rule(undefined, ofFamily(family), equals(meta("l4proto"), protocol), ...statements));
}

function rule(comment: string | undefined, ...statements: readonly Statement[]): Rule {
  return comment === undefined ? { statements } : { statements, comment };
}

const isOwnAddress: Statement = equals({ kind: "fib", keys: ["saddr"], result: "type" }, named("fib_addrtype", "local"));

const MASQUERADE: Statement = { kind: "masquerade", flags: ["fully-random"] };

/** Pods and the node itself are inside. What the node sends passes `output`, what pods send passes `prerouting`. */
function dispatchRules(family: Family, hook: "prerouting" | "output"): Rule[] {
  const { inside, services, podCidrs } = SETS[family];
  const fromInside = hook === "prerouting" ? [inSet(saddr(family), podCidrs.name)] : [];
  const key = frontendExpr(family);
  return [
    rule(undefined, ofFamily(family), ...fromInside, { kind: "vmap", key, map: inside.name }),
    rule(undefined, ofFamily(family), { kind: "vmap", key, map: services.name }),
  ];
}

/**
 * Decides by the connection's original destination, which only conntrack still knows. No packet mark is used: a mark would stay on
 * the packet into the tunnel and have its outer copy translated again (kubernetes/kubernetes#92035), and marks are shared with others.
 */
function sourceRules(family: Family): Rule[] {
  const sets = SETS[family];
  const originalAddr = ct(family === 4 ? "ip daddr" : "ip6 daddr", "original");
  const frontend = concat(...originalFrontend(family));
  return [
    ...perProtocol(family, { kind: "vmap", key: frontend, map: sets.sticky.name }),
    rule("hairpin", ofFamily(family), inSet(concat(saddr(family), daddr(family)), sets.hairpin.name), MASQUERADE),
    rule(
      "ClusterIP from outside the pod network",
      ofFamily(family),
      inSet(originalAddr, sets.clusterIps.name),
      inSet(saddr(family), sets.podCidrs.name, true),
      MASQUERADE,
    ),
    ...perProtocol(family, inSet(frontend, sets.external.name), MASQUERADE),
    // The node's own address may be one that its backends elsewhere have no way back to.
    ...perProtocol(family, inSet(frontend, sets.keepsSource.name), isOwnAddress, MASQUERADE),
  ];
}

const MULTICAST: Readonly<Record<Family, Prefix>> = { 4: parsePrefix("224.0.0.0/4"), 6: parsePrefix("ff00::/8") };

function leavingRule(family: Family): Rule {
  const { podCidrs } = SETS[family];
  return rule(
    "pods leave the cluster",
    ofFamily(family),
    inSet(saddr(family), podCidrs.name),
    inSet(daddr(family), podCidrs.name, true),
    inPrefix(daddr(family), MULTICAST[family], true),
    MASQUERADE,
  );
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
    { name: "source", rules: FAMILIES.flatMap(sourceRules) },
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
    base("nat-postrouting", { type: "nat", hook: "postrouting", priority: 100 }, [
      rule(undefined, hasFlags("status", "dnat"), jump("source")),
      ...FAMILIES.map(leavingRule),
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

/** All sets that are always there, empty but for the CIDRs. */
function skeletonSets(cidrs: ClusterCidrs): NftSet[] {
  return FAMILIES.flatMap((family) => {
    const { affinity: _affinity, sourceRanges: _ranges, podCidrs, serviceCidrs, ...others } = SETS[family];
    const empty = Object.values(others).map((set): NftSet => ({ ...set, elements: [] }));
    return [...empty, cidrElements(podCidrs, family, cidrs.podCidrs), cidrElements(serviceCidrs, family, cidrs.serviceCidrs)];
  });
}

/** The table of a cluster without Services. */
export function skeleton(cidrs: ClusterCidrs): Table {
  return { ...TABLE, comment: "Services, by Fairlead", sets: skeletonSets(cidrs), chains: skeletonChains() };
}
