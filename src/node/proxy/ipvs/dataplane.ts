// IPVS over generic netlink, with a table for what it lacks. The only file of this mode that acts. Nothing in it waits, so a look at
// what has drained never comes between the steps of a change.
import { release } from "node:os";
import { errorMessage, type Logger } from "#base";
import { type Addr, addrEquals, hostPrefix } from "#ip";
import { type ConntrackSocket, type IpvsSocket, isErrno, type NetNs, type NftSocket, type Route, type RouteSocket } from "#linux";
import type { Change } from "#nft";
import { frontendKey } from "../compile.ts";
import type { Affinity, Dataplane, FrontendUpdate, Replaced } from "../dataplane.ts";
import type { ClusterCidrs, Frontend } from "../types.ts";
import { destinationId, type Server, serverId } from "./compile.ts";
import { type Place, Programmed, type Steps } from "./diff.ts";
import { type Current, frontendsIn, inGroups, replacement } from "./full.ts";
import { isOurMark, LINK, LOCAL_TABLE, ROUTE_METRIC, ROUTE_PROTOCOL, TABLE } from "./names.ts";

export interface IpvsOptions {
  readonly ipvs: IpvsSocket;
  readonly nft: NftSocket;
  readonly route: RouteSocket;
  readonly netns: NetNs;
  readonly cidrs: ClusterCidrs;
  readonly logger: Logger;
  /** For flows that nobody translates any more once this mode is removed. */
  readonly openConntrack?: () => ConntrackSocket;
  /** How IPVS spreads connections: "rr" unless told. */
  readonly scheduler?: string;
  /**
   * Answer ARP only for addresses of the link that is asked on, as load balancers that announce addresses by ARP themselves need it
   * (arp_ignore 1, arp_announce 2 for all links). IPv6 always does so.
   */
  readonly strictArp?: boolean;
}

/** How often to look whether connections have ended that a destination lingers for. */
const DRAIN_EVERY_MS = 10_000;

/** Of IPv6 (RFC 8200 §5). */
const MIN_MTU = 1280;

export class IpvsDataplane implements Dataplane {
  readonly mode = "ipvs";
  readonly #o: IpvsOptions;
  #programmed: Programmed;
  #ownAddrs: readonly Addr[] = [];
  #mtu: number | undefined;
  #drainTimer: NodeJS.Timeout | undefined;

  constructor(options: IpvsOptions) {
    this.#o = options;
    this.#programmed = new Programmed(this.#place());
  }

  async replace(frontends: readonly Frontend[]): Promise<Replaced> {
    const { cidrs, logger, nft } = this.#o;
    clearTimeout(this.#drainTimer);
    this.#setSysctls();
    this.#ensureLink();
    this.#readMtu();
    this.#readOwnAddrs();
    const current = this.#read(new Set(frontends.map(({ key }) => key)));
    const { programmed, steps, cleanup } = replacement(current, { frontends, cidrs, place: this.#place() });
    this.#do(steps);
    this.#programmed = programmed;
    try {
      nft.apply(cleanup);
    } catch (err) {
      logger.warn("cannot remove chains that are not used", { error: errorMessage(err) });
    }
    this.#drain();
    const changes = Object.values(steps).reduce((sum, list: readonly unknown[]) => sum + list.length, 0);
    return { changes, adopted: current.table !== undefined };
  }

  async update(updates: readonly FrontendUpdate[]): Promise<void> {
    if (updates.some(({ old, next }) => next !== undefined && old === undefined && next.kind !== "NodePort")) this.#readOwnAddrs();
    this.#do(this.#programmed.update(updates));
    this.#drain();
  }

  async affinities(): Promise<readonly Affinity[]> {
    return this.#o.ipvs.connections().flatMap((connection) => {
      const { client, clientPort, service, destination, expiresSeconds } = connection;
      // The port of a client that is remembered counts for nothing, and is 0.
      if (clientPort !== 0) return [];
      const frontend = frontendKey(service.addr, connection.protocol, service.port);
      return [{ client, frontend, backend: destinationId(destination), expiresMs: expiresSeconds * 1000 }];
    });
  }

  async remove(): Promise<readonly string[]> {
    const { ipvs, nft, route } = this.#o;
    clearTimeout(this.#drainTimer);
    const { table, servers } = this.#read(new Set());
    const link = route.links.get(LINK);
    route.links.del(LINK);
    ipvs.apply([...servers.values()].map(({ service }) => ({ op: "delete service", service })));
    if (table !== undefined) nft.apply([{ op: "delete table", table: TABLE }]);
    this.#forgetFlows(servers);
    this.#programmed = new Programmed(this.#place());
    return [
      ...(link === undefined ? [] : [`link ${LINK}`]),
      ...(servers.size === 0 ? [] : [`${servers.size} IPVS services`]),
      ...(table === undefined ? [] : [`nftables table ${TABLE.family} ${TABLE.name}`]),
    ];
  }

  /** Who empties IPVS (`ipvsadm -C`) takes all services: the first says it. */
  async isIntact(): Promise<boolean> {
    const { ipvs, nft, route } = this.#o;
    if (!nft.tables().some(({ family, name }) => family === TABLE.family && name === TABLE.name)) return false;
    if (route.links.get(LINK)?.up !== true) return false;
    const first = this.#programmed.entries().find(({ servers }) => [...servers.values()].some(({ destinations }) => destinations.size > 0));
    const server = [...(first?.servers.values() ?? [])].find(({ destinations }) => destinations.size > 0);
    try {
      return server === undefined || ipvs.destinations(server.service).length > 0;
    } catch (err) {
      if (isErrno(err, "ESRCH") || isErrno(err, "ENOENT")) return false;
      throw err;
    }
  }

  close(): void {
    clearTimeout(this.#drainTimer);
    const { ipvs, nft, route } = this.#o;
    for (const socket of [ipvs, nft, route]) socket.close();
  }

  /**
   * A connection through IPVS is known to conntrack as it is, but translated by IPVS alone: without IPVS its packets would go to the
   * Service's address for ever. Forgotten, the next one is a first packet: for TCP it is answered with a reset, and the client comes anew.
   */
  #forgetFlows(servers: ReadonlyMap<string, Server>): void {
    const conntrack = servers.size === 0 ? undefined : this.#o.openConntrack?.();
    if (conntrack === undefined) return;
    try {
      const keys = new Set(
        [...servers.values()].flatMap(({ service: s }) => ("fwmark" in s ? [] : frontendKey(s.addr, s.protocol, s.port))),
      );
      conntrack.delMany(
        conntrack.list().filter(({ original: { dst, protocol, dstPort } }) => keys.has(frontendKey(dst, protocol, dstPort))),
      );
    } catch (err) {
      this.#o.logger.warn("cannot forget the flows that IPVS had", { error: errorMessage(err) });
    } finally {
      conntrack.close();
    }
  }

  #place(): Place {
    const isOwn = (addr: Addr): boolean => this.#ownAddrs.some((own) => addrEquals(own, addr));
    return { scheduler: this.#o.scheduler ?? "rr", isOwn };
  }

  /**
   * What the node sends to a local address goes by the loopback's MTU: a datagram of 8,000 bytes would come to IPVS whole and with "don't
   * fragment", and no link takes it so. Of IPv4 with this it is fragmented; of IPv6 IPVS refuses it all the same (ip_vs_xmit.c,
   * `ensure_mtu_is_adequate`).
   */
  #readMtu(): void {
    const others = this.#o.route.links.list().filter(({ name, up }) => up && name !== LINK && name !== "lo");
    const smallest = Math.min(...others.map(({ mtu }) => mtu));
    this.#mtu = Number.isFinite(smallest) ? Math.max(smallest, MIN_MTU) : undefined;
  }

  #readOwnAddrs(): void {
    this.#ownAddrs = this.#o.route.addrs
      .list()
      .filter(({ link }) => link !== LINK)
      .map(({ prefix }) => prefix.addr);
  }

  /** Services of IPVS say not whose they are. Ours are those at our marks, those that our table names, and those that we want. */
  #read(wanted: ReadonlySet<string>): Current {
    const { ipvs, nft, route } = this.#o;
    const table = nft.list(TABLE);
    const noted = frontendsIn(table);
    const servers = new Map<string, Server>();
    for (const { stats: _stats, ...service } of ipvs.services()) {
      const key = "fwmark" in service ? undefined : frontendKey(service.addr, service.protocol, service.port);
      const isOurs = "fwmark" in service ? isOurMark(service.fwmark) : key !== undefined && (noted.has(key) || wanted.has(key));
      if (!isOurs) continue;
      const destinations = ipvs
        .destinations(service)
        .map(({ addr, port, weight }) => [destinationId({ addr, port }), { addr, port, weight }] as const);
      servers.set(serverId(service), { service, destinations: new Map(destinations) });
    }
    const bound = route.routes.list({ table: LOCAL_TABLE, protocol: ROUTE_PROTOCOL }).map(({ dst }) => dst.addr);
    return { table, servers, bound };
  }

  /** What the kernel refuses of IPVS or routes does not keep the rest from being done; then it is thrown. */
  #do({ before, set, bind, unbind, remove, after }: Steps): void {
    const { ipvs, route } = this.#o;
    const failures: unknown[] = [];
    const attempt = (step: () => void): void => {
      try {
        step();
      } catch (err) {
        failures.push(err);
      }
    };
    this.#applyTable(before);
    attempt(() => ipvs.apply(set));
    attempt(() => route.routes.setMany(bind.map((addr) => localRoute(addr, this.#mtu))));
    for (const addr of unbind) attempt(() => route.routes.del(localRoute(addr)));
    attempt(() => ipvs.apply(remove));
    this.#applyTable(after);
    if (failures.length > 0) throw failures[0];
  }

  #applyTable(changes: readonly Change[]): void {
    try {
      this.#o.nft.apply(changes);
    } catch (err) {
      if (!isErrno(err, "EMSGSIZE")) throw err;
      this.#o.nft.applyAll(inGroups(changes));
    }
  }

  /** Deletes what lingered and has no connections left, and comes back as long as something lingers. */
  #drain(): void {
    clearTimeout(this.#drainTimer);
    if (!this.#programmed.isLingering) return;
    const { ipvs, logger } = this.#o;
    const counted = new Map<string, ReadonlySet<string>>();
    const hasConnections = ({ service }: Server, id: string): boolean => {
      const name = serverId(service);
      const busy = counted.get(name) ?? new Set(ipvs.destinations(service).filter(isBusy).map(destinationId));
      counted.set(name, busy);
      return busy.has(id);
    };
    try {
      this.#do(this.#programmed.drain(hasConnections));
    } catch (err) {
      logger.warn("cannot remove destinations that have drained", { error: errorMessage(err) });
    }
    if (this.#programmed.isLingering) this.#drainTimer = setTimeout(() => this.#drain(), DRAIN_EVERY_MS).unref();
  }

  #ensureLink(): void {
    const { links } = this.#o.route;
    const link = links.get(LINK);
    if (link === undefined) links.add({ name: LINK, type: { kind: "dummy" }, up: true });
    else if (!link.up) links.change(LINK, { up: true });
  }

  #setSysctls(): void {
    const { logger, netns, strictArp } = this.#o;
    const values: Readonly<Record<string, number>> = {
      // Without it the connection is not conntrack's, and nothing can be masqueraded.
      "net.ipv4.vs.conntrack": 1,
      // A connection to a destination that was deleted ends, instead of waiting for it to come back.
      "net.ipv4.vs.expire_nodest_conn": 1,
      // A client that is remembered for a destination of weight 0 gets another.
      "net.ipv4.vs.expire_quiescent_template": 1,
      "net.ipv4.vs.conn_reuse_mode": reusesPortsWell(release()) ? 1 : 0,
      ...(strictArp === true && { "net.ipv4.conf.all.arp_ignore": 1, "net.ipv4.conf.all.arp_announce": 2 }),
    };
    for (const [name, value] of Object.entries(values)) {
      try {
        if (netns.sysctl(name) !== String(value)) netns.setSysctl(name, value);
      } catch (err) {
        logger.warn("cannot set a sysctl that IPVS mode stands on", { name, value, error: errorMessage(err) });
      }
    }
  }
}

function isBusy({ activeConnections, inactiveConnections }: { activeConnections: number; inactiveConnections: number }): boolean {
  return activeConnections + inactiveConnections > 0;
}

/**
 * With 1, a SYN from a port that was used before is a connection of its own; before Linux 5.9 it was dropped then, and the client
 * waited a second (f0a5e4d7a594; kubernetes/kubernetes#81775). With 0 it goes where the old one went.
 */
export function reusesPortsWell(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split(".").map((part) => Number.parseInt(part, 10));
  return major > 5 || (major === 5 && minor >= 9);
}

function localRoute(addr: Addr, mtu?: number): Route {
  return {
    dst: hostPrefix(addr),
    type: "local",
    table: LOCAL_TABLE,
    nextHops: [{ link: LINK }],
    metric: ROUTE_METRIC,
    protocol: ROUTE_PROTOCOL,
    ...(mtu !== undefined && { mtu }),
  };
}
