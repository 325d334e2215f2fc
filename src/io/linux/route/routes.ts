// Routes: RTM_*ROUTE (rtnetlink(7), net/ipv4/fib_frontend.c, net/ipv6/route.c).
import { InputError } from "#base";
import { type Addr, addrBits, formatAddr, hostPrefix, maskPrefix } from "#ip";
import { isErrno, KernelError } from "../kernel-error.ts";
import { MessageWriter } from "../netlink/index.ts";
import type { NextHop, Route, RouteSocket } from "../types.ts";
import { NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE } from "../uapi/netlink.ts";
import {
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTA_DST,
  RTA_GATEWAY,
  RTA_METRICS,
  RTA_MULTIPATH,
  RTA_OIF,
  RTA_PREFSRC,
  RTA_PRIORITY,
  RTA_SRC,
  RTA_TABLE,
  RTA_VIA,
  RTAX_MTU,
  RTM_DELROUTE,
  RTM_F_LOOKUP_TABLE,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTNH_F_ONLINK,
  RTPROT_BOOT,
} from "../uapi/rtnetlink.ts";
import { AF_INET, AF_INET6 } from "../uapi/socket.ts";
import { cachedIndex, type RouteContext, sendMany } from "./context.ts";
import { describeRoute } from "./describe.ts";
import { linkNames } from "./links.ts";
import { matches, ROUTE_TYPES, readRoute } from "./route-reader.ts";

type IndexOf = (name: string) => number;

const SCOPES = { global: RT_SCOPE_UNIVERSE, link: RT_SCOPE_LINK, host: RT_SCOPE_HOST } as const;

/** As iproute2 chooses: IPv6 knows no scopes here; in IPv4 local routes are host, those without a gateway link. */
function scopeOf(route: Route): number {
  if (route.dst.addr.family === 6) return RT_SCOPE_UNIVERSE;
  if (route.scope !== undefined) return SCOPES[route.scope];
  if (route.type === "local") return RT_SCOPE_HOST;
  const unicast = route.type === undefined || route.type === "unicast";
  return unicast && route.nextHops.every((hop) => hop.via === undefined) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
}

/** Deletion takes what is not said as "any": 0, and RT_SCOPE_NOWHERE (fib_table_delete, ip6_route_del). */
function headerOf(type: number, route: Route): { protocol: number; scope: number; kind: number } {
  if (type === RTM_DELROUTE) {
    const scope = route.scope === undefined ? RT_SCOPE_NOWHERE : SCOPES[route.scope];
    return { protocol: route.protocol ?? 0, scope, kind: route.type === undefined ? 0 : ROUTE_TYPES[route.type] };
  }
  return { protocol: route.protocol ?? RTPROT_BOOT, scope: scopeOf(route), kind: ROUTE_TYPES[route.type ?? "unicast"] };
}

export function writeRoute(w: MessageWriter, message: { type: number; flags: number }, route: Route, indexOf: IndexOf): void {
  const dst = maskPrefix(route.dst);
  const family = dst.addr.family;
  const table = route.table ?? RT_TABLE_MAIN;
  const [hop] = route.nextHops;
  const single = route.nextHops.length === 1 && hop !== undefined;
  w.begin(message.type, message.flags);
  w.putU8(family === 4 ? AF_INET : AF_INET6)
    .putU8(dst.bits)
    .putU8(0)
    .putU8(0);
  // rtm_table has one byte; RT_TABLE_COMPAT (252) stands for "see RTA_TABLE".
  w.putU8(table < 256 ? table : 252);
  const { protocol, scope, kind } = headerOf(message.type, route);
  w.putU8(protocol).putU8(scope).putU8(kind);
  w.putU32(single && hop.onlink === true ? RTNH_F_ONLINK : 0);
  if (dst.bits > 0) w.attrBytes(RTA_DST, dst.addr.bytes);
  w.u32(RTA_TABLE, table);
  if (route.metric !== undefined) w.u32(RTA_PRIORITY, route.metric);
  if (route.src !== undefined) w.attrBytes(RTA_PREFSRC, route.src.bytes);
  if (route.mtu !== undefined) {
    const metrics = w.openNest(RTA_METRICS);
    w.u32(RTAX_MTU, route.mtu).closeNest(metrics);
  }
  for (const each of route.nextHops) checkWeight(each);
  if (single) {
    if (hop.via !== undefined) writeVia(w, hop.via, family);
    if (hop.link !== undefined) w.u32(RTA_OIF, indexOf(hop.link));
  } else if (route.nextHops.length > 1) writeMultipath(w, route, indexOf);
  w.end();
}

function writeVia(w: MessageWriter, via: Addr, family: 4 | 6): void {
  if (via.family === family) {
    w.attrBytes(RTA_GATEWAY, via.bytes);
    return;
  }
  // struct rtvia: an IPv4 route through an IPv6 gateway (RFC 8950's forwarding).
  const bytes = new Uint8Array(2 + via.bytes.length);
  bytes[0] = via.family === 4 ? AF_INET : AF_INET6;
  bytes.set(via.bytes, 2);
  w.attrBytes(RTA_VIA, bytes);
}

/** The kernel counts from 0 in one byte, and would take the rest of a larger weight. */
export function checkWeight(hop: NextHop): void {
  const weight = hop.weight ?? 1;
  if (!Number.isInteger(weight) || weight < 1 || weight > 256) throw new InputError("weight", `${weight} is not a number from 1 to 256`);
}

function writeMultipath(w: MessageWriter, route: Route, indexOf: IndexOf): void {
  const list = w.openNest(RTA_MULTIPATH);
  for (const hop of route.nextHops) {
    // struct rtnexthop, its length written at the end.
    const start = w.byteLength;
    w.putU16(0)
      .putU8(hop.onlink === true ? RTNH_F_ONLINK : 0)
      .putU8((hop.weight ?? 1) - 1);
    w.putU32(hop.link === undefined ? 0 : indexOf(hop.link));
    if (hop.via !== undefined) writeVia(w, hop.via, route.dst.addr.family);
    w.buffer.writeUInt16LE(w.byteLength - start, start);
  }
  w.closeNest(list);
}

const SET = { type: RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_REPLACE };

function listRoutes(ctx: RouteContext, filter: NonNullable<Parameters<RouteSocket["routes"]["list"]>[0]>): Route[] {
  const names = linkNames(ctx);
  const families = filter.family === undefined ? [4, 6] : [filter.family];
  return families.flatMap((family) => {
    const w = new MessageWriter();
    w.begin(RTM_GETROUTE, NLM_F_DUMP);
    w.putU8(family === 4 ? AF_INET : AF_INET6)
      .putU8(0)
      .putU16(0);
    w.putU8(0)
      .putU8(filter.protocol ?? 0)
      .putU16(0)
      .putU32(0);
    if (filter.table !== undefined) w.u32(RTA_TABLE, filter.table);
    w.end();
    try {
      return ctx.netlink.dump(w, (message) => readRoute(message, names), "list routes").filter((route) => matches(route, filter));
    } catch (err) {
      // A table without a route does not exist ("FIB table does not exist"); IPv6 may be switched off (EAFNOSUPPORT, EOPNOTSUPP).
      if (isErrno(err, "ENOENT", "EAFNOSUPPORT", "EOPNOTSUPP")) return [];
      throw err;
    }
  });
}

/** What lookup errors mean: the type of the route that matched (net/ipv4/fib_semantics.c fib_props). */
const LOOKUP_ERRORS: Readonly<Record<string, NonNullable<Route["type"]>>> = {
  EINVAL: "blackhole",
  EHOSTUNREACH: "unreachable",
  EACCES: "prohibit",
};

function lookup(ctx: RouteContext, dst: Addr, from: Addr | undefined): Route | undefined {
  const bits = addrBits(dst.family);
  const w = new MessageWriter();
  w.begin(RTM_GETROUTE, 0);
  w.putU8(dst.family === 4 ? AF_INET : AF_INET6)
    .putU8(bits)
    .putU8(from === undefined ? 0 : bits)
    .putU8(0);
  // IPv6 takes no flags here, and always tells the table.
  w.putU32(0).putU32(dst.family === 4 ? RTM_F_LOOKUP_TABLE : 0);
  w.attrBytes(RTA_DST, dst.bytes);
  if (from !== undefined) w.attrBytes(RTA_SRC, from.bytes);
  w.end();
  try {
    const [reply] = ctx.netlink.request(w, `look up the route to ${formatAddr(dst)}`);
    return reply && readRoute(reply, linkNames(ctx), true);
  } catch (err) {
    if (isErrno(err, "ENETUNREACH")) return undefined;
    // With words of its own the kernel finds fault with the request, not with the route.
    const type = err instanceof KernelError && err.detail === undefined ? LOOKUP_ERRORS[err.code] : undefined;
    if (type !== undefined && from === undefined) return { dst: hostPrefix(dst), type, nextHops: [] };
    throw err;
  }
}

export function routesOf(ctx: RouteContext): RouteSocket["routes"] {
  return {
    list: (filter = {}) => listRoutes(ctx, filter),
    set(route) {
      const op = `set ${describeRoute(route)}`;
      const w = new MessageWriter();
      writeRoute(w, SET, route, (name) => ctx.indexOf(name, op));
      ctx.netlink.request(w, op);
    },
    setMany(routes) {
      const indexOf = cachedIndex(ctx);
      sendMany(ctx, routes, {
        write: (w, route) => writeRoute(w, SET, route, (name) => indexOf(name, `set ${describeRoute(route)}`)),
        describe: describeRoute,
      });
    },
    del(route) {
      const op = `delete ${describeRoute(route)}`;
      try {
        const w = new MessageWriter();
        // What is not part of a route's identity must not keep it from being found.
        const { src: _src, mtu: _mtu, ...identity } = route;
        writeRoute(w, { type: RTM_DELROUTE, flags: 0 }, identity, (name) => ctx.indexOf(name, op));
        ctx.netlink.request(w, op);
      } catch (err) {
        // ESRCH: no such route; ENODEV: its link is gone, and the route with it.
        if (!isErrno(err, "ESRCH", "ENODEV")) throw err;
      }
    },
    lookup: (dst, from) => lookup(ctx, dst, from),
  };
}
