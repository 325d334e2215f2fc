// The ruleset's fixed part: one hook, which finds the chain of a pod's policies by its address. How many policies there are makes no
// difference to a packet; only those count that select its pods.
//
// Every packet is judged, not only the first, and each as its connection: by who began it (`ct original saddr`), and by who answers at which
// port (`ct reply saddr`, `ct reply proto-src`), which is after a Service's translation and without regard to any change of source. So
// answers pass where the connection may, and what a change no longer allows ends at once, in both directions, without touching
// conntrack (where a deleted entry of TCP would come back turned round with the next packet of the server, nf_conntrack_tcp_loose).

import { FAMILIES, type Family } from "#ip";
import type { Direction } from "#netpol";
import {
  accept,
  type Chain,
  concat,
  ct,
  type Datatype,
  drop,
  type Expr,
  goto,
  hasFlags,
  inSet,
  meta,
  ofFamily,
  payload,
  type Rule,
  type SetHeader,
  type Statement,
  type Table,
  type TableId,
} from "#nft";

export const TABLE: TableId = { family: "inet", name: "fairlead-policy" };

/** Before srcnat, so that an untracked packet still has its own source. */
const BEFORE_SRCNAT = 99;

export function addrType(family: Family): Datatype {
  return family === 4 ? "ipv4_addr" : "ipv6_addr";
}

/** Who began the connection, and who answers. */
export function sourceOf(family: Family): Expr {
  return ct(family === 4 ? "ip saddr" : "ip6 saddr", "original");
}

export function destinationOf(family: Family): Expr {
  return ct(family === 4 ? "ip saddr" : "ip6 saddr", "reply");
}

export const PROTOCOL: Expr = meta("l4proto");
export const DESTINATION_PORT: Expr = ct("proto-src", "reply");

/** Pod address → chain of the policies that isolate it. */
export function isolationMap(direction: Direction, family: Family): SetHeader {
  return { name: `${direction}${family}`, key: [addrType(family)], data: "verdict" };
}

/** Pod twice: nothing keeps a pod from itself. */
export function selfSet(family: Family): SetHeader {
  return { name: `self${family}`, key: [addrType(family), addrType(family)] };
}

/** For pods of this node that the API does not know (any more). */
export const UNKNOWN_CHAIN = "unknown";

/** What becomes of flows that a change no longer allows: they end, or they go on until their ends close them. */
export const ESTABLISHED = ["cut", "keep"] as const;
export type Established = (typeof ESTABLISHED)[number];

/** The NFLOG group that refused packets are told to, where somebody listens. */
export const DROP_GROUP = 4789;

/** Those of which nobody was told are known by their number. */
const COUNTED: Statement = { kind: "counter", packets: 0, bytes: 0 };

/** Of each rule that refuses: enough to see every refusal of a person's doing, and nothing to a flood. */
const TOLD: Statement = { kind: "limit", rate: 10, per: "second", burst: 20 };

/**
 * The end of a chain that refuses. A packet of which nobody is told costs its sender's next look at a number, and nothing to those that pass.
 * `prefix` (at most 127 bytes) is how the listener knows the chain.
 */
export function refuse(prefix: string, comment: string): Rule[] {
  return [{ statements: [TOLD, { kind: "log", prefix, group: DROP_GROUP }] }, { statements: [COUNTED, drop()], comment }];
}

const silenced = new WeakMap<Chain, Chain>();

/** The table for a kernel that cannot tell of packets. */
export function withoutLog(table: Table): Table {
  const silence = (chain: Chain): Chain => {
    const made = silenced.get(chain) ?? { ...chain, rules: chain.rules.filter(({ statements }) => statements.at(-1)?.kind !== "log") };
    silenced.set(chain, made);
    return made;
  };
  return { ...table, chains: table.chains.map(silence) };
}

function judge(family: Family, source: Expr, destination: Expr): Rule[] {
  const rule = (...statements: readonly Statement[]): Rule => ({ statements: [ofFamily(family), ...statements] });
  return [
    rule(inSet(concat(source, destination), selfSet(family).name), accept()),
    rule({ kind: "vmap", key: source, map: isolationMap("egress", family).name }),
    rule({ kind: "vmap", key: destination, map: isolationMap("ingress", family).name }),
  ];
}

/** Everything that does not depend on objects. */
export function skeletonChains(established: Established = "cut"): Chain[] {
  const fromLink: Statement = { kind: "match", left: meta("iif"), op: "!=", right: 0 };
  const headers = (family: Family): Rule[] => {
    const ip = family === 4 ? "ip" : "ip6";
    return judge(family, payload(`${ip} saddr`), payload(`${ip} daddr`));
  };
  return [
    {
      name: "routed",
      rules: [
        ...(established === "keep" ? [{ statements: [hasFlags("state", "established"), accept()], comment: "judged when it began" }] : []),
        { statements: [hasFlags("state", "related"), accept()], comment: "ICMP errors about a connection, from whoever is on its way" },
        { statements: [hasFlags("state", "invalid", "untracked"), goto("untracked")] },
        ...FAMILIES.flatMap((family) => judge(family, sourceOf(family), destinationOf(family))),
      ],
    },
    // No rule about addresses or ports matches where there is no connection: only what allows all lets these through.
    { name: "untracked", rules: FAMILIES.flatMap(headers) },
    {
      name: "postrouting",
      base: { type: "filter", hook: "postrouting", priority: BEFORE_SRCNAT, policy: "accept" },
      // What the node itself says has come from no link (Linux >= 5.7 tells here); what pods say to it does not come here.
      rules: [{ statements: [fromLink, goto("routed")], comment: "the node itself always reaches its pods" }],
    },
  ];
}
