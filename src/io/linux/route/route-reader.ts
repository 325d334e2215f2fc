// Reads RTM_NEWROUTE messages.
import { type Addr, addrFromBytes } from "#ip";
import { AttrReader, type NetlinkMessage } from "../netlink/index.ts";
import type { NextHop, Route } from "../types.ts";
import {
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RTA_DST,
  RTA_GATEWAY,
  RTA_METRICS,
  RTA_MULTIPATH,
  RTA_OIF,
  RTA_PREFSRC,
  RTA_PRIORITY,
  RTA_TABLE,
  RTA_VIA,
  RTAX_MTU,
  RTM_F_CLONED,
  RTN_BLACKHOLE,
  RTN_LOCAL,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
  RTNH_F_ONLINK,
} from "../uapi/rtnetlink.ts";
import { AF_INET } from "../uapi/socket.ts";

const RTMSG_BYTES = 12;
const RTNEXTHOP_BYTES = 8;
/** IP6_RT_PRIO_USER */
const DEFAULT_METRIC_6 = 1024;

export const ROUTE_TYPES: Readonly<Record<NonNullable<Route["type"]>, number>> = {
  unicast: RTN_UNICAST,
  local: RTN_LOCAL,
  blackhole: RTN_BLACKHOLE,
  unreachable: RTN_UNREACHABLE,
  prohibit: RTN_PROHIBIT,
};

const TYPE_NAMES: ReadonlyMap<number, NonNullable<Route["type"]>> = new Map(
  (Object.keys(ROUTE_TYPES) as NonNullable<Route["type"]>[]).map((name) => [ROUTE_TYPES[name], name]),
);

interface Reading {
  dst: Addr;
  table: number;
  metric: number;
  src: Addr | undefined;
  mtu: number | undefined;
  link: string | undefined;
  via: Addr | undefined;
  hops: NextHop[];
}

/** Undefined for what `Route` has no word for: broadcast, anycast and multicast routes, and (unless told) cached ones. */
export function readRoute(message: NetlinkMessage, names: ReadonlyMap<number, string>, cloned = false): Route | undefined {
  const { buf, payload: at } = message;
  const family = buf.readUInt8(at) === AF_INET ? 4 : 6;
  const type = TYPE_NAMES.get(buf.readUInt8(at + 7));
  const flags = buf.readUInt32LE(at + 8);
  if (type === undefined || ((flags & RTM_F_CLONED) !== 0 && !cloned)) return undefined;
  const reading: Reading = {
    dst: addrFromBytes(new Uint8Array(family === 4 ? 4 : 16)),
    table: buf.readUInt8(at + 4),
    metric: 0,
    src: undefined,
    mtu: undefined,
    link: undefined,
    via: undefined,
    hops: [],
  };
  readAttrs(message, names, reading);
  const { metric, src, mtu } = reading;
  const scope = buf.readUInt8(at + 6);
  return {
    dst: { addr: reading.dst, bits: buf.readUInt8(at + 1) },
    type,
    nextHops: type === "unicast" || type === "local" ? hopsOf(reading, (flags & RTNH_F_ONLINK) !== 0) : [],
    ...(src && { src }),
    ...(mtu !== undefined && { mtu }),
    ...(metric !== (family === 4 ? 0 : DEFAULT_METRIC_6) && { metric }),
    table: reading.table,
    protocol: buf.readUInt8(at + 5),
    ...(family === 4 && { scope: scope === RT_SCOPE_HOST ? "host" : scope === RT_SCOPE_LINK ? "link" : "global" }),
  };
}

function hopsOf(reading: Reading, onlink: boolean): NextHop[] {
  if (reading.hops.length > 0) return reading.hops;
  const { via, link } = reading;
  return [{ ...(via && { via }), ...(link !== undefined && { link }), ...(onlink && { onlink }) }];
}

function readAttrs(message: NetlinkMessage, names: ReadonlyMap<number, string>, into: Reading): void {
  const attrs = message.attrs(RTMSG_BYTES);
  while (attrs.next()) {
    if (attrs.type === RTA_DST) into.dst = addrFromBytes(attrs.bytes());
    else if (attrs.type === RTA_TABLE) into.table = attrs.u32();
    else if (attrs.type === RTA_PRIORITY) into.metric = attrs.u32();
    else if (attrs.type === RTA_PREFSRC) into.src = addrFromBytes(attrs.bytes());
    else if (attrs.type === RTA_OIF) into.link = names.get(attrs.u32());
    else if (attrs.type === RTA_GATEWAY) into.via = addrFromBytes(attrs.bytes());
    else if (attrs.type === RTA_VIA) into.via = addrFromBytes(attrs.bytes().subarray(2));
    else if (attrs.type === RTA_METRICS) into.mtu = readMtu(attrs.nested());
    else if (attrs.type === RTA_MULTIPATH) into.hops = readMultipath(message.buf, { start: attrs.start, end: attrs.stop }, names);
  }
}

function readMtu(metrics: AttrReader): number | undefined {
  while (metrics.next()) if (metrics.type === RTAX_MTU) return metrics.u32();
  return undefined;
}

function readMultipath(buf: Buffer, range: { start: number; end: number }, names: ReadonlyMap<number, string>): NextHop[] {
  const hops: NextHop[] = [];
  for (let at = range.start; at + RTNEXTHOP_BYTES <= range.end; ) {
    const length = buf.readUInt16LE(at);
    if (length < RTNEXTHOP_BYTES) break;
    const link = names.get(buf.readInt32LE(at + 4));
    const onlink = (buf.readUInt8(at + 2) & RTNH_F_ONLINK) !== 0;
    let via: Addr | undefined;
    const attrs = new AttrReader(buf, at + RTNEXTHOP_BYTES, at + length);
    while (attrs.next()) {
      if (attrs.type === RTA_GATEWAY) via = addrFromBytes(attrs.bytes());
      else if (attrs.type === RTA_VIA) via = addrFromBytes(attrs.bytes().subarray(2));
    }
    hops.push({ ...(via && { via }), ...(link !== undefined && { link }), ...(onlink && { onlink }), weight: buf.readUInt8(at + 3) + 1 });
    at += (length + 3) & ~3;
  }
  return hops;
}

/** Older kernels do not filter dumps; the filter is repeated here. */
export function matches(route: Route, filter: { table?: number; protocol?: number }): boolean {
  return (
    (filter.table === undefined || route.table === filter.table) && (filter.protocol === undefined || route.protocol === filter.protocol)
  );
}
