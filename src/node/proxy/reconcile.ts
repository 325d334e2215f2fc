// Watches Services and EndpointSlices and keeps the kernel at what they say. The only part of this room that acts.
//
// Nothing is written before both resources are complete. The first time, and whenever a transaction failed, the whole table is read
// and compared; what is there and right stays, so a new agent takes over without a gap. After that a change costs what it touches.
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { backoffMs, errorMessage, type Logger } from "#base";
import type { Informer, Change as InformerChange } from "#client";
import type { Family } from "#ip";
import { type ConntrackSocket, isErrno, type NftSocket } from "#linux";
import { type Change, diffTable } from "#nft";
import { compileService } from "./compile.ts";
import { Programmed } from "./diff.ts";
import { type Placed, placeFrontend } from "./elements.ts";
import { Frontends } from "./frontends.ts";
import { desiredTable, inGroups, slotsIn } from "./full.ts";
import { FAMILIES, SETS, TABLE } from "./layout.ts";
import { createMetrics, observe, type ProxyMetrics } from "./metrics.ts";
import { SliceIndex } from "./slices.ts";
import { mayStrandClients, mayStrandFlows, staleAffinities, staleFlows } from "./stale.ts";
import type { ClusterCidrs, Frontend, ProxyNode } from "./types.ts";

export interface ReconcilerOptions {
  readonly services: Informer<Service>;
  readonly slices: Informer<EndpointSlice>;
  readonly nft: NftSocket;
  readonly conntrack: ConntrackSocket | undefined;
  readonly node: ProxyNode;
  readonly cidrs: ClusterCidrs;
  readonly logger: Logger;
}

const RETRY = { initialMs: 50, maxMs: 30_000 };
/** How long kernels before 6.2 may count references of elements that are gone (see `Diff.cleanup`). */
const CLEANUP_AFTER_MS = 1000;

export class Reconciler {
  readonly metrics: ProxyMetrics = createMetrics();
  readonly #o: ReconcilerOptions;
  readonly #slices: SliceIndex = new SliceIndex();
  readonly #frontends: Frontends = new Frontends();
  readonly #dirty = new Set<string>();
  #programmed: Programmed = new Programmed();
  #needsFull = true;
  #started = false;
  #stopped = false;
  #scheduled = false;
  #attempt = 0;
  #timer: NodeJS.Timeout | undefined;
  #cleanupTimer: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];

  constructor(options: ReconcilerOptions) {
    this.#o = options;
    options.services.subscribe((change) => this.#onService(change));
    options.slices.subscribe((change) => this.#onSlice(change));
  }

  /** Resolves when the kernel holds what the informers hold. Call it once both are complete. */
  start(): Promise<void> {
    this.#started = true;
    this.#schedule();
    return this.idle();
  }

  /** Resolves when no change waits. */
  idle(): Promise<void> {
    if (this.#isIdle() || this.#stopped) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Compares the whole table with the kernel's, as after a failure. */
  resync(): Promise<void> {
    this.#needsFull = true;
    this.#schedule();
    return this.idle();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#cleanupTimer);
    this.#release();
  }

  #isIdle(): boolean {
    return this.#started && !this.#needsFull && this.#dirty.size === 0;
  }

  #onService(change: InformerChange<Service>): void {
    this.metrics.sync_proxy_rules_service_changes_total++;
    this.metrics.sync_proxy_rules_service_changes_pending++;
    this.#touch(change.key);
  }

  #onSlice(change: InformerChange<EndpointSlice>): void {
    this.metrics.sync_proxy_rules_endpoint_changes_total++;
    this.metrics.sync_proxy_rules_endpoint_changes_pending++;
    for (const service of this.#slices.apply(change, !this.#started)) this.#touch(service);
  }

  #touch(service: string): void {
    this.metrics.sync_proxy_rules_last_queued_timestamp_seconds = Date.now() / 1000;
    this.#dirty.add(service);
    this.#schedule();
  }

  /** One run for everything that arrives in one turn of the event loop. */
  #schedule(): void {
    if (!this.#started || this.#stopped || this.#scheduled || this.#timer !== undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#stopped) this.#run();
    });
  }

  #run(): void {
    const isFull = this.#needsFull;
    const begin = performance.now();
    try {
      if (isFull) this.#full();
      else this.#partial();
      this.#attempt = 0;
    } catch (err) {
      this.#failed(err);
      return;
    }
    const seconds = (performance.now() - begin) / 1000;
    const { metrics } = this;
    observe(metrics.sync_proxy_rules_duration_seconds, seconds);
    observe(isFull ? metrics.sync_full_proxy_rules_duration_seconds : metrics.sync_partial_proxy_rules_duration_seconds, seconds);
    for (const at of this.#slices.takeTriggerTimes()) observe(metrics.network_programming_duration_seconds, (Date.now() - at) / 1000);
    metrics.sync_proxy_rules_service_changes_pending = 0;
    metrics.sync_proxy_rules_endpoint_changes_pending = 0;
    metrics.sync_proxy_rules_last_timestamp_seconds = Date.now() / 1000;
    metrics.frontends = this.#frontends.size;
    this.#release();
  }

  /** What the kernel holds is not known for certain any more: read it, and try again. The last good state goes on serving. */
  #failed(err: unknown): void {
    this.metrics.sync_proxy_rules_nftables_sync_failures_total++;
    this.#needsFull = true;
    const delayMs = backoffMs(RETRY, this.#attempt++);
    this.#o.logger.error("cannot write the service rules, trying again", { error: errorMessage(err), delayMs });
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#schedule();
    }, delayMs);
  }

  #release(): void {
    if (!this.#isIdle() && !this.#stopped) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Compiles the Services that changed; returns the frontends that this touches. */
  #compile(): Set<string> {
    const { services, node } = this.#o;
    const touched = new Set<string>();
    for (const key of this.#dirty) {
      const service = services.get(key);
      const frontends = service === undefined ? [] : compileService({ service, slices: this.#slices.of(key), node });
      for (const id of this.#frontends.set(key, frontends)) touched.add(id);
    }
    for (const id of touched) this.#warnOfLosers(id);
    this.#dirty.clear();
    return touched;
  }

  #warnOfLosers(key: string): void {
    const winner = this.#frontends.get(key);
    for (const loser of this.#frontends.losers(key)) {
      this.#o.logger.warn("two Services want the same address and port; the older one has it", {
        frontend: key,
        winner: winner?.service,
        loser: loser.service,
      });
    }
  }

  #partial(): void {
    const updates = new Map<string, Frontend | undefined>();
    const flows = new Set<Family>();
    const clients = new Set<Family>();
    for (const key of this.#compile()) {
      const next = this.#frontends.get(key);
      const old = this.#programmed.get(key);
      if (next === undefined && old === undefined) continue;
      updates.set(key, next);
      if (next !== undefined && mayStrandFlows(old, next)) flows.add(next.family);
      if (old !== undefined && mayStrandClients(old, next)) clients.add(old.frontend.family);
    }
    this.#apply(this.#programmed.update(updates));
    this.#cleanFlows(flows);
    this.#cleanClients(clients);
  }

  #apply(changes: readonly Change[]): void {
    try {
      this.#o.nft.apply(changes);
    } catch (err) {
      if (!isErrno(err, "EMSGSIZE")) throw err;
      this.#o.nft.applyAll(inGroups(changes, false));
    }
  }

  #full(): void {
    const { nft, cidrs, services } = this.#o;
    for (const service of services.list()) this.#dirty.add(`${service.metadata.namespace}/${service.metadata.name}`);
    for (const service of this.#frontends.services()) this.#dirty.add(service);
    this.#compile();
    const current = nft.list(TABLE);
    const slots = slotsIn(current);
    const placed: Placed[] = [];
    for (const key of this.#frontends.keys()) {
      const frontend = this.#frontends.get(key);
      if (frontend !== undefined) placed.push(placeFrontend(frontend, slots.get(key)));
    }
    const desired = desiredTable(placed, cidrs, current);
    const { changes, cleanup } = diffTable(current, desired.table);
    try {
      nft.apply(changes);
    } catch (err) {
      if (!isErrno(err, "EMSGSIZE")) throw err;
      nft.applyAll(inGroups(changes, current === undefined));
    }
    this.#programmed = new Programmed(placed, desired.chains, desired.sets);
    this.#needsFull = false;
    this.#cleanLater(cleanup);
    this.#cleanFlows(new Set(FAMILIES));
    this.#cleanClients(new Set(FAMILIES));
    this.#o.logger.info("service rules are complete", {
      frontends: placed.length,
      changes: changes.length,
      adopted: current !== undefined,
    });
  }

  #cleanLater(cleanup: readonly Change[]): void {
    clearTimeout(this.#cleanupTimer);
    if (cleanup.length === 0) return;
    this.#cleanupTimer = setTimeout(() => {
      try {
        this.#o.nft.apply(cleanup);
      } catch (err) {
        this.metrics.sync_proxy_rules_nftables_cleanup_failures_total++;
        this.#o.logger.warn("cannot remove chains that are not used", { error: errorMessage(err) });
      }
    }, CLEANUP_AFTER_MS);
  }

  #cleanFlows(families: ReadonlySet<Family>): void {
    const { conntrack, logger } = this.#o;
    if (conntrack === undefined) return;
    try {
      for (const family of families) {
        const stale = staleFlows(conntrack.list(family), (key) => this.#frontends.get(key));
        this.metrics.conntrack_reconciler_deleted_entries_total += conntrack.delMany(stale);
      }
    } catch (err) {
      logger.warn("cannot remove stale UDP flows", { error: errorMessage(err) });
    }
  }

  #cleanClients(families: ReadonlySet<Family>): void {
    const { nft, logger } = this.#o;
    for (const family of families) {
      const set = SETS[family].affinity;
      for (const element of staleAffinities(nft.elements(TABLE, set), (key) => this.#frontends.get(key))) {
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
