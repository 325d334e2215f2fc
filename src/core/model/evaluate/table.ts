// A table made ready for packets: sets indexed, rules compiled, once.
import { FairleadError } from "#base";
import type { BaseChain, Expr, Statement, Table } from "#nft";
import { type Chains, type PreparedChain, prepareChain } from "./chain.ts";
import type { Compiling } from "./evaluation.ts";
import { compileExpr } from "./expressions/index.ts";
import { type PreparedSet, prepareSet } from "./set.ts";

export interface PreparedBase extends PreparedChain {
  readonly base: BaseChain;
}

export interface PreparedTable extends Chains {
  readonly family: Table["family"];
  readonly bases: readonly PreparedBase[];
  /** Whether something in it needs conntrack: only then the kernel tracks connections (nf_ct_netns_get). */
  readonly tracks: boolean;
}

const PREPARED: WeakMap<Table, PreparedTable> = new WeakMap();

/** Throws FairleadError where a rule names a set that is not there, which the kernel would not have taken. */
export function prepareTable(table: Table): PreparedTable {
  const known = PREPARED.get(table);
  if (known !== undefined) return known;
  const id = `${table.family} ${table.name}`;
  const sets = new Map<string, PreparedSet>(table.sets.map((set) => [set.name, prepareSet(set)]));
  const compiling: Compiling = {
    table: id,
    set(name) {
      const set = sets.get(name);
      if (set === undefined) throw new FairleadError(`Cannot walk through table ${id}: there is no set ${name}`, { code: "NoSuchSet" });
      return set;
    },
    read: (expr) => compileExpr(expr, compiling),
  };
  const chains = new Map(table.chains.map((chain) => [chain.name, prepareChain(chain, compiling)]));
  const bases = [...chains.values()].flatMap((chain) => (chain.chain.base === undefined ? [] : [{ ...chain, base: chain.chain.base }]));
  const prepared: PreparedTable = { table: id, family: table.family, chains, bases, tracks: needsConntrack(table) };
  PREPARED.set(table, prepared);
  return prepared;
}

function needsConntrack({ chains }: Table): boolean {
  return chains.some(({ base, rules }) => base?.type === "nat" || rules.some(({ statements }) => statements.some(readsConnection)));
}

function readsConnection(statement: Statement): boolean {
  switch (statement.kind) {
    case "match":
    case "in":
      return exprReadsConnection(statement.left);
    case "vmap":
      return exprReadsConnection(statement.key);
    case "set":
      return statement.target.kind === "ct" || exprReadsConnection(statement.value);
    case "dynset":
      return exprReadsConnection(statement.key) || (statement.data !== undefined && exprReadsConnection(statement.data));
    default:
      return false;
  }
}

function exprReadsConnection(expr: Expr): boolean {
  switch (expr.kind) {
    case "ct":
      return true;
    case "concat":
      return expr.parts.some((part) => exprReadsConnection(part));
    case "bitwise":
    case "jhash":
      return exprReadsConnection(expr.of);
    case "map":
      return exprReadsConnection(expr.key);
    default:
      return false;
  }
}
