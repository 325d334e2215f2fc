// Keeps the kernel at what the pods of this node ask for. The only part of this room that acts.
//
// What the kernel holds is read once, and again when a transaction was refused; in between a pod costs the elements that it adds.
import { backoffMs, errorCode, errorMessage, FairleadError } from "#base";
import { type Addr, formatAddr, parsePrefix, prefixContains } from "#ip";
import { isErrno } from "#linux";
import { type Change, diffTable, type Table } from "#nft";
import { type Conflict, compile, hostPortsOf, portsIn } from "./compile.ts";
import { TABLE } from "./layout.ts";
import { createMetrics, type PortmapMetrics } from "./metrics.ts";
import { movedPorts, staleFlows } from "./stale.ts";
import type { HostPort, HostPorts, HostPortsOptions, PodPorts } from "./types.ts";

const RETRY = { initialMs: 50, maxMs: 30_000 };

const LOOPBACK = parsePrefix("127.0.0.0/8");

export function createHostPorts(options: HostPortsOptions): HostPorts {
  return new Reconciler(options);
}

class Reconciler implements HostPorts {
  readonly metrics: PortmapMetrics = createMetrics();
  readonly #o: HostPortsOptions;
  /** By container, in the order in which they came. */
  #pods = new Map<string, PodPorts>();
  /** What the kernel holds; `#isKnown` says whether that is certain. */
  #table: Table | undefined;
  #isKnown = false;
  #attempt = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #watch: { close(): void };

  constructor(options: HostPortsOptions) {
    this.#o = options;
    const { podLink, route } = options;
    // A link that is made again has its settings from the beginning.
    const listener = ({ link }: { readonly link?: string }): void => {
      if (this.#table !== undefined && (link === undefined || link === podLink)) this.#setLocalnet(1);
    };
    this.#watch = route.watch(listener, ["link"]);
  }

  open(pods: readonly PodPorts[]): void {
    for (const pod of pods) {
      try {
        if (hostPortsOf(pod).length > 0) this.#pods.set(pod.containerId, pod);
      } catch (err) {
        this.#o.logger.error("cannot open the host ports of a pod", { pod: pod.pod, error: errorMessage(err) });
      }
    }
    this.#takeOver();
  }

  /** The network of the node does not wait for it: what an earlier process left goes on meanwhile. */
  #takeOver(): void {
    const { logger } = this.#o;
    try {
      this.#warn(this.#sync("take over the host ports of this node's pods"));
    } catch (err) {
      const delayMs = backoffMs(RETRY, this.#attempt++);
      logger.error(errorMessage(err), { delayMs });
      this.#timer = setTimeout(() => {
        // A pod that came or went meanwhile has done it.
        if (!this.#isKnown) this.#takeOver();
      }, delayMs);
      return;
    }
    const { host_ports: hostPorts } = this.metrics;
    if (hostPorts > 0) logger.info("host ports are open", { pods: this.#pods.size, hostPorts });
  }

  add(pod: PodPorts): void {
    const { containerId } = pod;
    const ports = hostPortsOf(pod);
    const before = this.#pods;
    if (ports.length === 0 && !before.has(containerId)) {
      if (pod.mappings.some(({ hostPort }) => hostPort > 0)) this.#warnOfNone(pod);
      return;
    }
    this.#pods = new Map(before).set(containerId, pod);
    try {
      const conflicts = this.#sync(`open the host ports of pod ${pod.pod}`);
      if (!before.has(containerId)) this.#warn(conflicts.filter(({ winner }) => winner === pod));
    } catch (err) {
      this.#pods = before;
      throw err;
    }
  }

  del(containerId: string): void {
    const pod = this.#pods.get(containerId);
    this.#pods.delete(containerId);
    if (pod !== undefined || !this.#isKnown) this.#sync(`close the host ports of pod ${pod?.pod ?? containerId}`);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#watch.close();
  }

  #warnOfNone({ pod, mappings }: PodPorts): void {
    this.#o.logger.warn("no address of the pod is of the family of its hostIP", { pod, hostIps: mappings.map(({ hostIp }) => hostIp) });
  }

  #warn(conflicts: readonly Conflict[]): void {
    for (const { key, winner, loser } of conflicts) {
      this.#o.logger.warn("two pods want the same host port; the newer one has it", { key, winner: winner.pod, loser: loser.pod });
    }
  }

  /** Throws "HostPorts": then the kernel has what it had, and the next call reads it anew. */
  #sync(op: string): readonly Conflict[] {
    const { table, ports, conflicts } = compile(this.#pods.values());
    let before: Map<string, HostPort>;
    try {
      before = this.#write(table);
    } catch (err) {
      this.metrics.sync_failures_total++;
      throw new FairleadError(`Cannot ${op}: ${errorMessage(err)}`, { code: errorCode(err) ?? "HostPorts", op, cause: err });
    }
    this.#cleanFlows(before, ports);
    this.metrics.pods = this.#pods.size;
    this.metrics.host_ports = ports.size;
    return conflicts;
  }

  /** Returns the ports that were open before. */
  #write(desired: Table | undefined): Map<string, HostPort> {
    const { nft } = this.#o;
    const wasKnown = this.#isKnown;
    const current = wasKnown ? this.#table : nft.list(TABLE);
    this.#isKnown = false;
    // The guard first, then what it guards; and the other way round.
    if (desired === undefined && current !== undefined) this.#setLocalnet(0);
    try {
      nft.apply(changesBetween(current, desired));
    } catch (err) {
      if (!wasKnown) throw err;
      // Somebody changed or removed our table. What went first into it is lost, the rest of it is as we know.
      this.metrics.sync_failures_total++;
      this.#o.logger.warn("the host ports are not as they were left, writing them again", { error: errorMessage(err) });
      return this.#write(desired);
    }
    this.#table = desired;
    this.#isKnown = true;
    if (desired !== undefined) this.#setLocalnet(1);
    return portsIn(current);
  }

  /** Without it the kernel neither sends from 127.0.0.1 to pods nor takes their answers (`__mkroute_output`, `ip_route_input_slow`). */
  #setLocalnet(value: 0 | 1): void {
    const { logger, ns, podLink } = this.#o;
    const name = `net/ipv4/conf/${podLink}/route_localnet`;
    try {
      if (ns.sysctl(name) !== String(value)) ns.setSysctl(name, value);
    } catch (err) {
      // The link is being made again: an event will tell.
      if (!isErrno(err, "ENOENT")) logger.warn("host ports are not reached at 127.0.0.1", { error: errorMessage(err) });
    }
  }

  #cleanFlows(before: ReadonlyMap<string, HostPort>, after: ReadonlyMap<string, HostPort>): void {
    const { conntrack, logger } = this.#o;
    const families = new Set(movedPorts(before, after).map(({ family }) => family));
    if (families.size === 0) return;
    try {
      const isLocal = this.#localAddrs();
      for (const family of families) {
        const stale = staleFlows({ entries: conntrack.list(family), before, after, isLocal });
        this.metrics.conntrack_deleted_entries_total += conntrack.delMany(stale);
      }
    } catch (err) {
      logger.warn("cannot remove stale flows of host ports", { error: errorMessage(err) });
    }
  }

  #localAddrs(): (addr: Addr) => boolean {
    const own = new Set(this.#o.route.addrs.list().map(({ prefix }) => formatAddr(prefix.addr)));
    return (addr) => own.has(formatAddr(addr)) || prefixContains(LOOPBACK, addr);
  }
}

function changesBetween(current: Table | undefined, desired: Table | undefined): readonly Change[] {
  if (desired === undefined) return current === undefined ? [] : [{ op: "delete table", table: TABLE }];
  // No element refers to a chain, so what is left over of another version can go in the same transaction.
  const { changes, cleanup } = diffTable(current, desired);
  return [...changes, ...cleanup];
}
