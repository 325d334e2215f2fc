// The ruleset's fixed part: one hook, which finds the chain of a pod's policies by its address. How many policies there are makes no
// difference to a packet; only those count that select its pods.
//
// Every packet is judged, not only the first, and each as its connection: by who began it (`ct original saddr`), and by who answers at which
// port (`ct reply saddr`, `ct reply proto-src`), which is after a Service's translation and without regard to any change of source. So
// answers pass where the connection may, and what a change no longer allows ends at once, in both directions, without touching
// conntrack (where a deleted entry of TCP would come back turned round with the next packet of the server, nf_conntrack_tcp_loose).

import type { Family } from "#ip";
import type { Direction } from "#netpol";
import {
  accept,
  type Chain,
  concat,
  ct,
  type Datatype,
  type Expr,
  equals,
  goto,
  hasFlags,
  inSet,
  meta,
  payload,
  type Rule,
  type SetHeader,
  type Statement,
  type TableId,
} from "#nft";

export const TABLE: TableId = { family: "inet", name: "fairlead-policy" };

export const FAMILIES: readonly Family[] = [4, 6];

/** NFPROTO_*. */
const NF_PROTO = { 4: 2, 6: 10 } as const;

/** Before srcnat, so that an untracked packet still has its own source. */
const BEFORE_SRCNAT = 99;

export function addrType(family: Family): Datatype {
  return family === 4 ? "ipv4_addr" : "ipv6_addr";
}

export function ofFamily(family: Family): Statement {
  return equals(meta("nfproto"), NF_PROTO[family]);
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

function judge(family: Family, source: Expr, destination: Expr): Rule[] {
  const rule = (...statements: readonly Statement[]): Rule => ({ statements: [ofFamily(family), ...statements] });
  return [
    rule(inSet(concat(source, destination), selfSet(family).name), accept()),
    rule({ kind: "vmap", key: source, map: isolationMap("egress", family).name }),
    rule({ kind: "vmap", key: destination, map: isolationMap("ingress", family).name }),
  ];
}

/** Everything that does not depend on objects. */
export function skeletonChains(): Chain[] {
  const fromLink: Statement = { kind: "match", left: meta("iif"), op: "!=", right: 0 };
  const headers = (family: Family): Rule[] => {
    const ip = family === 4 ? "ip" : "ip6";
    return judge(family, payload(`${ip} saddr`), payload(`${ip} daddr`));
  };
  return [
    {
      name: "routed",
      rules: [
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
