// Rules back from the kernel's expressions: registers are followed as the kernel would use them, but what they hold are expressions.
import {
  CT_KEYS,
  type CtKey,
  DATATYPES,
  type Datatype,
  type Expr,
  exprTypes,
  META_KEYS,
  type MetaKey,
  type NatFlag,
  PAYLOAD_FIELDS,
  type PayloadField,
  paddedBytes,
  type RejectWith,
  type Rule,
  readValue,
  type SetHeader,
  type Statement,
} from "#nft";
import type { AttrReader, NetlinkMessage } from "../netlink/index.ts";
import * as n from "../uapi/nf-tables.ts";
import * as x from "../uapi/nf-tables-expr.ts";
import { decodeVerdict } from "./elements.ts";
import { NFGENMSG_LEN } from "./message.ts";
import { Operands } from "./operands.ts";
import { decodeComment } from "./userdata.ts";

export interface DecodedRule {
  readonly chain: string;
  readonly rule: Rule;
}

/** `sets` are those of the rule's table: they tell how long keys are and what maps hold. */
export function decodeRule(message: NetlinkMessage, sets: ReadonlyMap<string, SetHeader>): DecodedRule {
  const attrs = message.attrs(NFGENMSG_LEN);
  const decoder = new RuleDecoder(sets, message.buf[message.payload] ?? 0);
  let chain = "";
  let handle = 0;
  let comment: string | undefined;
  while (attrs.next()) {
    if (attrs.type === n.NFTA_RULE_CHAIN) chain = attrs.string();
    else if (attrs.type === n.NFTA_RULE_HANDLE) handle = Number(attrs.u64be());
    else if (attrs.type === n.NFTA_RULE_USERDATA) comment = decodeComment(attrs.bytes());
    else if (attrs.type === n.NFTA_RULE_EXPRESSIONS) {
      const list = attrs.nested();
      while (list.next()) decoder.expression(list.nested());
    }
  }
  comment ??= decoder.comment;
  return { chain, rule: { statements: decoder.statements, handle, ...(comment !== undefined && { comment }) } };
}

class RuleDecoder {
  readonly statements: Statement[] = [];
  /** Of iptables over nf_tables, which writes comments as a match of its own that always holds. */
  comment: string | undefined;
  readonly #sets: ReadonlyMap<string, SetHeader>;
  readonly #family: number;
  readonly #words = new Map<number, Expr>();
  /** What the rule matched `meta l4proto` with: the first byte of a transport header means different things. */
  #protocol: unknown;

  constructor(sets: ReadonlyMap<string, SetHeader>, family: number) {
    this.#sets = sets;
    this.#family = family;
  }

  expression(attrs: AttrReader): void {
    let name = "";
    let operands = new Operands();
    while (attrs.next()) {
      if (attrs.type === n.NFTA_EXPR_NAME) name = attrs.string();
      else if (attrs.type === n.NFTA_EXPR_DATA) operands = new Operands(attrs.nested());
    }
    if (name === "match" && operands.string(x.XT_MATCH.NAME) === "comment") {
      this.comment = operands.string(x.XT_MATCH.INFO);
      return;
    }
    const statement = this.#load(name, operands) ?? this.#statement(name, operands) ?? { kind: "other", name };
    if (statement !== "loaded") this.statements.push(statement);
  }

  #put(register: number, expr: Expr): "loaded" {
    const word = wordOf(register);
    for (let i = 0; i < registerBytes(expr) / 4; i++) this.#words.delete(word + i);
    this.#words.set(word, expr);
    return "loaded";
  }

  /** What lies in `bytes` bytes of registers: one expression, or a concatenation. Constants get their types from `types`. */
  #get(register: number, bytes: number, types: readonly Datatype[] = []): Expr {
    const parts: Expr[] = [];
    for (let word = wordOf(register), left = bytes; left > 0; ) {
      const expr = this.#words.get(word);
      if (expr === undefined) break;
      const type = types[parts.length];
      parts.push(type === undefined ? expr : retype(expr, type));
      const size = registerBytes(expr);
      word += size / 4;
      left -= size;
    }
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : { kind: "concat", parts };
  }

  #key(set: SetHeader, register: number): Expr {
    return this.#get(register, typeBytes(set.key), set.key);
  }

  /** Expressions that only fill registers. */
  #load(name: string, o: Operands): "loaded" | undefined {
    switch (name) {
      case "payload": {
        const field = o.has(x.PAYLOAD.DREG) ? this.#payloadField(o) : undefined;
        return field && this.#put(o.u32(x.PAYLOAD.DREG), { kind: "payload", field });
      }
      case "meta": {
        const key = keyOf(x.META_NUMBERS, o.u32(x.META.KEY));
        return o.has(x.META.DREG) && isMetaKey(key) ? this.#put(o.u32(x.META.DREG), { kind: "meta", key }) : undefined;
      }
      case "ct": {
        const key = keyOf(x.CT_NUMBERS, o.u32(x.CT.KEY));
        if (!o.has(x.CT.DREG) || !isCtKey(key)) return undefined;
        const direction = o.u8(x.CT.DIRECTION) === 0 ? "original" : "reply";
        return this.#put(o.u32(x.CT.DREG), o.has(x.CT.DIRECTION) ? { kind: "ct", key, direction } : { kind: "ct", key });
      }
      case "immediate":
        // The type of a constant follows from its use (`#natTarget`).
        if (o.u32(x.IMMEDIATE.DREG) === n.NFT_REG_VERDICT) return undefined;
        return this.#put(o.u32(x.IMMEDIATE.DREG), immediate(o.data(x.IMMEDIATE.DATA)));
      case "lookup":
        return this.#loadMap(o);
      default:
        return this.#loadComputed(name, o);
    }
  }

  #loadComputed(name: string, o: Operands): "loaded" | undefined {
    switch (name) {
      case "numgen": {
        const mode = o.u32(x.NUMGEN.TYPE) === x.NUMGEN_TYPES.inc ? "inc" : "random";
        const mod = o.u32(x.NUMGEN.MODULUS);
        return this.#put(o.u32(x.NUMGEN.DREG), { kind: "numgen", mode, mod, ...offsetOf(o.u32(x.NUMGEN.OFFSET)) });
      }
      case "hash": {
        const common = { mod: o.u32(x.HASH.MODULUS), ...offsetOf(o.u32(x.HASH.OFFSET)) };
        if (o.u32(x.HASH.TYPE) === x.HASH_TYPES.symhash) return this.#put(o.u32(x.HASH.DREG), { kind: "symhash", ...common });
        const of = this.#get(o.u32(x.HASH.SREG), o.u32(x.HASH.LEN));
        const seed = o.u32(x.HASH.SEED);
        return this.#put(o.u32(x.HASH.DREG), { kind: "jhash", of, ...common, ...(seed !== 0 && { seed }) });
      }
      case "fib": {
        const result = keyOf(x.FIB_RESULT_NUMBERS, o.u32(x.FIB.RESULT));
        const keys = (["saddr", "daddr", "mark", "iif", "oif"] as const).filter((key) => (o.u32(x.FIB.FLAGS) & x.FIB_FLAGS[key]) !== 0);
        if (result !== "type" && result !== "oif" && result !== "oifname") return undefined;
        return this.#put(o.u32(x.FIB.DREG), { kind: "fib", keys, result });
      }
      case "bitwise": {
        if (o.u32(x.BITWISE.OP) !== 0) return undefined;
        const of = this.#get(o.u32(x.BITWISE.SREG), o.u32(x.BITWISE.LEN));
        const [type = "index"] = exprTypes(of);
        const mask = readValue(o.data(x.BITWISE.MASK), 0, type);
        const xorBytes = o.data(x.BITWISE.XOR);
        const xor = xorBytes.some((byte) => byte !== 0) ? { xor: readValue(xorBytes, 0, type) } : {};
        return this.#put(o.u32(x.BITWISE.DREG), { kind: "bitwise", of, mask, ...xor });
      }
      default:
        return undefined;
    }
  }

  #loadMap(o: Operands): "loaded" | undefined {
    const map = this.#sets.get(o.string(x.LOOKUP.SET));
    if (!o.has(x.LOOKUP.DREG) || map === undefined || map.data === undefined || map.data === "verdict") return undefined;
    const key = this.#key(map, o.u32(x.LOOKUP.SREG));
    return this.#put(o.u32(x.LOOKUP.DREG), { kind: "map", key, map: map.name, type: map.data });
  }

  #payloadField(o: Operands): PayloadField | undefined {
    const base = keyOf(x.PAYLOAD_BASES, o.u32(x.PAYLOAD.BASE));
    for (const field of Object.keys(PAYLOAD_FIELDS)) {
      if (!isPayloadField(field)) continue;
      const info = PAYLOAD_FIELDS[field];
      if (info.base !== base || info.offset !== o.u32(x.PAYLOAD.OFFSET)) continue;
      if (DATATYPES[info.type].bytes !== o.u32(x.PAYLOAD.LEN)) continue;
      if (field === "icmp type" && this.#protocol === 58) continue;
      return field;
    }
    return undefined;
  }

  #statement(name: string, o: Operands): Statement | undefined {
    switch (name) {
      case "immediate":
        return { kind: "verdict", verdict: o.read(x.IMMEDIATE.DATA, decodeVerdict) ?? { kind: "continue" } };
      case "cmp":
        return this.#match(o);
      case "range": {
        const left = this.#words.get(wordOf(o.u32(x.RANGE.SREG)));
        if (left === undefined) return undefined;
        const [type = "index"] = exprTypes(left);
        const right = { first: readValue(o.data(x.RANGE.FROM_DATA), 0, type), last: readValue(o.data(x.RANGE.TO_DATA), 0, type) };
        return { kind: "match", left, op: o.u32(x.RANGE.OP) === 0 ? "==" : "!=", right };
      }
      case "lookup":
        return this.#lookup(o);
      case "meta":
      case "ct":
        return this.#set(name, o);
      case "dynset":
        return this.#dynset(o);
      case "nat":
        return this.#nat(o);
      default:
        return this.#plain(name, o);
    }
  }

  #match(o: Operands): Statement | undefined {
    const left = this.#words.get(wordOf(o.u32(x.CMP.SREG)));
    const op = keyOf(x.CMP_OPS, o.u32(x.CMP.OP));
    if (left === undefined || op === undefined) return undefined;
    const [type = "index"] = exprTypes(left);
    const bytes = o.data(x.CMP.DATA);
    const value = readValue(bytes, 0, type);
    const right = type === "ifname" && bytes.length < 16 && typeof value === "string" ? `${value}*` : value;
    if (left.kind === "meta" && left.key === "l4proto") this.#protocol = right;
    return { kind: "match", left, op, right };
  }

  #lookup(o: Operands): Statement | undefined {
    const set = this.#sets.get(o.string(x.LOOKUP.SET));
    if (set === undefined) return undefined;
    const key = this.#key(set, o.u32(x.LOOKUP.SREG));
    if (o.has(x.LOOKUP.DREG)) return { kind: "vmap", key, map: set.name };
    return { kind: "in", left: key, set: set.name, ...(o.u32(x.LOOKUP.FLAGS) === 1 && { not: true }) };
  }

  #set(name: "meta" | "ct", o: Operands): Statement | undefined {
    const value = this.#words.get(wordOf(o.u32(name === "meta" ? x.META.SREG : x.CT.SREG)));
    if (value === undefined) return undefined;
    if (name === "ct") {
      return keyOf(x.CT_NUMBERS, o.u32(x.CT.KEY)) === "mark"
        ? { kind: "set", target: { kind: "ct", key: "mark" }, value: retype(value, "mark") }
        : undefined;
    }
    const key = keyOf(x.META_NUMBERS, o.u32(x.META.KEY));
    if (key !== "mark" && key !== "nftrace") return undefined;
    return { kind: "set", target: { kind: "meta", key }, value: retype(value, META_KEYS[key]) };
  }

  #dynset(o: Operands): Statement | undefined {
    const set = this.#sets.get(o.string(x.DYNSET.SET_NAME));
    const op = keyOf(x.DYNSET_OPS, o.u32(x.DYNSET.OP));
    if (set === undefined || op === undefined) return undefined;
    const key = this.#key(set, o.u32(x.DYNSET.SREG_KEY));
    const data = set.data === undefined || set.data === "verdict" ? [] : set.data;
    return {
      kind: "dynset",
      op,
      set: set.name,
      key,
      ...(o.has(x.DYNSET.SREG_DATA) && { data: this.#get(o.u32(x.DYNSET.SREG_DATA), typeBytes(data), data) }),
      ...(o.has(x.DYNSET.TIMEOUT) && { timeoutMs: o.u64(x.DYNSET.TIMEOUT) }),
    };
  }

  #nat(o: Operands): Statement | undefined {
    const family = o.u32(x.NAT.FAMILY) === n.NFPROTO.ip6 ? "ip6" : "ip";
    const to = this.#natTarget(o, family);
    if (to === undefined) return undefined;
    const kind = o.u32(x.NAT.TYPE) === x.NAT_TYPES.dnat ? "dnat" : "snat";
    return { kind, family, to, ...natFlags(o.u32(x.NAT.FLAGS)) };
  }

  #natTarget(o: Operands, family: "ip" | "ip6"): Expr | undefined {
    const at = (attr: number): Expr | undefined => (o.has(attr) ? this.#words.get(wordOf(o.u32(attr))) : undefined);
    const addr = at(x.NAT.REG_ADDR_MIN);
    const port = at(x.NAT.REG_PROTO_MIN);
    const typedPort = port && retype(port, "inet_service");
    if (addr === undefined) return typedPort;
    const typedAddr = retype(addr, family === "ip" ? "ipv4_addr" : "ipv6_addr");
    return typedPort === undefined ? typedAddr : { kind: "concat", parts: [typedAddr, typedPort] };
  }

  #plain(name: string, o: Operands): Statement | undefined {
    switch (name) {
      case "masq":
        return { kind: "masquerade", ...natFlags(o.u32(x.MASQ.FLAGS)) };
      case "redir": {
        const port = o.has(x.REDIR.REG_PROTO_MIN) ? this.#words.get(wordOf(o.u32(x.REDIR.REG_PROTO_MIN))) : undefined;
        return { kind: "redirect", ...(port && { port: retype(port, "inet_service") }), ...natFlags(o.u32(x.REDIR.FLAGS)) };
      }
      case "reject":
        return this.#reject(o);
      case "counter":
        return { kind: "counter", packets: o.u64(x.COUNTER.PACKETS), bytes: o.u64(x.COUNTER.BYTES) };
      case "limit": {
        const per = keyOf(x.LIMIT_UNITS, o.u64(x.LIMIT.UNIT));
        if (per === undefined || o.u32(x.LIMIT.TYPE) !== 0) return undefined;
        const over = (o.u32(x.LIMIT.FLAGS) & 1) !== 0;
        return { kind: "limit", rate: o.u64(x.LIMIT.RATE), per, burst: o.u32(x.LIMIT.BURST), ...(over && { over }) };
      }
      case "log":
        return {
          kind: "log",
          ...(o.has(x.LOG.PREFIX) && { prefix: o.string(x.LOG.PREFIX) }),
          ...(o.has(x.LOG.GROUP) && { group: o.u16(x.LOG.GROUP) }),
        };
      case "notrack":
        return { kind: "notrack" };
      default:
        return undefined;
    }
  }

  #reject(o: Operands): Statement | undefined {
    for (const name of Object.keys(x.REJECTS)) {
      if (!isReject(name)) continue;
      const [type, code] = x.REJECTS[name];
      if (type !== o.u32(x.REJECT.TYPE) || (type !== 1 && code !== o.u8(x.REJECT.ICMP_CODE))) continue;
      if (name.startsWith("icmp ") && this.#family === n.NFPROTO.ip6) continue;
      return { kind: "reject", with: name };
    }
    return undefined;
  }
}

function wordOf(register: number): number {
  return register <= n.NFT_REG_4 ? (register - n.NFT_REG_1) * 4 : register - n.NFT_REG32_00;
}

function typeBytes(types: readonly Datatype[]): number {
  return types.reduce((sum, type) => sum + paddedBytes(type), 0);
}

function registerBytes(expr: Expr): number {
  return expr.kind === "value" && expr.value instanceof Uint8Array ? (expr.value.length + 3) & ~3 : typeBytes(exprTypes(expr));
}

/** A constant before its use tells the type: kept as bytes. */
function immediate(bytes: Uint8Array): Expr {
  return { kind: "value", type: "ether_addr", value: bytes };
}

function retype(expr: Expr, type: Datatype): Expr {
  if (expr.kind !== "value" || !(expr.value instanceof Uint8Array)) return expr;
  return { kind: "value", type, value: readValue(expr.value, 0, type) };
}

function offsetOf(offset: number): { offset?: number } {
  return offset === 0 ? {} : { offset };
}

function natFlags(bits: number): { flags?: NatFlag[] } {
  const flags = (["random", "fully-random", "persistent"] as const).filter((flag) => (bits & x.NAT_FLAGS[flag]) !== 0);
  return flags.length === 0 ? {} : { flags };
}

function keyOf<K extends string>(table: Readonly<Record<K, number>>, number: number): K | undefined {
  for (const key in table) if (table[key] === number) return key;
  return undefined;
}

function isMetaKey(key: string | undefined): key is MetaKey {
  return key !== undefined && key in META_KEYS;
}

function isCtKey(key: string | undefined): key is CtKey {
  return key !== undefined && key in CT_KEYS;
}

function isPayloadField(field: string): field is PayloadField {
  return field in PAYLOAD_FIELDS;
}

function isReject(name: string): name is RejectWith {
  return name in x.REJECTS;
}
