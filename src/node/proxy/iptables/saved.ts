// What iptables-save prints of one table, reduced to what is ours; and what it takes to make of it what it should be.
import { ENTRIES } from "./frame.ts";
import { PREFIX } from "./names.ts";
import type { TableName } from "./rules.ts";
import type { ChainTexts } from "./ruleset.ts";

/** A rule outside our chains that leads into one. */
interface Lead {
  readonly chain: string;
  readonly rule: string;
}

export interface SavedTable {
  readonly chains: ReadonlyMap<string, string>;
  readonly leads: readonly Lead[];
}

/** What is to be done with one table. */
export interface TableChange {
  readonly chains: ChainTexts;
  readonly addLeads: readonly Lead[];
  readonly removeLeads: readonly Lead[];
}

const INTO_OURS: RegExp = new RegExp(` -[jg] ${PREFIX}\\S+$`);

export function parseSaved(text: string): SavedTable {
  const rules = new Map<string, string[]>();
  const leads: Lead[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith(`:${PREFIX}`)) rules.set(line.slice(1, line.indexOf(" ")), []);
    else if (line.startsWith(`-A ${PREFIX}`)) rules.get(line.slice(3, line.indexOf(" ", 3)))?.push(line);
    else if (line.startsWith("-A ") && INTO_OURS.test(line)) {
      const end = line.indexOf(" ", 3);
      leads.push({ chain: line.slice(3, end), rule: line.slice(end + 1) });
    }
  }
  return { chains: new Map([...rules].map(([name, lines]) => [name, lines.join("\n")])), leads };
}

/** Chains that are as they should be are not in it. */
export function diffTable(table: TableName, saved: SavedTable, wanted: ReadonlyMap<string, string | undefined>): TableChange {
  const chains: ChainTexts = new Map();
  for (const [name, text] of wanted) if (saved.chains.get(name) !== text) chains.set(name, text);
  for (const name of saved.chains.keys()) if (wanted.get(name) === undefined) chains.set(name, undefined);
  const missing = new Map(ENTRIES[table].map((entry) => [`${entry.chain} ${entry.rule}`, entry]));
  // Twice the same is once too often; others lead to where nothing is, or they are of another version.
  const removeLeads = saved.leads.filter(({ chain, rule }) => !missing.delete(`${chain} ${rule}`));
  return { chains, addLeads: [...missing.values()], removeLeads };
}

export function removal({ chains, leads }: SavedTable): TableChange {
  return { chains: new Map([...chains.keys()].map((name) => [name, undefined])), addLeads: [], removeLeads: leads };
}

/** How many steps it is. */
export function sizeOf({ chains, addLeads, removeLeads }: TableChange): number {
  return chains.size + addLeads.length + removeLeads.length;
}
