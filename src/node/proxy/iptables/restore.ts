// Changes as the input of iptables-restore --noflush. What stands between `*table` and `COMMIT` happens at once.
import { TABLES, type TableName } from "./rules.ts";
import type { TableChange } from "./saved.ts";
import { sizeOf } from "./saved.ts";

export type Changes = Readonly<Record<TableName, TableChange>>;

/** Empty: there is nothing to do. */
export function formatRestore(changes: Changes): string {
  return TABLES.filter((table) => sizeOf(changes[table]) > 0)
    .map((table) => section(table, changes[table]))
    .join("");
}

/** A line `:CHAIN` makes the chain, or empties it. */
function section(table: TableName, { chains, addLeads, removeLeads }: TableChange): string {
  const names = [...chains.keys()].map((name) => `:${name} - [0:0]`);
  const rules = [...chains.values()].filter((text) => text !== undefined && text !== "");
  const gone = [...chains].filter(([, text]) => text === undefined).map(([name]) => `-X ${name}`);
  const lines = [
    `*${table}`,
    ...names,
    ...rules,
    // First in their chains, as others that want their packets untranslated expect (and as kube-proxy's are).
    ...addLeads.map(({ chain, rule }) => `-I ${chain} ${rule}`),
    ...removeLeads.map(({ chain, rule }) => `-D ${chain} ${rule}`),
    ...gone,
    "COMMIT",
  ];
  return `${lines.join("\n")}\n`;
}
