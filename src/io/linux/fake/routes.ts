// Routes of the fake kernel: what the kernel accepts, and where it would send a packet.
import { type Addr, addrEquals, hostPrefix, maskPrefix, prefixContains, prefixEquals } from "#ip";
import { describeRoute } from "../route/describe.ts";
import { checkWeight } from "../route/routes.ts";
import type { NextHop, Route, RouteSocket, Rule } from "../types.ts";
import { kernelRoutes } from "./addrs.ts";
import { type FakeHop, type FakeLink, type FakeRoute, type FakeState, refusal } from "./state.ts";

const MAIN_TABLE = 254;
const RTPROT_BOOT = 3;

function defaultMetric(route: { dst: Route["dst"] }): number {
  return route.dst.addr.family === 4 ? 0 : 1024;
}

function isLinkLocal(addr: Addr): boolean {
  return addr.family === 6 && addr.bytes[0] === 0xfe && ((addr.bytes[1] ?? 0) & 0xc0) === 0x80;
}

function isLocal(ns: FakeState, addr: Addr): boolean {
  return ns.addrs.some((own) => addrEquals(own.prefix.addr, addr));
}

/** The link behind which a gateway is: routes without a gateway lead there (fib_check_nh, ip6_route_check_nh). */
function linkOfGateway(ns: FakeState, hop: NextHop & { via: Addr }, route: Route, op: string): FakeLink {
  const v6 = route.dst.addr.family === 6;
  if (v6 && hop.via.family === 6 && isLocal(ns, hop.via)) throw refusal(op, "EINVAL", "Gateway can not be a local address");
  if (isLinkLocal(hop.via)) {
    if (hop.link === undefined) throw refusal(op, "EINVAL", "Egress device not specified");
    return ns.link(hop.link, op);
  }
  const direct = [...kernelRoutes(ns), ...ns.routes].filter(
    (candidate) => candidate.type === "unicast" && candidate.table === MAIN_TABLE && prefixContains(candidate.dst, hop.via),
  );
  const links = direct
    .filter((candidate) => candidate.hops[0]?.via === undefined)
    .flatMap((candidate) => candidate.hops)
    .map((candidate) => candidate.link)
    .filter((link) => link.up && (hop.link === undefined || link.name === hop.link));
  const [link] = links;
  if (link !== undefined) return link;
  throw v6 ? refusal(op, "EHOSTUNREACH") : refusal(op, "ENETUNREACH", "Nexthop has invalid gateway");
}

function resolveHop(ns: FakeState, hop: NextHop, route: Route, op: string): FakeHop {
  checkWeight(hop);
  const named = hop.link === undefined ? undefined : ns.link(hop.link, op);
  const v6 = route.dst.addr.family === 6;
  if (hop.onlink === true && named === undefined) throw refusal(op, "ENODEV", "Nexthop device required for onlink");
  if (named !== undefined && !named.up) {
    throw refusal(op, "ENETDOWN", v6 ? "Nexthop device is not up" : "Device for nexthop is not up");
  }
  const { via } = hop;
  const link = via !== undefined && hop.onlink !== true ? linkOfGateway(ns, { ...hop, via }, route, op) : named;
  if (link === undefined) throw refusal(op, "ENODEV");
  return { via, link, onlink: hop.onlink ?? false, weight: hop.weight ?? 1 };
}

function accept(ns: FakeState, route: Route, op: string): FakeRoute {
  const type = route.type ?? "unicast";
  const needsHop = type === "unicast" || type === "local";
  if (needsHop && route.nextHops.length === 0) throw refusal(op, "ENODEV");
  const hops = needsHop ? route.nextHops.map((hop) => resolveHop(ns, hop, route, op)) : [];
  if (route.src !== undefined && !isLocal(ns, route.src)) {
    throw refusal(op, "EINVAL", route.src.family === 4 ? "Invalid prefsrc address" : "Invalid source address");
  }
  return {
    dst: maskPrefix(route.dst),
    type,
    hops,
    src: route.src,
    mtu: route.mtu,
    metric: route.metric ?? defaultMetric(route),
    table: route.table ?? MAIN_TABLE,
    protocol: route.protocol ?? RTPROT_BOOT,
    scope: scopeOf(route),
  };
}

function scopeOf(route: Route): NonNullable<Route["scope"]> {
  if (route.dst.addr.family === 6) return "global";
  if (route.scope !== undefined) return route.scope;
  if (route.type === "local") return "host";
  const direct = (route.type ?? "unicast") === "unicast" && route.nextHops.every((hop) => hop.via === undefined);
  return direct ? "link" : "global";
}

function setRoute(ns: FakeState, route: Route): void {
  const entry = accept(ns, route, ns.begin(`set ${describeRoute(route)}`));
  const at = ns.routes.findIndex(
    (other) => other.table === entry.table && other.metric === entry.metric && prefixEquals(other.dst, entry.dst),
  );
  if (at >= 0) ns.routes[at] = entry;
  else ns.routes.push(entry);
  ns.emit("route", "new");
}

function sameHop(hop: NextHop, other: FakeHop): boolean {
  const viaMatches = hop.via === undefined || (other.via !== undefined && addrEquals(hop.via, other.via));
  return viaMatches && (hop.link === undefined || hop.link === other.link.name);
}

/** Absent fields match everything; so do absent next hops. */
function isMeant(wanted: Route, route: FakeRoute): boolean {
  return (
    prefixEquals(maskPrefix(wanted.dst), route.dst) &&
    (wanted.table ?? MAIN_TABLE) === route.table &&
    (wanted.metric === undefined || wanted.metric === route.metric) &&
    (wanted.type === undefined || wanted.type === route.type) &&
    (wanted.protocol === undefined || wanted.protocol === route.protocol) &&
    (wanted.scope === undefined || route.dst.addr.family === 6 || wanted.scope === route.scope) &&
    wanted.nextHops.every((hop) => route.hops.some((other) => sameHop(hop, other)))
  );
}

function show(route: FakeRoute): Route {
  const several = route.hops.length > 1;
  return {
    dst: route.dst,
    type: route.type,
    nextHops: route.hops.map((hop) => ({
      ...(hop.via && { via: hop.via }),
      link: hop.link.name,
      ...(hop.onlink && { onlink: true }),
      ...(several && { weight: hop.weight }),
    })),
    ...(route.src && { src: route.src }),
    ...(route.mtu !== undefined && { mtu: route.mtu }),
    ...(route.metric !== defaultMetric(route) && { metric: route.metric }),
    table: route.table,
    protocol: route.protocol,
    ...(route.dst.addr.family === 4 && { scope: route.scope }),
  };
}

/** A packet made here has no mark and came in through no link. */
function ruleMatches(rule: Rule, dst: Addr, from: Addr | undefined): boolean {
  return (
    rule.family === dst.family &&
    (rule.to === undefined || prefixContains(rule.to, dst)) &&
    (rule.from === undefined || (from !== undefined && prefixContains(rule.from, from))) &&
    (rule.fwmark === undefined || (0 & rule.fwmark.mask) === rule.fwmark.value) &&
    (rule.iif === undefined || rule.iif === "lo")
  );
}

function lookup(ns: FakeState, dst: Addr, from: Addr | undefined): Route | undefined {
  const all = [...kernelRoutes(ns), ...ns.routes];
  for (const rule of [...ns.rules].sort((a, b) => a.priority - b.priority)) {
    if (!ruleMatches(rule, dst, from)) continue;
    const [best] = all
      .filter((route) => route.table === rule.table && prefixContains(route.dst, dst))
      .sort((a, b) => b.dst.bits - a.dst.bits || a.metric - b.metric);
    if (best === undefined) continue;
    const hop = best.hops.find((candidate) => candidate.link.up) ?? best.hops[0];
    const chosen = { ...best, hops: hop === undefined ? [] : [{ ...hop, onlink: false }] };
    const src = best.src ?? (hop && sourceOf(ns, hop, dst));
    return { ...show(chosen), dst: hostPrefix(dst), ...(src && { src }) };
  }
  return undefined;
}

/** The first address of the link that is in the subnet of the gateway or destination, or else the first of the family. */
function sourceOf(ns: FakeState, hop: FakeHop, dst: Addr): Addr | undefined {
  const own = ns.addrs.filter((addr) => addr.link === hop.link && addr.prefix.addr.family === dst.family);
  const near = own.find((addr) => prefixContains(maskPrefix(addr.prefix), hop.via ?? dst));
  return (near ?? own[0])?.prefix.addr;
}

export function fakeRoutes(ns: FakeState): RouteSocket["routes"] {
  return {
    list(filter = {}) {
      return [...kernelRoutes(ns), ...ns.routes]
        .filter((route) => filter.family === undefined || route.dst.addr.family === filter.family)
        .filter((route) => filter.table === undefined || route.table === filter.table)
        .filter((route) => filter.protocol === undefined || route.protocol === filter.protocol)
        .map(show);
    },
    set: (route) => setRoute(ns, route),
    setMany(routes) {
      setAll(routes, (route) => setRoute(ns, route));
    },
    del(route) {
      ns.begin(`delete ${describeRoute(route)}`);
      const at = ns.routes.findIndex((other) => isMeant(route, other));
      if (at < 0) return;
      ns.routes.splice(at, 1);
      ns.emit("route", "del");
    },
    lookup: (dst, from) => lookup(ns, dst, from),
  };
}

/** Tries all, then throws the first refusal. */
export function setAll<T>(items: readonly T[], set: (item: T) => void): void {
  const refusals: unknown[] = [];
  for (const item of items) {
    try {
      set(item);
    } catch (err) {
      refusals.push(err);
    }
  }
  if (refusals.length > 0) throw refusals[0];
}
