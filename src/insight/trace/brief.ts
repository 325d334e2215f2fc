// The way of a packet in a line a hop: what a first look needs.
import { formatAddr, formatAddrPort } from "#ip";
import * as model from "#model";
import { waysAsSeen } from "./correlate.ts";
import type { Paint } from "./format.ts";
import type { Leg, SeenPoint, Trace } from "./types.ts";

interface BriefRow {
  readonly place: string;
  readonly links: string;
  readonly what: string;
  readonly seen: string;
}

/** Of the way that was taken; empty where nothing could be sent. Times count from the first sighting. */
export function formatBrief({ leg, sentence }: Trace, paint: Paint): string {
  const way = leg === undefined ? undefined : waysAsSeen(leg)[0];
  if (leg === undefined || way === undefined) return `${sentence}\n`;
  const { request, reply } = way.roundTrip;
  const rows = [
    ...request.hops.map((hop) => row(hop, "request", leg)),
    ...(reply?.hops.slice(-1).map((hop) => row(hop, "reply", leg)) ?? []),
  ];
  const width = (of: (row: BriefRow) => string): number => Math.max(...rows.map((one) => of(one).length));
  const [places, links, whats] = [width(({ place }) => place), width((one) => one.links), width(({ what }) => what)];
  return rows
    .map(({ place, links: own, what, seen }) => {
      const text = `${paint("bold", place.padEnd(places))}  ${own.padEnd(links)}  ${what.padEnd(whats)}  ${paint("dim", seen)}`;
      return `  ${text.trimEnd()}\n`;
    })
    .join("");
}

function row(hop: model.Hop, direction: SeenPoint["direction"], leg: Leg): BriefRow {
  const { namespace, linkIn, linkOut } = hop;
  const links = [linkIn, linkOut].filter((link) => link !== undefined).join(" → ");
  return { place: namespace, links, what: whatHappens(hop, direction), seen: seenAt(hop, direction, leg) };
}

function whatHappens(hop: model.Hop, direction: SeenPoint["direction"]): string {
  const changes = hop.decisions.flatMap((decision) => {
    if (decision.kind === "nat") return [`${decision.what} becomes ${endText(decision.to)}`];
    if (decision.kind === "encapsulate") return [`into vxlan, to ${formatAddr(decision.to)}`];
    if (decision.kind === "decapsulate") return ["out of vxlan"];
    return [];
  });
  if (hop.linkIn === undefined) return madeText(hop.before);
  if (hop.linkOut === undefined && changes.length === 0) return direction === "reply" ? "has its answer" : "is there";
  return changes.join(", ");
}

function madeText(packet: model.Packet): string {
  const { src, dst, vxlan } = packet;
  return vxlan === undefined ? model.formatPacket(packet) : `${formatAddr(src)} > ${formatAddr(dst)}, vxlan around it`;
}

function endText({ addr, port }: model.End): string {
  return port === undefined ? formatAddr(addr) : formatAddrPort(addr, port);
}

function seenAt({ namespace, linkIn, linkOut, before }: model.Hop, direction: SeenPoint["direction"], { observed }: Leg): string {
  if (observed === undefined) return "";
  const start = observed.points[0]?.timeNs ?? 0n;
  const isIt = (one: SeenPoint): boolean =>
    one.namespace === namespace &&
    one.direction === direction &&
    one.isEncapsulated === (before.vxlan !== undefined) &&
    ((one.way === "out" && one.link === linkOut) || (one.way === "in" && one.link === linkIn));
  const last = observed.points.findLast(isIt);
  return last === undefined ? "not seen" : `+${(last.timeNs - start) / 1000n} µs`;
}
