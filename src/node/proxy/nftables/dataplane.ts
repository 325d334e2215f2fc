// The flat layout over netlink. The only file of this mode that acts.
import { errorMessage, type Logger } from "#base";
import type { Family } from "#ip";
import { isErrno, type NftSocket } from "#linux";
import { type Change, diffTable, type Element, formatKey, type SetHeader } from "#nft";
import type { Affinity, Dataplane, FrontendUpdate, Replaced } from "../dataplane.ts";
import type { ProxyMetrics } from "../metrics.ts";
import type { ClusterCidrs, Frontend } from "../types.ts";
import { affinityOf, concernsClients, sweep } from "./affinity.ts";
import { Programmed } from "./diff.ts";
import { type Placed, placeFrontend } from "./elements.ts";
import { desiredTable, inGroups, numbersIn, ownersIn } from "./full.ts";
import { FAMILIES, SETS, TABLE } from "./layout.ts";
import { type Owner, Owners } from "./owners.ts";

export interface NftablesOptions {
  readonly nft: NftSocket;
  readonly cidrs: ClusterCidrs;
  readonly metrics: ProxyMetrics;
  readonly logger: Logger;
}

/** How long kernels before 6.2 may count references of elements that are gone (see `Diff.cleanup`). */
const CLEANUP_AFTER_MS = 1000;

/** Remembered clients that go in one transaction. */
const SWEEP = 500;

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
    const known = numbersIn(current);
    const owners = new Owners(ownersIn(current, known));
    const placed: Placed[] = frontends.map((frontend) => {
      const numbers = known.get(frontend.key);
      return placeFrontend(frontend, numbers, owners.claim(frontend, numbers?.owners));
    });
    const desired = desiredTable(placed, cidrs, current);
    const { changes, cleanup } = diffTable(current, desired.table);
    this.#apply(changes, current === undefined);
    this.#programmed = new Programmed({ placed, owners, ...desired });
    this.#cleanLater(cleanup);
    this.#sweepClients(new Set(FAMILIES));
    return { changes: changes.length, adopted: current !== undefined };
  }

  async update(updates: readonly FrontendUpdate[]): Promise<void> {
    this.#apply(this.#programmed.update(new Map(updates.map(({ key, next }) => [key, next]))), false);
    const families = updates.filter(concernsClients).flatMap(({ old }) => old?.family ?? []);
    this.#sweepClients(new Set(families));
  }

  async affinities(): Promise<readonly Affinity[]> {
    const ownerOf = (number: number): Owner | undefined => this.#programmed.owners.get(number);
    return FAMILIES.flatMap((family) =>
      this.#o.nft.elements(TABLE, SETS[family].affinity).flatMap((element) => affinityOf(element, ownerOf) ?? []),
    );
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

  #sweepClients(families: ReadonlySet<Family>): void {
    const { nft } = this.#o;
    for (const family of families) {
      const set = SETS[family].affinity;
      const { remove, add } = sweep(nft.elements(TABLE, set), (number) => this.#programmed.owners.get(number));
      const again = new Map(add.map((element) => [formatKey(set, element), element]));
      for (let i = 0; i < remove.length; i += SWEEP) this.#exchange(set, remove.slice(i, i + SWEEP), again);
    }
  }

  /** One that has run out since it was read fails the whole transaction; then they go one by one. */
  #exchange(set: SetHeader, remove: readonly Element[], again: ReadonlyMap<string, Element>): void {
    const add = remove.flatMap((element) => again.get(formatKey(set, element)) ?? []);
    try {
      this.#o.nft.apply([
        { op: "delete elements", table: TABLE, set, elements: remove },
        ...(add.length > 0 ? [{ op: "add elements", table: TABLE, set, elements: add } as const] : []),
      ]);
    } catch (err) {
      if (!isErrno(err, "ENOENT")) this.#o.logger.warn("cannot forget clients of a backend", { error: errorMessage(err) });
      else if (remove.length > 1) for (const element of remove) this.#exchange(set, [element], again);
    }
  }
}
