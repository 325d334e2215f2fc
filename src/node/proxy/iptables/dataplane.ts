// Services through iptables-restore. The only file of this mode that acts.
import { errorCode, errorMessage, FairleadError, type Logger } from "#base";
import { FAMILIES, type Family } from "#ip";
import type { NetNs } from "#linux";
import type { Affinity, Dataplane, FrontendUpdate, Replaced } from "../dataplane.ts";
import type { ProxyMetrics } from "../metrics.ts";
import type { ClusterCidrs, Frontend } from "../types.ts";
import { readLists } from "./affinity.ts";
import { formatCheck, formatRestore } from "./restore.ts";
import { TABLES, type TableName } from "./rules.ts";
import { countRules, Ruleset } from "./ruleset.ts";
import { diffTable, parseSaved, removal, type SavedTable, sizeOf, type TableChange } from "./saved.ts";
import { type Iptables, TOO_LONG } from "./tool.ts";

export interface IptablesOptions {
  readonly iptables: Iptables;
  readonly netns: NetNs | undefined;
  /** Read at each `replace`. */
  readonly cidrs: ClusterCidrs;
  readonly metrics: ProxyMetrics;
  readonly logger: Logger;
}

/** So many rules of up to 1 kB fit into the socket buffer that everybody may have (net.core.wmem_default, 208 KiB). */
const MAX_LINES = 200;

/** RESOURCE_PROBLEM in iptables' xshared.h: others had the lock for too long. */
const LOCKED = 4;

export class IptablesDataplane implements Dataplane {
  readonly mode = "iptables";
  readonly #o: IptablesOptions;
  readonly #rulesets = new Map<Family, Ruleset>();

  constructor(options: IptablesOptions) {
    this.#o = options;
  }

  async replace(frontends: readonly Frontend[]): Promise<Replaced> {
    const done = await eachFamily((family) =>
      this.#replace(
        family,
        frontends.filter((frontend) => frontend.family === family),
      ),
    );
    return { changes: done.reduce((sum, { changes }) => sum + changes, 0), adopted: done.some(({ adopted }) => adopted) };
  }

  async update(updates: readonly FrontendUpdate[]): Promise<void> {
    await eachFamily(async (family) => {
      const own = updates.filter(({ old, next }) => (next ?? old)?.family === family);
      if (own.length === 0) return;
      const ruleset = this.#rulesets.get(family);
      // It had none so far, and its tables could not be read: what is wrong with them is for `replace` to say.
      if (ruleset === undefined)
        throw new FairleadError(`the tables of IPv${family} are not known`, { code: "NotSynced", facts: { family } });
      const texts = ruleset.update(own);
      await this.#write(
        family,
        perTable((table) => ({ chains: texts[table], addLeads: [], removeLeads: [] })),
      );
      this.#count(family, ruleset);
    });
  }

  async affinities(): Promise<readonly Affinity[]> {
    const owners = new Map([...this.#rulesets.values()].flatMap((ruleset) => [...ruleset.affinityLists()]));
    const lists = readLists(this.#o.netns, (name) => owners.has(name));
    return [...lists].flatMap(([name, clients]) => {
      const owner = owners.get(name);
      if (owner === undefined) return [];
      const { frontend, backend, seconds } = owner;
      return clients
        .map(({ client, ageMs }) => ({ client, frontend, backend, expiresMs: seconds * 1000 - ageMs }))
        .filter(({ expiresMs }) => expiresMs > 0);
    });
  }

  /** Of the families that have been written. Both tables take one process that reads and writes nothing back. */
  async isIntact(): Promise<boolean> {
    const families = await Promise.all([...this.#rulesets.keys()].map((family) => this.#leadsIn(family)));
    return families.every(Boolean);
  }

  async remove(): Promise<readonly string[]> {
    const removed = await eachFamily(async (family) => {
      const saved = await this.#saved(family).catch((err: unknown) => this.#unreadable(family, err));
      if (saved === undefined) return [];
      await this.#write(
        family,
        perTable((table) => removal(saved[table])),
      );
      return TABLES.filter((table) => saved[table].chains.size > 0).map(
        (table) =>
          `${family === 4 ? "iptables" : "ip6tables"} table ${table}: ${saved[table].chains.size} chains and the rules that lead there`,
      );
    });
    this.#rulesets.clear();
    return removed.flat();
  }

  close(): void {
    this.#rulesets.clear();
  }

  async #replace(family: Family, frontends: readonly Frontend[]): Promise<Replaced> {
    const { cidrs } = this.#o;
    const saved = this.#isWanted(family, frontends)
      ? await this.#saved(family)
      : await this.#saved(family).catch((err: unknown) => this.#unreadable(family, err));
    if (saved === undefined) return { changes: 0, adopted: false };
    const ruleset = new Ruleset(family, cidrs, frontends);
    const all = ruleset.all();
    const changes = perTable((table) => diffTable(table, saved[table], all[table]));
    await this.#write(family, changes);
    this.#rulesets.set(family, ruleset);
    this.#count(family, ruleset);
    return {
      changes: TABLES.reduce((sum, table) => sum + sizeOf(changes[table]), 0),
      adopted: TABLES.some((table) => saved[table].chains.size > 0),
    };
  }

  async #leadsIn(family: Family): Promise<boolean> {
    try {
      await this.#o.iptables.restore(family, formatCheck());
      return true;
    } catch (err) {
      if (err instanceof FairleadError && err.facts["exitCode"] !== LOCKED) return false;
      throw err;
    }
  }

  #count(family: Family, { counts }: Ruleset): void {
    const { metrics } = this.#o;
    for (const table of TABLES) metrics.sync_proxy_rules_iptables[family][table].total = counts[table];
  }

  /** A machine without IPv6 has no ip6tables, and no cluster that would need it. */
  #isWanted(family: Family, frontends: readonly Frontend[]): boolean {
    const { podCidrs, serviceCidrs } = this.#o.cidrs;
    return frontends.length > 0 || [...podCidrs, ...serviceCidrs].some(({ addr }) => addr.family === family);
  }

  #unreadable(family: Family, err: unknown): undefined {
    this.#o.logger.debug("iptables has nothing of ours for a family that is not used", { family, error: errorMessage(err) });
  }

  async #saved(family: Family): Promise<Record<TableName, SavedTable>> {
    const { iptables } = this.#o;
    const [filter, nat] = [await iptables.save(family, "filter"), await iptables.save(family, "nat")];
    return { filter: parseSaved(filter), nat: parseSaved(nat) };
  }

  async #write(family: Family, changes: Changes): Promise<void> {
    const { iptables, metrics } = this.#o;
    for (const table of TABLES) {
      const text = formatRestore(table, changes[table]);
      metrics.sync_proxy_rules_iptables[family][table].last = countRules(changes[table].chains);
      if (text === "") continue;
      try {
        await iptables.restore(family, text);
      } catch (err) {
        if (errorCode(err) !== TOO_LONG) throw err;
        await iptables.restore(family, formatRestore(table, changes[table], MAX_LINES));
      }
    }
  }
}

type Changes = Readonly<Record<TableName, TableChange>>;

function perTable(of: (table: TableName) => TableChange): Changes {
  return { filter: of("filter"), nat: of("nat") };
}

/** What one family cannot have, the other still gets. */
async function eachFamily<T>(run: (family: Family) => Promise<T>): Promise<T[]> {
  const results = await Promise.allSettled(FAMILIES.map(run));
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}
