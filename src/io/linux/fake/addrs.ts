// Addresses of the fake kernel, and the routes that the kernel makes of them.
import { hostPrefix, maskPrefix, type Prefix, prefixEquals } from "#ip";
import { describeAddr } from "../route/describe.ts";
import type { LinkAddr, RouteSocket } from "../types.ts";
import type { FakeAddr, FakeRoute, FakeState } from "./state.ts";

const RTPROT_KERNEL = 2;
const LOCAL_TABLE = 255;
const MAIN_TABLE = 254;
/** IP6_RT_PRIO_ADDRCONF */
const ADDRCONF_METRIC = 256;

/** For each address a local route, and while its link is up one to its subnet (fib_add_ifaddr, addrconf_prefix_route). */
export function kernelRoutes(ns: FakeState): FakeRoute[] {
  return ns.addrs.flatMap((addr) => {
    const routes = [localRoute(addr, hostPrefix(addr.prefix.addr))];
    const subnet = maskPrefix(addr.prefix);
    if (!addr.link.up || addr.prefix.bits === (addr.prefix.addr.family === 4 ? 32 : 128)) return routes;
    if (addr.link.type.kind === "") return [...routes, localRoute(addr, subnet)];
    return [...routes, subnetRoute(addr, subnet)];
  });
}

function localRoute(addr: FakeAddr, dst: Prefix): FakeRoute {
  const four = dst.addr.family === 4;
  return { ...subnetRoute(addr, dst), type: "local", metric: 0, table: LOCAL_TABLE, scope: four ? "host" : "global" };
}

function subnetRoute(addr: FakeAddr, dst: Prefix): FakeRoute {
  const four = dst.addr.family === 4;
  return {
    dst,
    type: "unicast",
    hops: [{ via: undefined, link: addr.link, onlink: false, weight: 1 }],
    src: four ? addr.prefix.addr : undefined,
    mtu: undefined,
    metric: four ? 0 : ADDRCONF_METRIC,
    table: MAIN_TABLE,
    protocol: RTPROT_KERNEL,
    scope: four ? "link" : "global",
  };
}

function show(addr: FakeAddr): LinkAddr {
  return { link: addr.link.name, prefix: addr.prefix, ...(addr.prefix.addr.family === 6 && !addr.noDad && { noDad: false }) };
}

export function fakeAddrs(ns: FakeState): RouteSocket["addrs"] {
  return {
    list(link) {
      if (link !== undefined) ns.link(link, `list addresses of "${link}"`);
      return ns.addrs.map(show).filter((addr) => link === undefined || addr.link === link);
    },
    set(addr) {
      const link = ns.link(addr.link, ns.begin(`set ${describeAddr(addr)}`));
      const entry: FakeAddr = { link, prefix: addr.prefix, noDad: addr.noDad ?? true };
      const at = ns.addrs.findIndex((other) => other.link === link && prefixEquals(other.prefix, addr.prefix));
      if (at >= 0) ns.addrs[at] = entry;
      else ns.addrs.push(entry);
      ns.emit("addr", "new", addr.link);
      ns.emit("route", "new");
    },
    del(addr) {
      ns.begin(`delete ${describeAddr(addr)}`);
      const kept = ns.addrs.filter((other) => other.link.name !== addr.link || !prefixEquals(other.prefix, addr.prefix));
      if (kept.length === ns.addrs.length) return;
      ns.addrs = kept;
      ns.emit("addr", "del", addr.link);
      ns.emit("route", "del");
    },
  };
}
