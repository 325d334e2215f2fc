// iptables in memory, for tests: what iptables-restore --noflush does to tables, and what iptables-save prints of them.
import { FairleadError } from "#base";
import type { Family } from "#ip";
import { TABLES, type TableName } from "./rules.ts";
import { type Iptables, TOO_LONG } from "./tool.ts";

const BUILT_IN: Readonly<Record<TableName, readonly string[]>> = {
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
};

type Table = Map<string, string[]>;

function emptyTable(name: TableName): Table {
  return new Map(BUILT_IN[name].map((chain) => [chain, []]));
}

export class FakeIptables implements Iptables {
  /** What was restored, in order. */
  readonly restored: { readonly family: Family; readonly text: string }[] = [];
  /** Fails the next restore with this code. */
  failNext: string | undefined;
  /** How many lines it takes before a COMMIT. */
  maxLines: number = Number.POSITIVE_INFINITY;
  readonly #tables = new Map<string, Table>();

  restore(family: Family, text: string): Promise<void> {
    try {
      if (this.failNext !== undefined) throw new FairleadError(`failed as told: ${this.failNext}`, { code: this.failNext });
      if (text.split("COMMIT\n").some((section) => section.split("\n").length > this.maxLines)) {
        throw new FairleadError("too long", { code: TOO_LONG });
      }
      this.restored.push({ family, text });
      let table: TableName | undefined;
      let work: Table | undefined;
      for (const line of text.trimEnd().split("\n")) {
        if (line.startsWith("*")) {
          table = TABLES.find((name) => line === `*${name}`);
          work = table && structuredClone(this.#table(family, table));
        } else if (table === undefined || work === undefined) throw new Error(`no table yet: ${line}`);
        else if (line === "COMMIT") this.#tables.set(`${family} ${table}`, checked(work));
        else perform(line, work);
      }
      return Promise.resolve();
    } catch (err) {
      return Promise.reject(err);
    } finally {
      this.failNext = undefined;
    }
  }

  save(family: Family, name: TableName): Promise<string> {
    const chains = [...this.#table(family, name)].sort(([a], [b]) => (a < b ? -1 : 1));
    const names = chains.map(([chain]) => `:${chain} ${BUILT_IN[name].includes(chain) ? "ACCEPT" : "-"} [0:0]`);
    const rules = chains.flatMap(([chain, list]) => list.map((rule) => `-A ${chain} ${rule}`));
    return Promise.resolve(`${[`*${name}`, ...names, ...rules, "COMMIT"].join("\n")}\n`);
  }

  #table(family: Family, name: TableName): Table {
    return this.#tables.get(`${family} ${name}`) ?? emptyTable(name);
  }
}

function perform(line: string, table: Table): void {
  const declared = /^:(\S+) /.exec(line)?.[1];
  if (declared !== undefined) {
    table.set(declared, []);
    return;
  }
  const [, op = "", chain = "", rule = ""] = /^-([ACIDX]) (\S+) ?(.*)$/.exec(line) ?? [];
  const rules = table.get(chain);
  if (rules === undefined) throw new Error(`no chain for: ${line}`);
  if (op === "A") rules.push(rule);
  else if (op === "I") rules.unshift(rule);
  else if (op === "C" && !rules.includes(rule)) throw new FairleadError(`no such rule: ${line}`, { code: "IptablesRestore" });
  else if (op === "C") return;
  else if (op === "D") {
    if (!rules.includes(rule)) throw new Error(`no such rule: ${line}`);
    rules.splice(rules.indexOf(rule), 1);
  } else if (op === "X") {
    if (rules.length > 0) throw new Error(`not empty: ${line}`);
    table.delete(chain);
  } else throw new Error(`not understood: ${line}`);
}

const TARGETS: ReadonlySet<string> = new Set(["ACCEPT", "CONNMARK", "DNAT", "DROP", "MASQUERADE", "REJECT", "RETURN"]);

/** The kernel takes no table in which a rule leads to where nothing is. */
function checked(table: Table): Table {
  for (const [chain, rules] of table) {
    for (const rule of rules) {
      const target = / -j (\S+)/.exec(` ${rule}`)?.[1] ?? "";
      if (!table.has(target) && !TARGETS.has(target)) throw new Error(`-A ${chain} ${rule}: there is no ${target}`);
    }
  }
  return table;
}
