// Statements as the kernel's expressions: where nft text nests, the kernel has a list of small operations on registers.
// A statement starts with empty registers; they are given out as words of 4 bytes, and a concatenation takes consecutive ones.
import { FairleadError } from "#base";
import {
  CT_KEYS,
  DATATYPES,
  type Datatype,
  type Expr,
  exprType,
  exprTypes,
  isInterval,
  META_KEYS,
  type NatFlag,
  PAYLOAD_FIELDS,
  paddedBytes,
  type Statement,
  type Value,
  type Verdict,
  writeValue,
} from "#nft";
import type { MessageWriter } from "../netlink/index.ts";
import {
  NFPROTO,
  NFT_REG_VERDICT,
  NFT_REG32_00,
  NFT_REG32_COUNT,
  NFTA_DATA_VALUE,
  NFTA_DATA_VERDICT,
  NFTA_EXPR_DATA,
  NFTA_EXPR_NAME,
  NFTA_LIST_ELEM,
  NFTA_VERDICT_CHAIN,
  NFTA_VERDICT_CODE,
  VERDICTS,
} from "../uapi/nf-tables.ts";
import * as x from "../uapi/nf-tables-expr.ts";

/** Words that a value of these types takes in registers. */
function words(types: readonly Datatype[]): number {
  return types.reduce((sum, type) => sum + paddedBytes(type) / 4, 0);
}

function reg(word: number): number {
  if (word >= NFT_REG32_COUNT)
    throw new FairleadError("Cannot encode rule: its key is longer than the 64 bytes of the registers", { code: "BadRule" });
  return NFT_REG32_00 + word;
}

function op(w: MessageWriter, name: string, fill: () => void): MessageWriter {
  return w.nest(NFTA_LIST_ELEM, () => {
    w.string(NFTA_EXPR_NAME, name);
    w.nest(NFTA_EXPR_DATA, fill);
  });
}

function encodeData(w: MessageWriter, attr: number, bytes: Uint8Array): MessageWriter {
  return w.nest(attr, () => w.attrBytes(NFTA_DATA_VALUE, bytes));
}

export function encodeVerdict(w: MessageWriter, attr: number, verdict: Verdict): MessageWriter {
  return w.nest(attr, () => {
    w.nest(NFTA_DATA_VERDICT, () => {
      w.u32be(NFTA_VERDICT_CODE, VERDICTS[verdict.kind]);
      if ("chain" in verdict) w.string(NFTA_VERDICT_CHAIN, verdict.chain);
    });
  });
}

function valueBytes(type: Datatype, value: Value): Uint8Array {
  const bytes = new Uint8Array(DATATYPES[type].bytes);
  writeValue(bytes, 0, type, value);
  return bytes;
}

/** Operations that leave the value of `expr` in the registers from `at` on. */
function load(w: MessageWriter, expr: Expr, at: number): MessageWriter {
  switch (expr.kind) {
    case "concat": {
      let word = at;
      for (const part of expr.parts) {
        load(w, part, word);
        word += words(exprTypes(part));
      }
      return w;
    }
    case "bitwise":
      return loadBitwise(w, expr, at);
    case "map":
      load(w, expr.key, at);
      return op(w, "lookup", () => w.string(x.LOOKUP.SET, expr.map).u32be(x.LOOKUP.SREG, reg(at)).u32be(x.LOOKUP.DREG, reg(at)));
    case "jhash":
    case "symhash":
      return loadHash(w, expr, at);
    case "value":
      return op(w, "immediate", () => {
        w.u32be(x.IMMEDIATE.DREG, reg(at));
        encodeData(w, x.IMMEDIATE.DATA, valueBytes(expr.type, expr.value));
      });
    default:
      return loadField(w, expr, at);
  }
}

function loadField(w: MessageWriter, expr: Expr & { kind: "payload" | "meta" | "ct" | "fib" | "numgen" }, at: number): MessageWriter {
  switch (expr.kind) {
    case "payload": {
      const { base, offset, type } = PAYLOAD_FIELDS[expr.field];
      return op(w, "payload", () => {
        w.u32be(x.PAYLOAD.DREG, reg(at)).u32be(x.PAYLOAD.BASE, x.PAYLOAD_BASES[base]);
        w.u32be(x.PAYLOAD.OFFSET, offset).u32be(x.PAYLOAD.LEN, DATATYPES[type].bytes);
      });
    }
    case "meta":
      return op(w, "meta", () => w.u32be(x.META.DREG, reg(at)).u32be(x.META.KEY, x.META_NUMBERS[expr.key]));
    case "ct":
      return op(w, "ct", () => {
        w.u32be(x.CT.DREG, reg(at)).u32be(x.CT.KEY, x.CT_NUMBERS[expr.key]);
        if (expr.direction !== undefined) w.u8(x.CT.DIRECTION, expr.direction === "original" ? 0 : 1);
      });
    case "fib":
      return op(w, "fib", () => {
        const flags = expr.keys.reduce((sum, key) => sum | x.FIB_FLAGS[key], 0);
        w.u32be(x.FIB.DREG, reg(at)).u32be(x.FIB.RESULT, x.FIB_RESULT_NUMBERS[expr.result]).u32be(x.FIB.FLAGS, flags);
      });
    case "numgen":
      return op(w, "numgen", () => {
        w.u32be(x.NUMGEN.DREG, reg(at)).u32be(x.NUMGEN.MODULUS, expr.mod);
        w.u32be(x.NUMGEN.TYPE, x.NUMGEN_TYPES[expr.mode]).u32be(x.NUMGEN.OFFSET, expr.offset ?? 0);
      });
  }
}

function loadHash(w: MessageWriter, expr: Expr & { kind: "jhash" | "symhash" }, at: number): MessageWriter {
  if (expr.kind === "jhash") load(w, expr.of, at);
  return op(w, "hash", () => {
    if (expr.kind === "jhash") w.u32be(x.HASH.SREG, reg(at)).u32be(x.HASH.LEN, hashBytes(expr.of));
    w.u32be(x.HASH.DREG, reg(at)).u32be(x.HASH.MODULUS, expr.mod);
    if (expr.kind === "jhash" && expr.seed !== undefined) w.u32be(x.HASH.SEED, expr.seed);
    w.u32be(x.HASH.OFFSET, expr.offset ?? 0).u32be(x.HASH.TYPE, x.HASH_TYPES[expr.kind]);
  });
}

function hashBytes(expr: Expr): number {
  const types = exprTypes(expr);
  return types.length === 1 ? DATATYPES[exprType(expr)].bytes : 4 * words(types);
}

function loadBitwise(w: MessageWriter, expr: Expr & { kind: "bitwise" }, at: number): MessageWriter {
  load(w, expr.of, at);
  const type = exprType(expr.of);
  return op(w, "bitwise", () => {
    w.u32be(x.BITWISE.SREG, reg(at)).u32be(x.BITWISE.DREG, reg(at)).u32be(x.BITWISE.LEN, DATATYPES[type].bytes);
    encodeData(w, x.BITWISE.MASK, valueBytes(type, expr.mask));
    encodeData(w, x.BITWISE.XOR, expr.xor === undefined ? new Uint8Array(DATATYPES[type].bytes) : valueBytes(type, expr.xor));
  });
}

export function encodeStatement(w: MessageWriter, statement: Statement): MessageWriter {
  switch (statement.kind) {
    case "match":
      return encodeMatch(w, statement);
    case "in":
      load(w, statement.left, 0);
      return op(w, "lookup", () => {
        w.string(x.LOOKUP.SET, statement.set).u32be(x.LOOKUP.SREG, reg(0));
        if (statement.not === true) w.u32be(x.LOOKUP.FLAGS, 1);
      });
    case "vmap":
      load(w, statement.key, 0);
      return op(w, "lookup", () =>
        w.string(x.LOOKUP.SET, statement.map).u32be(x.LOOKUP.SREG, reg(0)).u32be(x.LOOKUP.DREG, NFT_REG_VERDICT),
      );
    case "verdict":
      return op(w, "immediate", () => {
        w.u32be(x.IMMEDIATE.DREG, NFT_REG_VERDICT);
        encodeVerdict(w, x.IMMEDIATE.DATA, statement.verdict);
      });
    case "set":
      return encodeSet(w, statement);
    case "dynset":
      return encodeDynset(w, statement);
    case "dnat":
    case "snat":
    case "masquerade":
    case "redirect":
      return encodeNat(w, statement);
    default:
      return encodeOther(w, statement);
  }
}

function encodeMatch(w: MessageWriter, { left, op: operator, right }: Statement & { kind: "match" }): MessageWriter {
  const type = exprType(left);
  const isOrder = operator !== "==" && operator !== "!=";
  if (DATATYPES[type].order === "host" && (isOrder || isInterval(right))) {
    // Registers are compared byte by byte, which orders only what is in network order.
    throw new FairleadError(`Cannot encode rule: ${type} can be compared for equality only`, { code: "BadRule" });
  }
  load(w, left, 0);
  if (isInterval(right)) {
    return op(w, "range", () => {
      w.u32be(x.RANGE.SREG, reg(0)).u32be(x.RANGE.OP, x.CMP_OPS[operator]);
      encodeData(w, x.RANGE.FROM_DATA, valueBytes(type, right.first));
      encodeData(w, x.RANGE.TO_DATA, valueBytes(type, right.last));
    });
  }
  return op(w, "cmp", () => {
    w.u32be(x.CMP.SREG, reg(0)).u32be(x.CMP.OP, x.CMP_OPS[operator]);
    // `eth*` compares only the bytes before the star.
    const isWildcard = type === "ifname" && typeof right === "string" && right.endsWith("*");
    encodeData(w, x.CMP.DATA, isWildcard ? Buffer.from(right.slice(0, -1)) : valueBytes(type, right));
  });
}

function encodeSet(w: MessageWriter, { target, value }: Statement & { kind: "set" }): MessageWriter {
  load(w, value, 0);
  const types = target.kind === "meta" ? META_KEYS[target.key] : CT_KEYS[target.key];
  if (DATATYPES[types].bytes !== DATATYPES[exprType(value)].bytes) {
    throw new FairleadError(`Cannot encode rule: ${target.kind} ${target.key} cannot hold a ${exprType(value)}`, { code: "BadRule" });
  }
  if (target.kind === "meta") return op(w, "meta", () => w.u32be(x.META.KEY, x.META_NUMBERS[target.key]).u32be(x.META.SREG, reg(0)));
  return op(w, "ct", () => w.u32be(x.CT.KEY, x.CT_NUMBERS[target.key]).u32be(x.CT.SREG, reg(0)));
}

function encodeDynset(w: MessageWriter, statement: Statement & { kind: "dynset" }): MessageWriter {
  load(w, statement.key, 0);
  const dataAt = words(exprTypes(statement.key));
  if (statement.data !== undefined) load(w, statement.data, dataAt);
  return op(w, "dynset", () => {
    w.string(x.DYNSET.SET_NAME, statement.set).u32be(x.DYNSET.OP, x.DYNSET_OPS[statement.op]).u32be(x.DYNSET.SREG_KEY, reg(0));
    if (statement.data !== undefined) w.u32be(x.DYNSET.SREG_DATA, reg(dataAt));
    if (statement.timeoutMs !== undefined) w.u64be(x.DYNSET.TIMEOUT, statement.timeoutMs);
  });
}

function flagBits(flags: readonly NatFlag[] | undefined): number {
  return (flags ?? []).reduce((sum, flag) => sum | x.NAT_FLAGS[flag], 0);
}

function encodeNat(w: MessageWriter, statement: Statement & { kind: "dnat" | "snat" | "masquerade" | "redirect" }): MessageWriter {
  const flags = flagBits(statement.flags);
  if (statement.kind === "masquerade")
    return op(w, "masq", () => {
      if (flags !== 0) w.u32be(x.MASQ.FLAGS, flags);
    });
  if (statement.kind === "redirect") {
    const { port } = statement;
    if (port !== undefined) load(w, port, 0);
    return op(w, "redir", () => {
      if (port !== undefined) w.u32be(x.REDIR.REG_PROTO_MIN, reg(0));
      if (flags !== 0) w.u32be(x.REDIR.FLAGS, flags);
    });
  }
  load(w, statement.to, 0);
  const [first = "index", second] = exprTypes(statement.to);
  const hasAddr = first === "ipv4_addr" || first === "ipv6_addr";
  return op(w, "nat", () => {
    w.u32be(x.NAT.TYPE, x.NAT_TYPES[statement.kind]).u32be(x.NAT.FAMILY, NFPROTO[statement.family]);
    if (hasAddr) w.u32be(x.NAT.REG_ADDR_MIN, reg(0));
    if (!hasAddr || second !== undefined) w.u32be(x.NAT.REG_PROTO_MIN, reg(hasAddr ? words([first]) : 0));
    if (flags !== 0) w.u32be(x.NAT.FLAGS, flags);
  });
}

function encodeOther(
  w: MessageWriter,
  statement: Statement & { kind: "reject" | "counter" | "limit" | "log" | "notrack" | "other" },
): MessageWriter {
  switch (statement.kind) {
    case "reject": {
      const [type, code] = x.REJECTS[statement.with];
      return op(w, "reject", () => w.u32be(x.REJECT.TYPE, type).u8(x.REJECT.ICMP_CODE, code));
    }
    case "counter":
      return op(w, "counter", () => w.u64be(x.COUNTER.BYTES, statement.bytes).u64be(x.COUNTER.PACKETS, statement.packets));
    case "limit":
      return op(w, "limit", () => {
        w.u64be(x.LIMIT.RATE, statement.rate).u64be(x.LIMIT.UNIT, x.LIMIT_UNITS[statement.per]).u32be(x.LIMIT.BURST, statement.burst);
        w.u32be(x.LIMIT.TYPE, 0).u32be(x.LIMIT.FLAGS, statement.over === true ? 1 : 0);
      });
    case "log":
      return op(w, "log", () => {
        if (statement.prefix !== undefined) w.string(x.LOG.PREFIX, statement.prefix);
        if (statement.group !== undefined) w.u16be(x.LOG.GROUP, statement.group);
      });
    case "notrack":
      return op(w, "notrack", () => {});
    case "other":
      throw new FairleadError(`Cannot encode rule: the expression "${statement.name}" is known by name only`, { code: "BadRule" });
  }
}
