import { KernelError } from "../kernel-error.ts";
import { NetlinkSocket } from "../netlink/index.ts";
import type { NetNs, RouteSocket } from "../types.ts";
import { NETLINK_ROUTE } from "../uapi/netlink.ts";
import { addrsOf } from "./addrs.ts";
import type { RouteContext } from "./context.ts";
import { getLink, linkNames, linksOf } from "./links.ts";
import { fdbOf, neighsOf } from "./neighs.ts";
import { routesOf } from "./routes.ts";
import { rulesOf } from "./rules.ts";
import { OBJECT_KINDS, watchRoutes } from "./watch.ts";

/** Opens a route socket in `ns`. The handle must stay open as long as the socket: tun devices and watches are made in it. */
export function openRoute(ns: NetNs): RouteSocket {
  const netlink = new NetlinkSocket(NETLINK_ROUTE, { ns });
  const ctx: RouteContext = {
    netlink,
    ns,
    indexOf(name, op) {
      const link = getLink(ctx, name);
      if (link === undefined) throw new KernelError({ op, errno: 19, detail: `there is no link "${name}"`, facts: { link: name } });
      return link.index;
    },
  };
  return {
    links: linksOf(ctx),
    addrs: addrsOf(ctx),
    routes: routesOf(ctx),
    rules: rulesOf(ctx),
    neighs: neighsOf(ctx),
    fdb: fdbOf(ctx),
    watch: (listener, objects = OBJECT_KINDS) => watchRoutes(ns, { names: () => linkNames(ctx), objects }, listener),
    close: () => netlink.close(),
  };
}
