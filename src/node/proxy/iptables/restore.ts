// Changes as the input of iptables-restore --noflush, table by table. What stands between `*table` and `COMMIT` happens at once.
import { ENTRIES } from "./frame.ts";
import { TABLES, type TableName } from "./rules.ts";
import type { ChainTexts } from "./ruleset.ts";
import { sizeOf, type TableChange } from "./saved.ts";

/**
 * Empty: there is nothing to do. With `maxLines` it is several steps, none much longer than that, through which packets always find
 * their way: a chain is written after those it leads to, and what goes is emptied first.
 */
export function formatRestore(table: TableName, change: TableChange, maxLines?: number): string {
  const all = maxLines === undefined ? [change] : steps(change, maxLines);
  return all
    .filter((step) => sizeOf(step) > 0)
    .map((step) => section(table, step))
    .join("");
}

/** Fails unless the kernel's own chains lead into ours. Changes nothing: a table that is as it was is not written back. */
export function formatCheck(): string {
  return TABLES.map((table) => {
    const checks = ENTRIES[table].map(({ chain, rule }) => `-C ${chain} ${rule}`);
    return `${[`*${table}`, ...checks, "COMMIT"].join("\n")}\n`;
  }).join("");
}

/**
 * A line `:CHAIN` makes the chain, or empties it. In the order of their names: iptables 1.8 keeps a sorted list of them (nft-cache.c,
 * `cache_chain_list_insert`), and 20,000 in another order take it ten times as long.
 */
function section(table: TableName, { chains, addLeads, removeLeads }: TableChange): string {
  const names = [...chains.keys()].sort().map((name) => `:${name} - [0:0]`);
  const rules = [...chains.values()].filter((text) => text !== undefined && text !== "");
  const gone = [...chains]
    .filter(([, text]) => text === undefined)
    .map(([name]) => `-X ${name}`)
    .sort();
  const lines = [
    `*${table}`,
    ...names,
    ...rules,
    // First in their chains, where kube-proxy's are too: others translate or refuse what services leave to them.
    ...addLeads.map(({ chain, rule }) => `-I ${chain} ${rule}`),
    ...removeLeads.map(({ chain, rule }) => `-D ${chain} ${rule}`),
    ...gone,
    "COMMIT",
  ];
  return `${lines.join("\n")}\n`;
}

const NO_LEADS = { addLeads: [], removeLeads: [] };

function steps({ chains, addLeads, removeLeads }: TableChange, maxLines: number): TableChange[] {
  const written = [...chains].filter(([, text]) => text !== undefined);
  const gone = [...chains].filter(([, text]) => text === undefined);
  const emptied = gone.map(([name]): [string, string] => [name, ""]);
  return [
    ...inGroups(written, maxLines).map((group) => ({ chains: group, ...NO_LEADS })),
    { chains: new Map(), addLeads, removeLeads },
    ...inGroups([...emptied], maxLines).map((group) => ({ chains: group, ...NO_LEADS })),
    ...inGroups(gone, maxLines).map((group) => ({ chains: group, ...NO_LEADS })),
  ];
}

function inGroups(chains: readonly (readonly [string, string | undefined])[], maxLines: number): ChainTexts[] {
  const groups: ChainTexts[] = [];
  let room = 0;
  for (const [name, text] of chains) {
    const lines = text === "" ? 1 : text === undefined ? 2 : 1 + text.split("\n").length;
    let group = groups.at(-1);
    if (group === undefined || lines > room) {
      group = new Map();
      groups.push(group);
      room = maxLines;
    }
    group.set(name, text);
    room -= lines;
  }
  return groups;
}
