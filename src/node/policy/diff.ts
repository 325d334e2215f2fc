// The steps from one table to another, where what has not changed is the same object and is not looked at. Pure.
import { type Change, diffTable, type Table } from "#nft";

export interface Steps {
  readonly changes: readonly Change[];
  /** What the kernel holds after `changes`: `desired`, and the chains that only `tidy` can remove. */
  readonly after: Table;
  /** Chains that are left over, and empty. In a transaction of its own, a second later: see `Diff.cleanup`. */
  readonly tidy: readonly Change[];
}

export function diff(current: Table | undefined, desired: Table): Steps {
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
  return { changes, after: { ...desired, chains: [...desired.chains, ...leftovers] }, tidy: cleanup };
}
