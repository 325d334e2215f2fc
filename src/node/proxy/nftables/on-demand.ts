// Chains that are made when the first element goes to them: each has its parameters in its name, and no Service in it.
import type { Family } from "#ip";
import {
  type Chain,
  concat,
  ct,
  drop,
  type Expr,
  goto,
  inSet,
  meta,
  ofFamily,
  payload,
  type Rule,
  type SetHeader,
  type Statement,
} from "#nft";
import { daddr, frontendExpr, saddr } from "../expressions.ts";
import { affinityMap, FIRST_NUMBER, type Scope, SETS } from "./layout.ts";

const GUARDED = "guarded-";

/** Where a frontend's first packets go; within it, `scope` says to which of its lists of backends. */
export interface Choice {
  readonly scope: Scope;
  /** How many backends there are. */
  readonly count: number;
  /** The number of the service port that remembers clients, where it does. */
  readonly owner?: number | undefined;
  /** Asks before all whether the client may use the frontend. */
  readonly guarded: boolean;
}

/** The chain that begins the choice. */
export function entryChainName(family: Family, { scope, count, owner, guarded }: Choice): string {
  const name = owner === undefined ? pickChainName(family, scope, count) : `${scopePrefix(scope)}stick${family}-${owner}`;
  return guarded ? `${GUARDED}${name}` : name;
}

/** Picks one of `count` backends. */
export function pickChainName(family: Family, scope: Scope, count: number): string {
  return `${scopePrefix(scope)}pick${family}-${count}`;
}

function scopePrefix(scope: Scope): string {
  return scope === "inside" ? "inside-" : "";
}

export function rememberChainName(family: Family, owner: number, seconds: number): string {
  return `remember${family}-${owner}-${seconds}`;
}

interface Parsed {
  readonly guarded: boolean;
  readonly scope: Scope;
  readonly kind: "pick" | "stick" | "remember";
  readonly family: Family;
  /** Backends (pick), or the owner's number (stick, remember). */
  readonly number: number;
  readonly seconds: number;
}

function parse(name: string): Parsed | undefined {
  const match = /^(guarded-)?(inside-)?(pick|stick|remember)([46])-(\d+)(?:-(\d+))?$/.exec(name);
  if (match === null) return undefined;
  const [, guarded, inside, kind, family, number, seconds] = match;
  return {
    guarded: guarded !== undefined,
    scope: inside === undefined ? "all" : "inside",
    kind: kind === "pick" || kind === "stick" ? kind : "remember",
    family: family === "4" ? 4 : 6,
    number: Number(number),
    seconds: Number(seconds ?? 0),
  };
}

/** The number in the name of a chain that remembers clients, or asks who is remembered. */
export function ownerIn(name: string): number | undefined {
  const parsed = parse(name);
  return parsed === undefined || parsed.kind === "pick" ? undefined : parsed.number;
}

/** A chain that elements go to, from its name. */
export function chainByName(name: string): Chain | undefined {
  const parsed = parse(name);
  return parsed && { name, rules: rulesOf(name, parsed) };
}

function rulesOf(name: string, { guarded, scope, kind, family, number, seconds }: Parsed): Rule[] {
  if (guarded) return guardRules(family, name.slice(GUARDED.length));
  if (kind === "pick") return pickRules(family, number, scope);
  if (kind === "stick") return stickRules(family, number, scope);
  return [rememberRule(family, number, seconds)];
}

/** What must exist before: the chain it goes to, the maps it uses. */
export function neededBy(name: string): { readonly chain?: string; readonly sets: readonly SetHeader[] } {
  const parsed = parse(name);
  if (parsed === undefined) return { sets: [] };
  const { spread, insideSpread, sourceRanges } = SETS[parsed.family];
  if (parsed.guarded) return { chain: name.slice(GUARDED.length), sets: [sourceRanges] };
  if (parsed.kind === "pick") return { sets: [] };
  const affinity = affinityMap(parsed.family, parsed.number);
  if (parsed.kind === "remember") return { sets: [affinity] };
  return { sets: [affinity, parsed.scope === "inside" ? insideSpread : spread] };
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

/** nft (1.0.6) shows no constant in a concatenation: a number out of one is the same. */
function ownerExpr(owner: number): Expr {
  return { kind: "numgen", mode: "random", mod: 1, ...(owner > 0 && { offset: owner }) };
}

function stickRules(family: Family, owner: number, scope: Scope): Rule[] {
  const { spread, insideSpread } = SETS[family];
  const client = concat(saddr(family), meta("l4proto"), ownerExpr(owner));
  const map = scope === "inside" ? insideSpread : spread;
  return [
    { statements: [ofFamily(family), dnatTo(family, client, affinityMap(family, owner))] },
    { statements: [ofFamily(family), { kind: "vmap", key: frontendExpr(family), map: map.name }] },
  ];
}

/** `update` leaves the backend of a client that is known, and starts its time anew. */
function rememberRule(family: Family, owner: number, seconds: number): Rule {
  const key = concat(ct(family === 4 ? "ip saddr" : "ip6 saddr", "original"), meta("l4proto"), ownerExpr(owner));
  const data = concat(daddr(family), payload("th dport"));
  const update: Statement = { kind: "dynset", op: "update", set: affinityMap(family, owner).name, key, data, timeoutMs: seconds * 1000 };
  return { statements: [ofFamily(family), update] };
}
