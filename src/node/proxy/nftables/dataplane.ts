// The flat layout over netlink. The only file of this mode that acts.
import { errorMessage, type Logger } from "#base";
import type { Family } from "#ip";
import { isErrno, type NftSocket } from "#linux";
import { type Change, diffTable } from "#nft";
import type { Affinity, Dataplane, FrontendUpdate, Replaced } from "../dataplane.ts";
import type { ProxyMetrics } from "../metrics.ts";
import type { ClusterCidrs, Frontend } from "../types.ts";
import { affinityOf, mayStrandClients, staleAffinities } from "./affinity.ts";
import { Programmed } from "./diff.ts";
import { type Placed, placeFrontend } from "./elements.ts";
import { desiredTable, inGroups, slotsIn } from "./full.ts";
import { FAMILIES, SETS, TABLE } from "./layout.ts";

export interface NftablesOptions {
  readonly nft: NftSocket;
  readonly cidrs: ClusterCidrs;
  readonly metrics: ProxyMetrics;
  readonly logger: Logger;
}

/** How long kernels before 6.2 may count references of elements that are gone (see `Diff.cleanup`). */
const CLEANUP_AFTER_MS = 1000;

export class NftablesDataplane implements Dataplane {
  readonly mode = "nftables";
  readonly #o: NftablesOptions;
  #programmed: Programmed = new Programmed();
  #cleanupTimer: NodeJS.Timeout | undefined;

  constructor(options: NftablesOptions) {
    this.#o = options;
  }

  async replace(frontends: readonly Frontend[]): Promise<Replaced> {
    const { nft, cidrs } = this.#o;
    const current = nft.list(TABLE);
    const slots = slotsIn(current);
    const placed: Placed[] = frontends.map((frontend) => placeFrontend(frontend, slots.get(frontend.key)));
    const desired = desiredTable(placed, cidrs, current);
    const { changes, cleanup } = diffTable(current, desired.table);
    this.#apply(changes, current === undefined);
    this.#programmed = new Programmed(placed, desired.chains, desired.sets);
    this.#cleanLater(cleanup);
    this.#forgetClients(new Set(FAMILIES));
    return { changes: changes.length, adopted: current !== undefined };
  }

  async update(updates: readonly FrontendUpdate[]): Promise<void> {
    this.#apply(this.#programmed.update(new Map(updates.map(({ key, next }) => [key, next]))), false);
    const families = updates.filter(mayStrandClients).flatMap(({ old }) => old?.family ?? []);
    this.#forgetClients(new Set(families));
  }

  async affinities(): Promise<readonly Affinity[]> {
    return FAMILIES.flatMap((family) => this.#o.nft.elements(TABLE, SETS[family].affinity).flatMap((element) => affinityOf(element) ?? []));
  }

  async remove(): Promise<readonly string[]> {
    const { nft } = this.#o;
    if (!nft.tables().some(({ family, name }) => family === TABLE.family && name === TABLE.name)) return [];
    nft.apply([{ op: "delete table", table: TABLE }]);
    return [`nftables table ${TABLE.family} ${TABLE.name}`];
  }

  close(): void {
    clearTimeout(this.#cleanupTimer);
    this.#o.nft.close();
  }

  #apply(changes: readonly Change[], isNew: boolean): void {
    try {
      this.#o.nft.apply(changes);
    } catch (err) {
      if (!isErrno(err, "EMSGSIZE")) throw err;
      this.#o.nft.applyAll(inGroups(changes, isNew));
    }
  }

  #cleanLater(cleanup: readonly Change[]): void {
    clearTimeout(this.#cleanupTimer);
    if (cleanup.length === 0) return;
    this.#cleanupTimer = setTimeout(() => {
      try {
        this.#o.nft.apply(cleanup);
      } catch (err) {
        this.#o.metrics.sync_proxy_rules_nftables_cleanup_failures_total++;
        this.#o.logger.warn("cannot remove chains that are not used", { error: errorMessage(err) });
      }
    }, CLEANUP_AFTER_MS);
  }

  #forgetClients(families: ReadonlySet<Family>): void {
    const { nft, logger } = this.#o;
    for (const family of families) {
      const set = SETS[family].affinity;
      for (const element of staleAffinities(nft.elements(TABLE, set), (key) => this.#programmed.get(key)?.frontend)) {
        try {
          nft.apply([{ op: "delete elements", table: TABLE, set, elements: [element] }]);
        } catch (err) {
          // It may have run out meanwhile.
          if (!isErrno(err, "ENOENT")) logger.warn("cannot forget a client's backend", { error: errorMessage(err) });
        }
      }
    }
  }
}
