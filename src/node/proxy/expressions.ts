// What the rules read, in one family or the other.
import type { Family } from "#ip";
import { concat, ct, type Expr, equals, meta, ofFamily, payload, type Rule, SCTP, type Statement, TCP, UDP } from "#nft";

export function saddr(family: Family): Expr {
  return payload(family === 4 ? "ip saddr" : "ip6 saddr");
}

export function daddr(family: Family): Expr {
  return payload(family === 4 ? "ip daddr" : "ip6 daddr");
}

export function frontendExpr(family: Family): Expr {
  return concat(daddr(family), meta("l4proto"), payload("th dport"));
}

/** The frontend that the client used, after the packet's own destination became the backend. */
export function originalFrontend(family: Family): readonly [addr: Expr, protocol: Expr, port: Expr] {
  return [ct(family === 4 ? "ip daddr" : "ip6 daddr", "original"), meta("l4proto"), ct("proto-dst", "original")];
}

/** nft knows the type of `ct proto-dst` only after a match on the protocol. */
export function perProtocol(family: Family, ...statements: readonly Statement[]): Rule[] {
  return [TCP, UDP, SCTP].map((protocol) => rule(undefined, ofFamily(family), equals(meta("l4proto"), protocol), ...statements));
}

export function rule(comment: string | undefined, ...statements: readonly Statement[]): Rule {
  return comment === undefined ? { statements } : { statements, comment };
}
