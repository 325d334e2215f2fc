// Judges a packet by a compiled table.
import { addrToBigInt } from "#ip";
import { type Expr, isInterval, type NftSet, type Statement, type Table, type Value } from "#nft";
import type { Packet } from "../../../core/netpol/testing/reference.ts";

/** Whether the table lets a packet of a connection through, on its way from a link. */
export function passes(table: Table, packet: Packet): boolean {
  return new Walk(table, packet).chain("routed") !== "drop";
}

class Walk {
  readonly #table: Table;
  readonly #packet: Packet;

  constructor(table: Table, packet: Packet) {
    this.#table = table;
    this.#packet = packet;
  }

  chain(name: string): "accept" | "drop" | "return" {
    const chain = this.#table.chains.find((c) => c.name === name);
    if (chain === undefined) throw new Error(`no chain ${name}`);
    for (const { statements } of chain.rules) {
      const verdict = this.#rule(statements);
      if (verdict === "return") return "return";
      if (verdict !== undefined) return verdict;
    }
    return "return";
  }

  #rule(statements: readonly Statement[]): "accept" | "drop" | "return" | undefined {
    for (const statement of statements) {
      if (statement.kind === "match") {
        // Of the flow's state there is nothing here but "established" and "new".
        if (statement.left.kind === "bitwise") return undefined;
        if (!same(this.#read(statement.left), [statement.right])) return undefined;
      } else if (statement.kind === "in") {
        if (this.#find(statement.set, statement.left) === undefined) return undefined;
      } else if (statement.kind === "vmap") {
        const data = this.#find(statement.map, statement.key)?.data;
        if (data === undefined || !("kind" in data) || data.kind !== "jump") return undefined;
        const verdict = this.chain(data.chain);
        return verdict === "return" ? undefined : verdict;
      } else if (statement.kind === "verdict") {
        if (statement.verdict.kind === "goto") return this.chain(statement.verdict.chain);
        const { kind } = statement.verdict;
        if (kind === "accept" || kind === "drop" || kind === "return") return kind;
        throw new Error(`verdict ${kind}`);
      } else if (["log", "limit", "counter"].includes(statement.kind)) {
        // The packet goes on.
      } else throw new Error(`statement ${statement.kind}`);
    }
    return undefined;
  }

  #find(name: string, key: Expr): NftSet["elements"][number] | undefined {
    const set = this.#table.sets.find((s) => s.name === name);
    if (set === undefined) throw new Error(`no set ${name}`);
    const values = this.#read(key);
    return values === undefined ? undefined : set.elements.find((element) => same(values, element.key));
  }

  /** Undefined where the packet has no such thing, and the rule ends. */
  #read(expr: Expr): Value[] | undefined {
    const { src, dst, protocol, port } = this.#packet;
    if (expr.kind === "concat") {
      const parts = expr.parts.map((part) => this.#read(part));
      return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
    }
    if (expr.kind === "meta" && expr.key === "nfproto") return [src.family === 4 ? 2 : 10];
    if (expr.kind === "meta" && expr.key === "l4proto") return [protocol];
    if (expr.kind === "ct" && expr.key === "proto-src" && expr.direction === "reply") return [port];
    if (expr.kind === "ct" && expr.key === (src.family === 4 ? "ip saddr" : "ip6 saddr"))
      return [expr.direction === "original" ? src : dst];
    if (expr.kind === "ct") return undefined;
    throw new Error(`expression ${JSON.stringify(expr)}`);
  }
}

function same(values: readonly Value[] | undefined, parts: NftSet["elements"][number]["key"]): boolean {
  return (
    values?.every((value, i) => {
      const part = parts[i];
      if (part === undefined) return false;
      const number = numberOf(value);
      return isInterval(part) ? numberOf(part.first) <= number && number <= numberOf(part.last) : numberOf(part) === number;
    }) === true
  );
}

function numberOf(value: Value): bigint {
  if (typeof value === "number") return BigInt(value);
  if (typeof value === "object" && "family" in value) return addrToBigInt(value);
  throw new Error(`value ${String(value)}`);
}
