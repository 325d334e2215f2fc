// From what was seen at many places to the way of one question: which packets belong to it, and where each was first. Pure.
import { type Addr, addrEquals, formatAddr } from "#ip";
import type { CaptureSighting, Sighting, TraceSighting } from "#observe";
import { formatPacket, type Packet } from "#wire";
import type { Ask, Leg, Predicted, SeenPoint, Way } from "./types.ts";

type Direction = SeenPoint["direction"];

/** What tells the packets of a question from others. */
export interface FlowMarks {
  /** Who is asked, before and after translation. */
  readonly servers: readonly Addr[];
  readonly serverPorts: readonly number[];
  /** Who asks; the first one is the asker's own address, the others are what masquerading makes of it. */
  readonly clients: readonly Addr[];
  readonly clientPort?: number;
}

export function marksOf(ask: Ask, predicted: Predicted, clientPort?: number): FlowMarks {
  const trips = predicted.ways.map(({ roundTrip }) => roundTrip);
  const nats = trips.flatMap(({ request }) => request.hops.flatMap(({ decisions }) => decisions)).filter((one) => one.kind === "nat");
  const ends = (what: "source" | "destination") => nats.filter((one) => one.what === what).map(({ to }) => to);
  const own = trips[0]?.request.hops[0]?.before.src;
  return {
    servers: unique([ask.dst, ...ends("destination").map(({ addr }) => addr)]),
    serverPorts: [...new Set([ask.dstPort, ...ends("destination").map(({ port }) => port)])].flatMap((port) => port ?? []),
    clients: unique([...(own === undefined ? [] : [own]), ...ends("source").map(({ addr }) => addr)]),
    ...(clientPort !== undefined && { clientPort }),
  };
}

function unique(addrs: readonly Addr[]): Addr[] {
  return [...new Map(addrs.map((addr) => [formatAddr(addr), addr])).values()];
}

/** Undefined: it is somebody else's. */
function directionOf(packet: Packet, marks: FlowMarks): Direction | undefined {
  const inner = packet.vxlan?.inner;
  if (inner?.ip !== undefined) return directionOf({ ...inner, ip: inner.ip }, marks);
  const { icmp } = packet;
  if (icmp?.about !== undefined) return directionOf(icmp.about, marks) === undefined ? undefined : "reply";
  if (icmp?.echo !== undefined) return echoDirection(packet, marks);
  const ports = packet.tcp ?? packet.udp ?? sctpPorts(packet);
  if (ports === undefined) return undefined;
  const { src, dst } = packet.ip;
  if (isServer(marks, dst, ports.dstPort) && isClient(marks, src, ports.srcPort)) return "request";
  return isServer(marks, src, ports.srcPort) && isClient(marks, dst, ports.dstPort) ? "reply" : undefined;
}

const SCTP = 132;

/** The first four bytes of SCTP's header are ports, too (RFC 9260 §3.1). */
function sctpPorts({ ip, payload }: Packet): { readonly srcPort: number; readonly dstPort: number } | undefined {
  if (ip.protocol !== SCTP || payload.length < 4) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = payload;
  return { srcPort: a * 256 + b, dstPort: c * 256 + d };
}

function echoDirection({ ip, icmp }: Packet, { servers, clientPort }: FlowMarks): Direction | undefined {
  const { echo } = icmp ?? {};
  if (echo === undefined || (clientPort !== undefined && echo.id !== clientPort && clientPort !== 0)) return undefined;
  const server = echo.reply ? ip.src : ip.dst;
  if (!servers.some((addr) => addrEquals(addr, server))) return undefined;
  return echo.reply ? "reply" : "request";
}

function isServer({ servers, serverPorts }: FlowMarks, addr: Addr, port: number): boolean {
  return serverPorts.includes(port) && servers.some((one) => addrEquals(one, addr));
}

/** Masquerading may choose another port. */
function isClient({ clients, clientPort }: FlowMarks, addr: Addr, port: number): boolean {
  if (clientPort === undefined || port === clientPort) return true;
  return clients.slice(1).some((one) => addrEquals(one, addr));
}

/** Where packets of the question were seen for the first time, in the order of time. */
export function seenPoints(sightings: readonly Sighting[], marks: FlowMarks): SeenPoint[] {
  const first = new Map<string, SeenPoint>();
  const captures = sightings.filter((one): one is CaptureSighting => one.kind === "capture");
  for (const { timeNs, namespace, link, direction: way, packet } of captures.toSorted((a, b) => (a.timeNs < b.timeNs ? -1 : 1))) {
    const direction = directionOf(packet, marks);
    if (direction === undefined) continue;
    const isEncapsulated = packet.vxlan !== undefined;
    const key = `${namespace} ${link} ${way} ${direction} ${isEncapsulated}`;
    if (!first.has(key)) first.set(key, { timeNs, namespace, link, way, direction, text: formatPacket(packet), isEncapsulated });
  }
  return [...first.values()];
}

export interface FlowStep {
  readonly sighting: TraceSighting;
  readonly direction: Direction;
  readonly packet: Packet | undefined;
}

/** Steps of the question's packets through nftables, in their order. */
export function flowSteps(sightings: readonly Sighting[], marks: FlowMarks): FlowStep[] {
  const traces = sightings.filter((one): one is TraceSighting => one.kind === "trace");
  const known = new Map<string, { readonly direction: Direction; readonly packet: Packet }>();
  const steps: FlowStep[] = [];
  for (const sighting of traces) {
    const key = `${sighting.node} ${sighting.namespace} ${sighting.traceId}`;
    if (sighting.packet !== undefined) {
      const direction = directionOf(sighting.packet, marks);
      if (direction === undefined) known.delete(key);
      else known.set(key, { direction, packet: sighting.packet });
    }
    const found = known.get(key);
    if (found !== undefined) steps.push({ sighting, ...found });
  }
  return steps;
}

/** First the way that was observed, where it can be told. */
export function waysAsSeen({ predicted: { ways }, observed }: Pick<Leg, "predicted" | "observed">): Way[] {
  const arrivals = observed?.points.filter(({ direction, way }) => direction === "request" && way === "in") ?? [];
  const seen = new Set(arrivals.map(({ namespace }) => namespace));
  const isSeen = ({ endpoint }: Way): boolean => endpoint?.pod !== undefined && seen.has(endpoint.pod);
  return ways.toSorted((a, b) => Number(isSeen(b)) - Number(isSeen(a)));
}
