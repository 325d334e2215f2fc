// The verbs: address from ipam, plan from compile, then the kernel.
import { errorCode, errorMessage, FairleadError } from "#base";
import { type Addr, formatAddr, formatMac, formatPrefix } from "#ip";
import type { Owner } from "#ipam";
import type { Neigh, NetNs, RouteEvent } from "#linux";
import { ensureBridge } from "./bridge.ts";
import { BRIDGE, compileBridge, compilePod, hostLinkName, isHostLinkName } from "./compile.ts";
import { attachHostLink, deviations, ensurePodLink, type PodKernel, removePodLink } from "./pod-link.ts";
import type { Attachment, BridgePlan, CniResult, PodNetwork, PodNetworkOptions, PodPlan } from "./types.ts";

/** Neighbours of the bridge that are none of ours come and go too, as when somebody tries one address of the block after another. */
const LOOK_AT_MOST_EVERY_MS = 100;

/** Makes the bridge, takes over the pods that an earlier process connected, and watches over the bridge until `stop`. */
export function createPodNetwork(options: PodNetworkOptions): PodNetwork {
  const network = new BridgeNetwork(options);
  network.start();
  return network;
}

class BridgeNetwork implements PodNetwork {
  readonly #options: PodNetworkOptions;
  #watch: { close(): void } | undefined;
  #look: NodeJS.Timeout | undefined;
  /** Ports whose forwarding entries somebody has taken away since the last look. */
  readonly #spoilt = new Set<string>();

  constructor(options: PodNetworkOptions) {
    this.#options = options;
  }

  start(): void {
    this.#restore();
    this.#watch = this.#options.node.route.watch((event) => {
      if (event.object === "neigh") this.#neighChanged(event);
      if (event.object !== "link" && event.object !== "addr") return;
      if (event.link !== undefined && event.link !== BRIDGE) return;
      // Addresses that we add come back as events.
      if (event.object === "addr" && event.action === "new") return;
      this.#try(() => this.#restore());
    });
  }

  stop(): void {
    this.#watch?.close();
    clearTimeout(this.#look);
  }

  /** Forwarding entries are events of this kind too, of a port. */
  #neighChanged({ action, link }: RouteEvent): void {
    if (link !== undefined && link !== BRIDGE) {
      if (action === "new" || !isHostLinkName(link)) return;
      this.#spoilt.add(link);
    }
    this.#look ??= setTimeout(() => {
      this.#look = undefined;
      this.#try(() => this.#mend());
    }, LOOK_AT_MOST_EVERY_MS).unref();
  }

  #try(run: () => void): void {
    try {
      run();
    } catch (err) {
      this.#options.logger.error("The pod network is not as it should be", { error: errorMessage(err) });
    }
  }

  add(attachment: Attachment): CniResult {
    const { containerId, ifName, netns } = attachment;
    const { ipam, node } = this.#options;
    const owner = { containerId, ifName };
    const isNew = ipam.get(owner).length === 0;
    try {
      const mtu = this.#options.mtu();
      // The uplink's MTU may have changed; then the bridge's does with the first pod that gets the new one.
      if (node.route.links.get(BRIDGE)?.mtu !== mtu) this.#restore();
      const plan = compilePod(ipam.ranges, owner, ipam.add(owner), mtu);
      this.#inPod(netns, (pod) => ensurePodLink(node, pod, plan));
      return resultOf(plan, compileBridge(ipam.ranges, mtu), netns.path);
    } catch (err) {
      // A pod that was connected before keeps what it has.
      if (isNew) this.#undo(owner);
      throw refused(`connect container ${containerId} (${netns.path}) to the pod network`, err);
    }
  }

  del({ containerId, ifName }: Owner): void {
    const owner = { containerId, ifName };
    // The address is given back last, so that nobody gets it while the old link still stands.
    removePodLink(this.#options.node, hostLinkName(owner), this.#planPod(owner).node.neighs);
    this.#options.ipam.del(owner);
  }

  check(attachment: Attachment): void {
    const { containerId, ifName, netns } = attachment;
    const plan = this.#planPod({ containerId, ifName });
    const held = plan.pod.addrs.length > 0;
    const found = held ? this.#inPod(netns, (pod) => deviations(this.#options.node, pod, plan)) : ["it holds no address"];
    if (found.length === 0) return;
    const message = `The pod link of container ${containerId} is not as it was made: ${found.join("; ")}; delete the pod so that it is made again`;
    throw new FairleadError(message, { code: "PodLinkBroken", op: "cni check", facts: { containerId, found } });
  }

  gc(valid: readonly Owner[]): void {
    const { ipam, node } = this.#options;
    const keep = new Set(valid.map(hostLinkName));
    const bridge = node.route.links.get(BRIDGE);
    for (const { owner } of ipam.list()) if (!keep.has(hostLinkName(owner))) this.del(owner);
    for (const link of node.route.links.list()) {
      const ours = isHostLinkName(link.name) && bridge !== undefined && link.masterIndex === bridge.index;
      if (ours && !keep.has(link.name)) node.route.links.del(link.name);
    }
  }

  addrs(owner: Owner): readonly Addr[] {
    return this.#options.ipam.get(owner);
  }

  #planBridge(): BridgePlan {
    return compileBridge(this.#options.ipam.ranges, this.#options.mtu());
  }

  /** What an attachment that exists should be; its MTU stays what it was made with. */
  #planPod(owner: Owner): PodPlan {
    const { ipam, mtu } = this.#options;
    return compilePod(ipam.ranges, owner, ipam.get(owner), mtu());
  }

  /** The bridge, and every pod that it does not have as it should: all of them, where the bridge was made anew or was down. */
  #restore(): void {
    const { node } = this.#options;
    const bridge = ensureBridge(node, this.#planBridge());
    const known = this.#known();
    for (const [name, owner] of this.#owners()) {
      const link = node.route.links.get(name);
      if (link === undefined) continue;
      const plan = this.#planPod(owner);
      if (link.masterIndex === bridge.index && link.up && isKnown(plan, known)) continue;
      this.#attach(plan);
    }
  }

  /** What the node knows of its pods, where somebody has changed that. One listing where nothing is wrong. */
  #mend(): void {
    const { links } = this.#options.node.route;
    const spoilt = new Set(this.#spoilt);
    this.#spoilt.clear();
    if (links.get(BRIDGE) === undefined) return;
    const known = this.#known();
    for (const [name, owner] of this.#owners()) {
      const plan = this.#planPod(owner);
      const isWell = !spoilt.has(name) && isKnown(plan, known);
      if (!isWell && links.get(name) !== undefined) this.#attach(plan);
    }
  }

  #attach(plan: PodPlan): void {
    const { logger, node } = this.#options;
    attachHostLink(node, plan);
    logger.info("Attached a pod to the bridge again", { link: plan.hostLink, containerId: plan.owner.containerId });
  }

  #owners(): Map<string, Owner> {
    return new Map(this.#options.ipam.list().map(({ owner }) => [hostLinkName(owner), owner]));
  }

  #known(): ReadonlySet<string> {
    return new Set(this.#options.node.route.neighs.list(BRIDGE).map(textOf));
  }

  #inPod<R>(ns: NetNs, fn: (pod: PodKernel) => R): R {
    const route = this.#options.openRoute(ns);
    try {
      return fn({ ns, route });
    } finally {
      route.close();
    }
  }

  #undo(owner: Owner): void {
    try {
      this.del(owner);
    } catch (err) {
      this.#options.logger.error("Could not undo a failed add", { containerId: owner.containerId, error: errorMessage(err) });
    }
  }
}

function isKnown(plan: PodPlan, known: ReadonlySet<string>): boolean {
  return plan.node.neighs.every((neigh) => known.has(textOf(neigh)));
}

function textOf({ addr, mac, state }: Neigh): string {
  return `${formatAddr(addr)} ${mac === undefined ? "" : formatMac(mac)} ${state}`;
}

function resultOf(plan: PodPlan, bridge: BridgePlan, netnsPath: string): CniResult {
  const { ifName } = plan.owner;
  return {
    cniVersion: "1.1.0",
    interfaces: [
      { name: BRIDGE, mac: formatMac(bridge.link.mac), mtu: plan.mtu },
      { name: plan.hostLink, mtu: plan.mtu },
      { name: ifName, mac: formatMac(plan.mac), mtu: plan.mtu, sandbox: netnsPath },
    ],
    ips: plan.pod.addrs.map(({ prefix }) => {
      const gateway = plan.pod.neighs.find((neigh) => neigh.addr.family === prefix.addr.family);
      return { address: formatPrefix(prefix), gateway: gateway === undefined ? "" : formatAddr(gateway.addr), interface: 2 };
    }),
    routes: plan.pod.routes.map(({ dst, nextHops }) => ({
      dst: formatPrefix(dst),
      gw: nextHops[0]?.via === undefined ? "" : formatAddr(nextHops[0].via),
    })),
    dns: {},
  };
}

function refused(what: string, cause: unknown): FairleadError {
  return new FairleadError(`Cannot ${what}: ${errorMessage(cause)}`, { code: errorCode(cause) ?? "CniAdd", op: "cni add", cause });
}
