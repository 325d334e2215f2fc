// Short ways to write expressions and statements.
import { type Addr, addrBits, addrFromBytes, type Family, maskPrefix, type Prefix } from "#ip";
import type { Expr, RejectWith, Statement, Verdict } from "./ast.ts";
import { type Datatype, named } from "./datatypes.ts";
import { CT_KEYS, type CtKey, FIB_RESULTS, META_KEYS, type MetaKey, PAYLOAD_FIELDS, type PayloadField } from "./fields.ts";

export function payload(field: PayloadField): Expr {
  return { kind: "payload", field };
}

export function meta(key: MetaKey): Expr {
  return { kind: "meta", key };
}

export function ct(key: CtKey, direction?: "original" | "reply"): Expr {
  return direction === undefined ? { kind: "ct", key } : { kind: "ct", key, direction };
}

export function concat(...parts: readonly Expr[]): Expr {
  return { kind: "concat", parts };
}

export function accept(): Statement {
  return { kind: "verdict", verdict: { kind: "accept" } };
}

export function drop(): Statement {
  return { kind: "verdict", verdict: { kind: "drop" } };
}

export function jump(chain: string): Statement {
  return { kind: "verdict", verdict: { kind: "jump", chain } };
}

export function goto(chain: string): Statement {
  return { kind: "verdict", verdict: gotoVerdict(chain) };
}

export function gotoVerdict(chain: string): Verdict {
  return { kind: "goto", chain };
}

export function reject(how: RejectWith): Statement {
  return { kind: "reject", with: how };
}

/** `field proto`: the network and transport protocols as numbers, such as `meta l4proto tcp`. */
export function equals(left: Expr, value: number | string | Addr): Statement {
  return { kind: "match", left, op: "==", right: value };
}

/** NFPROTO_*, what `meta nfproto` has. */
export const NFPROTO: Readonly<Record<Family, number>> = { 4: 2, 6: 10 };

/** The packet is of the family. A field of the other one (`ip saddr` of an IPv6 packet) would be read out of bytes that mean something else. */
export function ofFamily(family: Family): Statement {
  return equals(meta("nfproto"), NFPROTO[family]);
}

/** `ct state new,established`: whether any of the flags is set. */
export function hasFlags(key: "state" | "status", ...flags: readonly string[]): Statement {
  const left: Expr = { kind: "bitwise", of: ct(key), mask: named(CT_KEYS[key], ...flags) };
  return { kind: "match", left, op: "!=", right: 0 };
}

/** `ip saddr 10.0.0.0/8`, or `!=` where `not`. */
export function inPrefix(left: Expr, prefix: Prefix, not = false): Statement {
  const op = not ? "!=" : "==";
  const masked = maskPrefix(prefix);
  if (prefix.bits === addrBits(prefix.addr.family)) return { kind: "match", left, op, right: masked.addr };
  return { kind: "match", left: { kind: "bitwise", of: left, mask: netmask(prefix) }, op, right: masked.addr };
}

function netmask(prefix: Prefix): Addr {
  const bytes = new Uint8Array(prefix.addr.bytes.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = 0xff & (0xff << Math.max(0, 8 - Math.max(0, prefix.bits - 8 * i)));
  return addrFromBytes(bytes);
}

export function inSet(left: Expr, set: string, not = false): Statement {
  return not ? { kind: "in", left, set, not: true } : { kind: "in", left, set };
}

/** The types of what an expression yields: one, or one per component of a concatenation. */
export function exprTypes(expr: Expr): readonly Datatype[] {
  switch (expr.kind) {
    case "payload":
      return [PAYLOAD_FIELDS[expr.field].type];
    case "meta":
      return [META_KEYS[expr.key]];
    case "ct":
      return [CT_KEYS[expr.key]];
    case "fib":
      return [FIB_RESULTS[expr.result]];
    case "numgen":
    case "jhash":
    case "symhash":
      return ["index"];
    case "concat":
      return expr.parts.flatMap((part) => exprTypes(part));
    case "bitwise":
      return exprTypes(expr.of);
    case "value":
      return [expr.type];
    case "map":
      return expr.type;
  }
}

/** The type of an expression that yields one value. */
export function exprType(expr: Expr): Datatype {
  return exprTypes(expr)[0] ?? "index";
}
