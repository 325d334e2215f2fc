// Expressions and statements as nft text.
import { formatPrefix } from "#ip";
import type { Expr, NatFlag, SetTarget, Statement } from "./ast.ts";
import { exprType, exprTypes } from "./build.ts";
import { DATATYPES, formatFlags, formatValue, isInterval, type Value } from "./datatypes.ts";
import { formatInterval, maskBits } from "./intervals.ts";
import { formatDuration, formatVerdict, quote } from "./text.ts";

function formatExpr(expr: Expr): string {
  switch (expr.kind) {
    case "payload":
      return expr.field;
    case "meta":
      return UNQUALIFIED.has(expr.key) ? expr.key : `meta ${expr.key}`;
    case "ct":
      return expr.direction === undefined ? `ct ${expr.key}` : `ct ${expr.direction} ${expr.key}`;
    case "fib":
      return `fib ${expr.keys.join(" . ")} ${expr.result}`;
    case "numgen":
      return `numgen ${expr.mode} mod ${expr.mod}${offset(expr.offset)}`;
    case "jhash":
      return `jhash ${formatExpr(expr.of)} mod ${expr.mod}${expr.seed === undefined ? "" : ` seed 0x${expr.seed.toString(16)}`}${offset(expr.offset)}`;
    case "symhash":
      return `symhash mod ${expr.mod}${offset(expr.offset)}`;
    case "concat":
      return expr.parts.map((part) => formatExpr(part)).join(" . ");
    case "bitwise":
      return formatBitwise(expr.of, expr.mask, expr.xor);
    case "value":
      return formatValue(expr.type, expr.value);
    case "map":
      return `${formatExpr(expr.key)} map @${expr.map}`;
  }
}

/** `iifname` and `oifname` are what people write; nft accepts both forms. */
const UNQUALIFIED: ReadonlySet<string> = new Set(["iif", "oif", "iifname", "oifname"]);

function offset(value: number | undefined): string {
  return value === undefined || value === 0 ? "" : ` offset ${value}`;
}

function formatBitwise(of: Expr, mask: Value, xor: Value | undefined): string {
  const type = exprType(of);
  const left = formatExpr(of);
  if (typeof mask !== "number" || (xor !== undefined && typeof xor !== "number")) {
    const masked = `${left} & ${formatValue(type, mask)}`;
    return xor === undefined ? masked : `${masked} ^ ${formatValue(type, xor)}`;
  }
  const bits = DATATYPES[type].bytes * 8;
  const all = bits === 32 ? 0xffffffff : 2 ** bits - 1;
  const hex = (value: number): string => `0x${(value >>> 0).toString(16).padStart(bits / 4, "0")}`;
  if (xor === undefined || xor === 0) return `${left} & ${hex(mask)}`;
  if ((mask | xor) >>> 0 === all && (mask & xor) === 0) return `${left} | ${hex(xor)}`;
  if (mask >>> 0 === all) return `${left} ^ ${hex(xor)}`;
  return `${left} & ${hex(mask)} ^ ${hex(xor)}`;
}

export function formatStatement(statement: Statement, stateless: boolean): string {
  switch (statement.kind) {
    case "match":
      return formatMatch(statement);
    case "in":
      return `${formatExpr(statement.left)} ${statement.not === true ? "!= " : ""}@${statement.set}`;
    case "vmap":
      return `${formatExpr(statement.key)} vmap @${statement.map}`;
    case "verdict":
      return formatVerdict(statement.verdict);
    case "counter":
      return stateless ? "counter" : `counter packets ${statement.packets} bytes ${statement.bytes}`;
    case "limit":
      return `limit rate ${statement.over === true ? "over " : ""}${statement.rate}/${statement.per} burst ${statement.burst} packets`;
    case "log":
      return `log${statement.prefix === undefined ? "" : ` prefix ${quote(statement.prefix)}`}${statement.group === undefined ? "" : ` group ${statement.group}`}`;
    case "notrack":
      return "notrack";
    case "other":
      return `(${statement.name})`;
    case "set":
      return `${formatTarget(statement.target)} set ${formatExpr(statement.value)}`;
    case "dynset":
      return formatDynset(statement);
    default:
      return formatNat(statement);
  }
}

function formatMatch(statement: Statement & { kind: "match" }): string {
  const { left, op, right } = statement;
  const type = exprType(left);
  const operator = op === "==" ? "" : `${op} `;
  if (isInterval(right)) return `${formatExpr(left)} ${operator}${formatInterval(type, right)}`;
  if (left.kind === "bitwise" && left.xor === undefined) {
    const { mask } = left;
    const { flags, names } = DATATYPES[type];
    // Flags: `ct state new` is short for `ct state & new != 0`.
    if (flags === true && op === "!=" && right === 0 && typeof mask === "number") {
      return `${formatExpr(left.of)} ${formatFlags(names ?? {}, mask)}`;
    }
    const bits = typeof mask === "object" && "family" in mask ? maskBits(mask) : undefined;
    if (bits !== undefined && typeof right === "object" && "family" in right) {
      return `${formatExpr(left.of)} ${operator}${formatPrefix({ addr: right, bits })}`;
    }
  }
  // A comparison after `&` keeps its operator: `meta mark & 0x1 == 0x1`.
  const explicit = op === "==" && left.kind === "bitwise" ? "== " : operator;
  return `${formatExpr(left)} ${explicit}${formatValue(type, right)}`;
}

function formatTarget(target: SetTarget): string {
  return `${target.kind} ${target.key}`;
}

function formatDynset(statement: Statement & { kind: "dynset" }): string {
  const timeout = statement.timeoutMs === undefined ? "" : ` timeout ${formatDuration(statement.timeoutMs)}`;
  const data = statement.data === undefined ? "" : ` : ${formatExpr(statement.data)}`;
  return `${statement.op} @${statement.set} { ${formatExpr(statement.key)}${timeout}${data} }`;
}

type NatStatement = Statement & { kind: "dnat" | "snat" | "masquerade" | "redirect" | "reject" };

function formatNat(statement: NatStatement): string {
  switch (statement.kind) {
    case "reject":
      return formatReject(statement.with);
    case "masquerade":
      return `masquerade${formatFlagList(statement.flags)}`;
    case "redirect":
      return `redirect${statement.port === undefined ? "" : ` to :${formatExpr(statement.port)}`}${formatFlagList(statement.flags)}`;
    default:
      return `${statement.kind} ${statement.family} to ${formatNatTarget(statement.to)}${formatFlagList(statement.flags)}`;
  }
}

function formatReject(how: string): string {
  const [kind, code] = how.split(" ");
  return kind === "tcp" ? "reject with tcp reset" : `reject with ${kind} ${code}`;
}

function formatNatTarget(to: Expr): string {
  const types = exprTypes(to);
  if (to.kind === "concat" && to.parts.every((part) => part.kind === "value")) {
    const [addr = "", port = ""] = to.parts.map((part) => formatExpr(part));
    return addr.includes(":") ? `[${addr}]:${port}` : `${addr}:${port}`;
  }
  return types[0] === "inet_service" ? `:${formatExpr(to)}` : formatExpr(to);
}

function formatFlagList(flags: readonly NatFlag[] | undefined): string {
  return flags === undefined || flags.length === 0 ? "" : ` ${flags.join(",")}`;
}
