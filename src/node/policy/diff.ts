// The steps from one table to another, where what has not changed is the same object and is not looked at. Pure.
import { type Change, diffTable, type NftSet, type Table } from "#nft";
import type { Patch } from "./live-set.ts";

export interface Steps {
  readonly changes: readonly Change[];
  /** What the kernel holds after `changes`: `desired`, and the chains that only `tidy` can remove. */
  readonly after: Table;
  /** Chains that are left over, and empty. In a transaction of its own, a second later: see `Diff.cleanup`. */
  readonly tidy: readonly Change[];
}

/** What has changed in sets that both tables have, where they are the same object. */
export type Patches = ReadonlyMap<NftSet, Patch>;

const NONE: Patches = new Map();

export function diff(current: Table | undefined, desired: Table, patches: Patches = NONE): Steps {
  if (current === undefined) return { changes: diffTable(undefined, desired).changes, after: desired, tidy: [] };
  const same = new Set<unknown>([...current.sets, ...current.chains]);
  const both = new Set<unknown>([...desired.sets, ...desired.chains].filter((part) => same.has(part)));
  const without = (table: Table): Table => ({
    ...table,
    sets: table.sets.filter((set) => !both.has(set)),
    chains: table.chains.filter((chain) => !both.has(chain)),
  });
  const { changes, cleanup } = diffTable(without(current), without(desired));
  const names = new Set(cleanup.map((change) => (change.op === "delete chain" ? change.chain : "")));
  const leftovers = current.chains.filter(({ name }) => names.has(name)).map((chain) => ({ ...chain, rules: [] }));
  const kept = [...patches].flatMap(([set, patch]) => (both.has(set) ? [patch] : []));
  return {
    changes: [...patchChanges(desired, kept), ...changes],
    after: { ...desired, chains: [...desired.chains, ...leftovers] },
    tidy: cleanup,
  };
}

/** The steps where nothing has changed but pods in sets: they cost what has changed. */
export function patchChanges({ family, name }: Table, patches: Iterable<Patch>): Change[] {
  const table = { family, name };
  return [...patches].flatMap(({ set, remove, add }): Change[] => [
    ...(remove.length > 0 ? [{ op: "delete elements", table, set, elements: remove } as const] : []),
    ...(add.length > 0 ? [{ op: "add elements", table, set, elements: add } as const] : []),
  ]);
}

/** Whether the kernel has what was written. */
export function isSame(found: Table | undefined, written: Table | undefined): boolean {
  if (found === undefined || written === undefined) return found === written;
  const { changes, cleanup } = diffTable(found, written);
  return changes.length + cleanup.length === 0;
}
