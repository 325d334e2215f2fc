// The flat layout over netlink. The only file of this mode that acts.
import { errorMessage, type Logger } from "#base";
import { isErrno, type NftSocket } from "#linux";
import { type Change, diffTable, type SetHeader } from "#nft";
import type { Affinity, Dataplane, FrontendUpdate, Replaced } from "../dataplane.ts";
import type { ProxyMetrics } from "../metrics.ts";
import type { ClusterCidrs, Frontend } from "../types.ts";
import { affinityOf, concernsClients, type SweepStep, sweep } from "./affinity.ts";
import { Programmed } from "./diff.ts";
import { type Placed, placeFrontend } from "./elements.ts";
import { desiredTable, firstLoad, inGroups } from "./full.ts";
import { affinityMap, TABLE } from "./layout.ts";
import { type Owner, Owners } from "./owners.ts";
import { Reading } from "./reading.ts";

export interface NftablesOptions {
  readonly nft: NftSocket;
  readonly cidrs: ClusterCidrs;
  readonly metrics: ProxyMetrics;
  readonly logger: Logger;
}

/** How long kernels before 6.2 may count references of elements that are gone (see `Diff.cleanup`). */
const CLEANUP_AFTER_MS = 1000;

/**
 * Frontends and backends of a table that is read whole when somebody else has written to any table of the node: less than a second, in which
 * this process does nothing else. Nothing in the kernel says which table it was, or how many elements a set has.
 */
const COMPARED = 20_000;

/** Remembered clients that go in one transaction. */
const SWEEP = 1000;

export class NftablesDataplane implements Dataplane {
  readonly mode = "nftables";
  readonly #o: NftablesOptions;
  #programmed: Programmed = new Programmed();
  #cleanupTimer: NodeJS.Timeout | undefined;
  /** What others had written when all was compared. */
  #comparedAt: number | undefined;

  constructor(options: NftablesOptions) {
    this.#o = options;
  }

  async replace(frontends: readonly Frontend[]): Promise<Replaced> {
    const { nft } = this.#o;
    const others = nft.generationOfOthers();
    const replaced = this.#replace(frontends);
    this.#comparedAt = others;
    return replaced;
  }

  mayBeOther(): boolean {
    if (this.#comparedAt === undefined || this.#comparedAt === this.#o.nft.generationOfOthers()) return false;
    return this.#programmed.size <= COMPARED;
  }

  #replace(frontends: readonly Frontend[]): Replaced {
    const { nft, cidrs } = this.#o;
    const reading = new Reading();
    const current = nft.list(TABLE, (set) => reading.open(set));
    if (current === undefined) return this.#load(frontends);
    reading.readOwners(current);
    const owners = new Owners(reading.owners(current));
    const placed: Placed[] = frontends.map((frontend) =>
      placeFrontend(frontend, reading.of(frontend.key), owners.claim(frontend, reading.ownersOf(frontend.key))),
    );
    const desired = desiredTable(placed, cidrs, { current, reading });
    const { changes: others, cleanup } = diffTable(current, desired.table);
    const changes = [...reading.removals(placed), ...others];
    this.#apply(changes, false);
    this.#programmed = new Programmed({ placed, owners, ...desired });
    this.#cleanLater(cleanup);
    this.#sweep(this.#programmed.affinityMaps());
    return { changes: changes.length, adopted: true };
  }

  #load(frontends: readonly Frontend[]): Replaced {
    const programmed = new Programmed();
    let count = 0;
    for (const step of firstLoad(programmed, frontends, this.#o.cidrs)) {
      this.#apply(step, true);
      count += step.length;
    }
    this.#programmed = programmed;
    this.#cleanLater([]);
    return { changes: count, adopted: false };
  }

  async update(updates: readonly FrontendUpdate[]): Promise<void> {
    // What they are now, before they go.
    const owners = updates.filter(concernsClients).flatMap(({ key, old }) => {
      const numbers = Object.values(this.#programmed.get(key)?.owners ?? {});
      return old === undefined ? [] : numbers.map((number) => affinityMap(old.family, number));
    });
    this.#apply(this.#programmed.update(new Map(updates.map(({ key, next }) => [key, next]))), false);
    this.#sweep(owners);
  }

  async affinities(): Promise<readonly Affinity[]> {
    const ownerOf = (number: number): Owner | undefined => this.#programmed.owners.get(number);
    const elements = this.#programmed.affinityMaps().flatMap((set) => [...this.#o.nft.elements(TABLE, set)]);
    return elements.flatMap((element) => affinityOf(element, ownerOf) ?? []);
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

  #sweep(maps: readonly SetHeader[]): void {
    for (const set of new Map(maps.map((map) => [map.name, map])).values()) {
      const steps = sweep(this.#o.nft.elements(TABLE, set), (number) => this.#programmed.owners.get(number));
      for (let i = 0; i < steps.length; i += SWEEP) this.#sweepSome(set, steps.slice(i, i + SWEEP));
    }
  }

  /** One that has run out since it was read fails the whole transaction: the halves are tried then, and at last each alone. */
  #sweepSome(set: SetHeader, steps: readonly SweepStep[]): void {
    const elements = steps.flatMap(({ again }) => again ?? []);
    try {
      this.#o.nft.apply([
        { op: "delete elements", table: TABLE, set, elements: steps.map(({ remove }) => remove) },
        ...(elements.length > 0 ? [{ op: "add elements", table: TABLE, set, elements } as const] : []),
      ]);
    } catch (err) {
      if (!isErrno(err, "ENOENT")) this.#o.logger.warn("cannot forget clients of a backend", { error: errorMessage(err) });
      else if (steps.length > 1) {
        const half = steps.length >> 1;
        this.#sweepSome(set, steps.slice(0, half));
        this.#sweepSome(set, steps.slice(half));
      }
    }
  }
}
