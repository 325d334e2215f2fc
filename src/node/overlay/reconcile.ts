// Keeps the kernel as the Nodes say. The only file here that waits for anything.
import type { Node } from "kubernetes-types/core/v1";
import { errorMessage, FairleadError, type Logger, WorkQueue } from "#base";
import type { Change, Client, EventRecorder, Informer } from "#client";
import { type Addr, formatMac, type Prefix } from "#ip";
import { NODES, type Stored } from "#kube";
import type { NetNs, RouteEvent, RouteSocket } from "#linux";
import { underlayAddr } from "./compile.ts";
import { diffOverlay } from "./diff.ts";
import { formatStep } from "./format.ts";
import { applyStep, findUnderlay, observe } from "./kernel.ts";
import { newMetrics, type OverlayMetrics } from "./metrics.ts";
import { VTEP_MAC_ANNOTATION, VXLAN_LINK } from "./names.ts";
import { peersOf, podCidrsOf } from "./nodes.ts";
import type { LocalNode, OverlayBackend, OverlayProblem, OverlayStep } from "./types.ts";

export interface OverlayOptions {
  readonly backend: OverlayBackend;
  readonly nodeName: string;
  /** The node's addresses on the underlay. */
  readonly nodeAddrs: readonly Addr[];
  /** Pod CIDRs of nodes must lie inside one of these; empty: anywhere. */
  readonly clusterCidrs: readonly Prefix[];
  readonly ns: NetNs;
  readonly route: RouteSocket;
  readonly client: Client;
  /** The caller's, who also stops it. */
  readonly nodes: Informer<Node>;
  /** Where what cannot be reached is told, on this node's Node. */
  readonly events: EventRecorder;
  readonly logger: Logger;
}

export interface Overlay {
  /** Resolves once the kernel has been as the Nodes say for the first time, and peers can know of this node. */
  readonly ready: Promise<void>;
  readonly metrics: Readonly<OverlayMetrics>;
  readonly problems: readonly OverlayProblem[];
  /** Stops following; what is in the kernel stays and goes on working. */
  stop(): void;
}

/** How large a pod's packet may be: what the underlay's link takes, less what the backend adds. Computed anew at each call. */
export function podMtu(options: Pick<OverlayOptions, "backend" | "nodeAddrs" | "ns" | "route">): number {
  return findUnderlay(options, options.nodeAddrs).mtu - options.backend.overhead(underlayAddr(options.nodeAddrs)?.family ?? 4);
}

export function startOverlay(options: OverlayOptions): Overlay {
  const reconciler = new Reconciler(options);
  reconciler.start();
  return reconciler;
}

const KEY = "overlay";

/** What somebody takes away comes back at once, but not more often: whoever takes it away again and again would have us do nothing else. */
const MEND_EVERY_MS = 20_000;
/** For what no event tells of. */
const RESYNC_MS = 300_000;

class Reconciler implements Overlay {
  readonly ready: Promise<void>;
  readonly metrics: OverlayMetrics = newMetrics();
  problems: readonly OverlayProblem[] = [];
  readonly #options: OverlayOptions;
  readonly #queue: WorkQueue;
  readonly #becomeReady: () => void;
  #mendedAtMs = Number.NEGATIVE_INFINITY;
  #underlayLink: string | undefined;
  #watch: { close(): void } | undefined;

  constructor(options: OverlayOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#becomeReady = resolve;
    this.#queue = new WorkQueue({
      run: () => this.#reconcile(),
      onError: (_, err, attempt) => {
        this.metrics.failures++;
        options.logger.error("The overlay is not as it should be; trying again", { error: errorMessage(err), attempt });
      },
    });
  }

  start(): void {
    const { nodes, route } = this.#options;
    // Neighbours come and go all the time on other links; those of our own device only when somebody deletes them.
    this.#watch = route.watch(
      (event) => {
        if (event.object === "neigh") this.#neighGone(event);
        else if (this.#concerns(event)) this.#queue.add(KEY);
      },
      ["link", "addr", "route", "neigh"],
    );
    nodes.subscribe((change) => {
      if (nodes.hasSynced() && isRelevant(change)) this.#queue.add(KEY);
    });
    void nodes.synced.then(() => this.#queue.add(KEY));
  }

  stop(): void {
    this.#queue.stop();
    this.#watch?.close();
  }

  /** Forwarding entries are events of this kind too. Ours are permanent: none goes by itself. */
  #neighGone({ action, link }: RouteEvent): void {
    if (action !== "del" || link !== VXLAN_LINK) return;
    const now = performance.now();
    const waitMs = this.#mendedAtMs + MEND_EVERY_MS - now;
    if (waitMs > 0) this.#queue.addAfter(KEY, waitMs);
    else {
      this.#mendedAtMs = now;
      this.#queue.add(KEY);
    }
  }

  /** Our own additions come back as events too; what must be noticed is what others take away, and what the underlay does. */
  #concerns(event: RouteEvent): boolean {
    if (event.object === "route") return event.action === "del";
    return event.link === undefined || event.link === VXLAN_LINK || event.link === this.#underlayLink;
  }

  async #reconcile(): Promise<number | undefined> {
    const { backend, clusterCidrs, nodeName, nodes } = this.#options;
    const start = performance.now();
    const own = nodes.get(nodeName);
    const podCidrs = own === undefined ? [] : podCidrsOf(own);
    // Before the controllers have given this node its Pod CIDRs there is nothing to connect; the change will be seen.
    if (own === undefined || podCidrs.length === 0) return undefined;
    const underlay = findUnderlay(this.#options, this.#options.nodeAddrs);
    this.#underlayLink = underlay.link;
    const local: LocalNode = { name: nodeName, addrs: this.#options.nodeAddrs, podCidrs, underlay };
    const { peers, problems } = peersOf(
      nodes.list().filter((node) => node.metadata.name !== nodeName),
      clusterCidrs,
    );
    const compiled = backend.compile(local, peers);
    const steps = diffOverlay(observe(this.#options), compiled.state);
    this.#apply(steps);
    this.metrics.reconciles++;
    this.metrics.steps += steps.length;
    this.metrics.lastReconcileMs = performance.now() - start;
    this.metrics.peers = peers.length;
    this.metrics.routes = compiled.state.routes.length;
    await this.#publish(own, backend.vtepMac(local));
    this.#report(own, [...problems, ...compiled.problems]);
    this.#becomeReady();
    return RESYNC_MS;
  }

  /** All steps are tried, so that one peer that the kernel refuses does not cut off the others. */
  #apply(steps: readonly OverlayStep[]): void {
    const failed: string[] = [];
    for (const step of steps) {
      try {
        applyStep(this.#options, step);
        this.#options.logger.debug("overlay", { step: formatStep(step) });
      } catch (err) {
        failed.push(`${formatStep(step)}: ${errorMessage(err)}`);
      }
    }
    if (failed.length > 0) {
      const message = `Cannot apply ${failed.length} of ${steps.length} changes of the overlay: ${failed.slice(0, 3).join("; ")}`;
      throw new FairleadError(message, { code: "OverlayApply", op: "apply overlay", facts: { failed } });
    }
    if (steps.length > 0) this.#options.logger.info("Overlay changed", { backend: this.#options.backend.name, steps: steps.length });
  }

  /** Tells peers our MAC; a backend without one takes back what another backend published before. */
  async #publish(own: Stored<Node>, mac: Uint8Array | undefined): Promise<void> {
    const value = mac === undefined ? undefined : formatMac(mac);
    if (own.metadata.annotations?.[VTEP_MAC_ANNOTATION] === value) return;
    const body = { metadata: { annotations: { [VTEP_MAC_ANNOTATION]: value ?? null } } };
    await this.#options.client.patch(NODES, { name: own.metadata.name }, { type: "merge", body });
  }

  #report(own: Stored<Node>, problems: readonly OverlayProblem[]): void {
    const known = new Set(this.problems.map((problem) => problem.message));
    this.problems = problems;
    this.metrics.problems = problems.length;
    for (const { message, node, reason } of problems) {
      if (known.has(message)) continue;
      this.#options.logger.warn(message, { node, reason });
      this.#options.events.event(own, { type: "Warning", reason, message });
    }
  }
}

/** Nodes change all the time (their status, their labels); the overlay looks at little of that. */
function isRelevant(change: Change<Node>): boolean {
  return change.type === "delete" || change.old === undefined || relevant(change.object) !== relevant(change.old);
}

function relevant(node: Stored<Node>): string {
  const { annotations } = node.metadata;
  return JSON.stringify([node.spec?.podCIDR, node.spec?.podCIDRs, node.status?.addresses, annotations?.[VTEP_MAC_ANNOTATION]]);
}
