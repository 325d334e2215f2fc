// Events: rtnetlink multicast groups on a socket of their own, read when the event loop finds it readable.
import { watchFd } from "../ffi.ts";
import { type NetlinkMessage, NetlinkSocket } from "../netlink/index.ts";
import type { NetNs, RouteEvent } from "../types.ts";
import { NETLINK_ROUTE } from "../uapi/netlink.ts";
import {
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTM_NEWRULE,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV4_RULE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_IPV6_RULE,
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
} from "../uapi/rtnetlink.ts";
import { AF_BRIDGE } from "../uapi/socket.ts";
import { readName } from "./links.ts";

type ObjectKind = RouteEvent["object"];

export const OBJECT_KINDS: readonly ObjectKind[] = ["link", "addr", "route", "neigh", "rule"];

const GROUPS: Readonly<Record<ObjectKind, readonly number[]>> = {
  link: [RTNLGRP_LINK],
  addr: [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR],
  route: [RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE],
  neigh: [RTNLGRP_NEIGH],
  rule: [RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE],
};

const EVENTS: ReadonlyMap<number, Pick<RouteEvent, "object" | "action">> = new Map([
  [RTM_NEWLINK, { object: "link", action: "new" }],
  [RTM_DELLINK, { object: "link", action: "del" }],
  [RTM_NEWADDR, { object: "addr", action: "new" }],
  [RTM_DELADDR, { object: "addr", action: "del" }],
  [RTM_NEWROUTE, { object: "route", action: "new" }],
  [RTM_DELROUTE, { object: "route", action: "del" }],
  [RTM_NEWNEIGH, { object: "neigh", action: "new" }],
  [RTM_DELNEIGH, { object: "neigh", action: "del" }],
  [RTM_NEWRULE, { object: "rule", action: "new" }],
  [RTM_DELRULE, { object: "rule", action: "del" }],
]);

/** `names` are the links there are now; links that come later are learnt from their events. */
export function watchRoutes(
  ns: NetNs,
  options: { names(): Map<number, string>; objects: readonly ObjectKind[] },
  listener: (event: RouteEvent) => void,
): { close(): void } {
  const netlink = new NetlinkSocket(NETLINK_ROUTE, { ns });
  let open = true;
  const watching = new Set(options.objects);
  // Links are always listened to, for their names.
  for (const group of new Set([...watching, "link" as const].flatMap((object) => GROUPS[object]))) netlink.join(group);
  let names = options.names();
  const emit = (event: RouteEvent): void => {
    if (open && watching.has(event.object)) listener(event);
  };
  const watch = watchFd(netlink.fd, () => {
    const events: RouteEvent[] = [];
    const lost = netlink.receive((message) => {
      const event = readEvent(message, names);
      if (event !== undefined) events.push(event);
    });
    if (lost) names = options.names();
    for (const event of lost ? OBJECT_KINDS.map((object) => ({ object, action: "new" as const })) : events) emit(event);
  });
  return {
    close() {
      if (!open) return;
      open = false;
      watch.close();
      netlink.close();
    },
  };
}

function readEvent(message: NetlinkMessage, names: Map<number, string>): RouteEvent | undefined {
  const event = EVENTS.get(message.type);
  if (event === undefined) return undefined;
  if (event.object === "link") {
    const [index, name] = readName(message);
    // In the bridge's family it says only that a port left its bridge.
    const gone = event.action === "del" && message.buf.readUInt8(message.payload) !== AF_BRIDGE;
    if (gone) names.delete(index);
    else names.set(index, name);
    return { object: "link", action: gone ? "del" : "new", link: name };
  }
  const link = event.object === "addr" || event.object === "neigh" ? names.get(message.buf.readInt32LE(message.payload + 4)) : undefined;
  return { ...event, ...(link !== undefined && { link }) };
}
