// Watches Services and EndpointSlices and keeps the kernel at what they say, through the dataplane of one mode.
//
// Nothing is written before both resources are complete. The first time, and whenever a step failed, the dataplane compares all with
// what the kernel holds; what is there and right stays, so a new agent takes over without a gap. After that a change costs what it
// touches.
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { backoffMs, errorMessage, type Logger } from "#base";
import type { Informer, Change as InformerChange } from "#client";
import { FAMILIES, type Family } from "#ip";
import type { ConntrackSocket } from "#linux";
import { compileService } from "./compile.ts";
import type { Dataplane, FrontendUpdate } from "./dataplane.ts";
import { Frontends } from "./frontends.ts";
import { inspectService, type ServiceReport } from "./inspect.ts";
import { observe, type ProxyMetrics } from "./metrics.ts";
import { SliceIndex } from "./slices.ts";
import { mayStrandFlows, staleFlows } from "./stale.ts";
import { Tally } from "./tally.ts";
import type { CompiledService, Frontend, ProxyNode } from "./types.ts";

/** Who else wants to know. */
export interface ProxyObserver {
  /** Services that were compiled anew, by `namespace/name`; undefined: the Service is gone. The kernel holds what is told. */
  compiled?(results: ReadonlyMap<string, CompiledService | undefined>): void;
  /** Two Services want one address and port: `winner` has it. Called for each pair once, for as long as both want it. */
  contested?(winner: Frontend, loser: Frontend): void;
  /** Something is to be written from now on. */
  queued?(): void;
  /** All that was to be written is. */
  programmed?(): void;
}

export interface ReconcilerOptions {
  readonly services: Informer<Service>;
  readonly slices: Informer<EndpointSlice>;
  readonly dataplane: Dataplane;
  readonly metrics: ProxyMetrics;
  readonly conntrack: ConntrackSocket | undefined;
  readonly node: ProxyNode;
  readonly observers: readonly ProxyObserver[];
  readonly logger: Logger;
}

const RETRY = { initialMs: 50, maxMs: 30_000 };
export class Reconciler {
  readonly #o: ReconcilerOptions;
  readonly #slices: SliceIndex = new SliceIndex();
  readonly #frontends: Frontends = new Frontends();
  /** What the kernel holds, by key. */
  readonly #programmed = new Map<string, Frontend>();
  readonly #tally: Tally;
  readonly #dirty = new Set<string>();
  /** Compiled, and not yet told to observers. */
  readonly #compiled = new Map<string, CompiledService | undefined>();
  #node: ProxyNode;
  #needsFull = true;
  #started = false;
  #stopped = false;
  #scheduled = false;
  #running = false;
  #attempt = 0;
  #timer: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];

  constructor(options: ReconcilerOptions) {
    this.#o = options;
    this.#node = options.node;
    this.#tally = new Tally(options.metrics);
    options.services.subscribe((change) => this.#onService(change));
    options.slices.subscribe((change) => this.#onSlice(change));
  }

  /** Resolves when the kernel holds what the informers hold. Call it once both are complete. */
  start(): Promise<void> {
    this.#started = true;
    this.#tellQueued();
    this.#schedule();
    return this.idle();
  }

  /** Resolves when no change waits. */
  idle(): Promise<void> {
    if (this.#isIdle() || this.#stopped) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Compares everything with what the kernel holds, as after a failure. */
  resync(): Promise<void> {
    this.#needsFull = true;
    this.#schedule();
    return this.idle();
  }

  /** The node's addresses or zone are others now: every Service is compiled anew, and what is the same stays. */
  setNode(node: ProxyNode): void {
    this.#node = node;
    this.#touchAll();
    this.#schedule();
  }

  /** What this node does for a Service (`namespace/name`) and why; undefined: there is no such Service. */
  async inspect(key: string): Promise<ServiceReport | undefined> {
    const { services, dataplane, conntrack } = this.#o;
    const service = services.get(key);
    if (service === undefined) return undefined;
    const slices = [...this.#slices.of(key)];
    const node = this.#node;
    return inspectService({
      node,
      mode: dataplane.mode,
      service,
      slices,
      compiled: compileService({ service, slices, node }),
      holderOf: (id) => this.#frontends.get(id),
      affinities: service.spec?.sessionAffinity === "ClientIP" ? await dataplane.affinities() : [],
      entries: conntrack?.list() ?? [],
    });
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#release();
  }

  #isIdle(): boolean {
    return this.#started && !this.#running && !this.#needsFull && this.#dirty.size === 0;
  }

  #onService(change: InformerChange<Service>): void {
    const { metrics } = this.#o;
    metrics.sync_proxy_rules_service_changes_total++;
    metrics.sync_proxy_rules_service_changes_pending++;
    this.#touch(change.key);
  }

  #onSlice(change: InformerChange<EndpointSlice>): void {
    const { metrics } = this.#o;
    metrics.sync_proxy_rules_endpoint_changes_total++;
    metrics.sync_proxy_rules_endpoint_changes_pending++;
    for (const service of this.#slices.apply(change, !this.#started)) this.#touch(service);
  }

  #touch(service: string): void {
    this.#o.metrics.sync_proxy_rules_last_queued_timestamp_seconds = Date.now() / 1000;
    this.#dirty.add(service);
    // What comes before the start waits for others, not for us.
    if (this.#started) this.#tellQueued();
    this.#schedule();
  }

  #touchAll(): void {
    for (const { metadata } of this.#o.services.list()) this.#dirty.add(`${metadata.namespace}/${metadata.name}`);
    for (const service of this.#frontends.services()) this.#dirty.add(service);
  }

  /** One run for everything that arrives in one turn of the event loop, or while another run is under way. */
  #schedule(): void {
    if (!this.#started || this.#stopped || this.#scheduled || this.#running || this.#timer !== undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#stopped) void this.#run();
    });
  }

  async #run(): Promise<void> {
    const { metrics } = this.#o;
    const isFull = this.#needsFull;
    const begin = performance.now();
    // What arrives from here on waits for the next run, and counts for it.
    const changes = [metrics.sync_proxy_rules_service_changes_pending, metrics.sync_proxy_rules_endpoint_changes_pending] as const;
    const triggers = this.#slices.takeTriggers();
    this.#running = true;
    try {
      if (isFull) await this.#full();
      else await this.#partial();
      this.#attempt = 0;
    } catch (err) {
      this.#slices.returnTriggers(triggers);
      this.#failed(err);
      return;
    } finally {
      this.#running = false;
    }
    const seconds = (performance.now() - begin) / 1000;
    observe(metrics.sync_proxy_rules_duration_seconds, seconds);
    observe(isFull ? metrics.sync_full_proxy_rules_duration_seconds : metrics.sync_partial_proxy_rules_duration_seconds, seconds);
    for (const { at, family } of triggers) observe(metrics.network_programming_duration_seconds[family], (Date.now() - at) / 1000);
    metrics.sync_proxy_rules_service_changes_pending -= changes[0];
    metrics.sync_proxy_rules_endpoint_changes_pending -= changes[1];
    metrics.sync_proxy_rules_last_timestamp_seconds = Date.now() / 1000;
    this.#tellCompiled();
    this.#tell((observer) => observer.programmed?.());
    if (this.#dirty.size > 0 || this.#needsFull) {
      this.#tellQueued();
      this.#schedule();
    }
    this.#release();
  }

  /** What the kernel holds is not known for certain any more: compare all, and try again. The last good state goes on serving. */
  #failed(err: unknown): void {
    this.#o.metrics.sync_failures_total++;
    this.#needsFull = true;
    this.#tellQueued();
    if (this.#stopped) return;
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
    const { services, logger } = this.#o;
    const touched = new Set<string>();
    for (const key of this.#dirty) {
      const compiled = this.#compileOne(key, services.get(key));
      if (compiled === "unusable") continue;
      this.#compiled.set(key, compiled);
      for (const id of this.#frontends.set(key, compiled?.frontends ?? [])) touched.add(id);
    }
    this.#dirty.clear();
    for (const { winner, loser } of this.#frontends.newConflicts(touched)) {
      const fields = { frontend: winner.key, winner: winner.service, loser: loser.service };
      logger.warn("two Services want the same address and port; the older one has it", fields);
      this.#tell((observer) => observer.contested?.(winner, loser));
    }
    return touched;
  }

  /** One Service that cannot be understood keeps what it had, and does not keep the others from theirs. */
  #compileOne(key: string, service: Service | undefined): CompiledService | undefined | "unusable" {
    try {
      return service && compileService({ service, slices: this.#slices.of(key), node: this.#node });
    } catch (err) {
      this.#o.logger.error("cannot understand a Service or its EndpointSlices; it stays as it was", {
        service: key,
        error: errorMessage(err),
      });
      return "unusable";
    }
  }

  /** What an observer cannot do is its own affair. */
  #tell(say: (observer: ProxyObserver) => void): void {
    for (const observer of this.#o.observers) {
      try {
        say(observer);
      } catch (err) {
        this.#o.logger.error("cannot tell what was programmed", { error: errorMessage(err) });
      }
    }
  }

  #tellCompiled(): void {
    if (this.#compiled.size === 0) return;
    const results = new Map(this.#compiled);
    this.#compiled.clear();
    this.#tell((observer) => observer.compiled?.(results));
  }

  #tellQueued(): void {
    this.#tell((observer) => observer.queued?.());
  }

  async #partial(): Promise<void> {
    const updates: FrontendUpdate[] = [];
    const flows = new Set<Family>();
    for (const key of this.#compile()) {
      const update = { key, old: this.#programmed.get(key), next: this.#frontends.get(key) };
      if (update.next === undefined && update.old === undefined) continue;
      updates.push(update);
      if (update.next !== undefined && mayStrandFlows(update)) flows.add(update.next.family);
    }
    if (updates.length === 0) return;
    await this.#o.dataplane.update(updates);
    for (const { key, old, next } of updates) {
      if (old !== undefined) this.#tally.remove(old);
      if (next === undefined) this.#programmed.delete(key);
      else {
        this.#programmed.set(key, next);
        this.#tally.add(next);
      }
    }
    this.#cleanFlows(flows);
  }

  async #full(): Promise<void> {
    const { dataplane, logger } = this.#o;
    this.#touchAll();
    this.#compile();
    const frontends = [...this.#frontends.keys()].flatMap((key) => this.#frontends.get(key) ?? []);
    this.#needsFull = false;
    const { changes, adopted } = await dataplane.replace(frontends);
    this.#programmed.clear();
    this.#tally.clear();
    for (const frontend of frontends) {
      this.#programmed.set(frontend.key, frontend);
      this.#tally.add(frontend);
    }
    this.#cleanFlows(new Set(FAMILIES));
    logger.info("service rules are complete", { mode: dataplane.mode, frontends: frontends.length, changes, adopted });
  }

  #cleanFlows(families: ReadonlySet<Family>): void {
    const { conntrack, logger, metrics } = this.#o;
    if (conntrack === undefined || families.size === 0) return;
    const begin = performance.now();
    try {
      // Most of the time is the kernel's, and the same for one family: clients wait for it, so the table is gone through once.
      const stale = staleFlows(conntrack.list(families.size === 1 ? [...families][0] : undefined), (key) => this.#frontends.get(key));
      for (const family of families) {
        const counted = metrics.conntrack_reconciler[family];
        counted.deleted_entries_total += conntrack.delMany(stale.filter(({ original }) => original.dst.family === family));
        observe(counted.sync_duration_seconds, (performance.now() - begin) / 1000);
      }
    } catch (err) {
      logger.warn("cannot remove stale UDP flows", { error: errorMessage(err) });
    }
  }
}
