// What a frontend is in this mode: virtual servers of IPVS, a local address, and elements of the table. Pure.
import { type Addr, addrBits, formatAddrPort, type Prefix } from "#ip";
import { formatIpvsService, type IpvsDestinationKey, type IpvsService, type IpvsServiceKey } from "#linux";
import { type Element, type Interval, prefixInterval, type SetHeader, type Verdict } from "#nft";
import type { Backend, Frontend } from "../types.ts";
import { REFUSE, SETS } from "./layout.ts";

/** nft shows 127 bytes of a comment. */
const COMMENT_CHARS = 127;

/** An IPVS service, who gets its new connections, and who keeps those that are there. */
export interface WantedServer {
  readonly service: IpvsService;
  readonly active: readonly Backend[];
  readonly draining: ReadonlySet<string>;
}

/** An IPVS service as it is in the kernel, as far as we know. */
export interface Server {
  readonly service: IpvsService;
  readonly destinations: ReadonlyMap<string, ServerDestination>;
}

export interface ServerDestination extends IpvsDestinationKey {
  /** 1, or 0 for one that only keeps its connections. */
  readonly weight: number;
}

/** One address, protocol and port in the kernel. */
export interface Entry {
  readonly key: string;
  readonly addr: Addr;
  readonly protocol: number;
  readonly port: number;
  /** Undefined: it is nobody's any more; connections that are there go on. */
  readonly frontend: Frontend | undefined;
  /** `namespace/name:port`, also after the frontend is gone. */
  readonly comment: string;
  /** Whether the address is local only because of us. */
  readonly isVip: boolean;
  readonly mark: number | undefined;
  /** By `formatIpvsService`. */
  readonly servers: ReadonlyMap<string, Server>;
}

/** Whether the inside has a list of its own, and somebody on it: then it needs a mark. */
export function needsMark({ inside = [] }: Frontend): boolean {
  return inside.length > 0;
}

export interface ServerSettings {
  /** How IPVS spreads connections: "rr" and the like. */
  readonly scheduler: string;
}

/**
 * The virtual servers of a frontend: one at its address, and with externalTrafficPolicy Local another at a mark for the inside.
 * Persistence at a mark would keep the client's port instead of the destination's (ip_vs_sched_persist), so affinity there is a
 * consistent hash of the client's address, which has no timeout.
 */
export function serversOf(frontend: Frontend, mark: number | undefined, { scheduler }: ServerSettings): WantedServer[] {
  const { addr, protocol, port, family, affinitySeconds, backends, inside } = frontend;
  const draining = new Set([...backends, ...(inside ?? []), ...frontend.draining].map(({ id }) => id));
  const persistence = affinitySeconds === undefined ? {} : { persistence: { timeoutSeconds: affinitySeconds, bits: addrBits(family) } };
  const main: WantedServer = { service: { addr, protocol, port, scheduler, ...persistence }, active: backends, draining };
  if (inside === undefined || mark === undefined || !needsMark(frontend)) return [main];
  const marked = { family, fwmark: mark, scheduler: affinitySeconds === undefined ? scheduler : "mh" };
  return [main, { service: marked, active: inside, draining }];
}

/** What two services of one key differ in, or do not. */
export function sameSettings(a: IpvsService, b: IpvsService): boolean {
  const of = ({ scheduler, persistence, onePacket }: IpvsService): string =>
    `${scheduler} ${persistence?.timeoutSeconds} ${persistence?.bits} ${onePacket === true}`;
  return of(a) === of(b);
}

export function serverId(service: IpvsServiceKey): string {
  return formatIpvsService(service);
}

export function destinationId({ addr, port }: IpvsDestinationKey): string {
  return formatAddrPort(addr, port);
}

type Emit = (set: SetHeader, element: Element) => void;

/** Calls `emit` for each element that belongs to this entry alone. */
export function elementsOf(entry: Entry, emit: Emit): void {
  const { addr, protocol, port, frontend, mark } = entry;
  const sets = SETS[addr.family];
  const comment = entry.comment.slice(0, COMMENT_CHARS);
  const key = [addr, protocol, port];
  const refuse: Verdict = { kind: "goto", chain: REFUSE };
  const own = { key, ...(comment !== "" && { comment }) };
  if (frontend === undefined) {
    emit(sets.leaving, own);
    return;
  }
  emit(sets.frontends, own);
  const { backends, inside, kind, sources, whenEmpty } = frontend;
  const verdict: Verdict = whenEmpty === "drop" ? { kind: "drop" } : refuse;
  const nobody = (inside ?? backends).length === 0;
  if (nobody) emit(sets.noEndpoints, { key, data: inside === undefined ? verdict : refuse, comment });
  if (inside !== undefined && backends.length === 0) emit(sets.outside, { key, data: verdict, comment });
  if (mark !== undefined && needsMark(frontend)) emit(sets.marks, { key, data: [mark], comment });
  if (sources !== undefined) emit(sets.guarded, { key, comment });
  for (const range of sources ?? []) emit(sets.sourceRanges, { key: [...key, rangeOf(range)], comment });
  if (inside !== undefined) emit(sets.keepsSource, { key, comment });
  else if (kind !== "ClusterIP") emit(sets.external, { key, comment });
}

/** As the kernel tells it back: one address is no interval. */
function rangeOf(prefix: Prefix): Interval | Addr {
  return prefix.bits === addrBits(prefix.addr.family) ? prefix.addr : prefixInterval(prefix);
}

/** Calls `emit` for each element that entries share; it carries no comment, since it is no one's. */
export function sharedBy({ addr, frontend, isVip }: Entry, emit: Emit): void {
  const sets = SETS[addr.family];
  if (isVip) emit(sets.vips, { key: [addr] });
  if (frontend?.kind === "ClusterIP") emit(sets.clusterIps, { key: [addr] });
  for (const backends of [frontend?.backends ?? [], frontend?.inside ?? []]) {
    for (const backend of backends) if (backend.local) emit(sets.hairpin, { key: [backend.addr, backend.addr] });
  }
}
