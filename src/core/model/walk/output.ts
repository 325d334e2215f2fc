// What is made in a namespace leaves it. Mirrors __ip_local_out, ip_output and ip_finish_output (net/ipv4/ip_output.c) and their like in
// net/ipv6/ip6_output.c.
import { addrEquals } from "#ip";
import type { Skb } from "../evaluate/evaluation.ts";
import type { Packet } from "../packet.ts";
import type { FibResult } from "./fib.ts";
import { passHook } from "./hook.ts";
import type { Host } from "./host.ts";
import { resolveNeigh } from "./neigh.ts";
import { receive } from "./receive.ts";
import { errorAnswer } from "./refuse.ts";
import { dropped, type Ended, type OpenHop, type Run, refused, sizeOf } from "./run.ts";
import { transmit } from "./transmit.ts";

export const LOOPBACK = "lo";

/**
 * A packet with its source chosen. `tunnel` is the link that has made it around another one: nobody takes that from the packet, and so it
 * stands as the incoming link in the postrouting hook (iptunnel_xmit leaves `skb->dev`, ip_output and ip6_output take it for `indev`).
 */
export function output(run: Run, host: Host, skb: Skb, tunnel?: string): Ended {
  const hop = run.openHop(host, undefined, skb.packet);
  let route = routeOf(run, host, skb);
  if (route === undefined) return dropped(host, skb, "no route");
  const before = skb.packet;
  const { mark } = skb;
  const ended = passHook({ run, host, hop, hook: "output", skb, linkIn: undefined, linkOut: linkOf(route) });
  hop.after = skb.packet;
  if (ended !== undefined) return ended;
  // ip_route_me_harder: translated to elsewhere, or marked.
  if (!addrEquals(before.dst, skb.packet.dst) || mark !== skb.mark) route = routeOf(run, host, skb);
  if (route === undefined) return dropped(host, skb, "no route");
  const chosen = route;
  run.decide(hop, () => routeDecision(chosen));
  return leave({ run, host, hop, skb, route, linkIn: undefined, tunnel });
}

function routeOf(run: Run, host: Host, { packet, mark }: Skb): FibResult | undefined {
  const { dst, src } = packet;
  const found = host.fib.lookup({ dst, src, mark }, run.choices);
  return found?.type === "unicast" || found?.type === "local" ? found : undefined;
}

function linkOf({ type, link }: FibResult): string | undefined {
  return type === "local" ? LOOPBACK : link;
}

export function routeDecision({ type, route, table, link, via }: FibResult): Parameters<OpenHop["decisions"]["push"]>[0] {
  return { kind: "route", type, dst: route.dst, table, ...(link !== undefined && { link }), ...(via !== undefined && { via }) };
}

export interface Leaving {
  readonly run: Run;
  readonly host: Host;
  readonly hop: OpenHop;
  readonly skb: Skb;
  readonly route: FibResult;
  readonly linkIn: string | undefined;
  /** See `output`. */
  readonly tunnel?: string | undefined;
}

/** After the decision where to: the postrouting hook, size, neighbour, link. */
export function leave({ run, host, hop, skb, route, linkIn, tunnel }: Leaving): Ended {
  const linkOut = linkOf(route);
  const link = linkOut === undefined ? undefined : host.links.get(linkOut);
  if (linkOut === undefined || link === undefined) return dropped(host, skb, "no route");
  const ended = passHook({ run, host, hop, hook: "postrouting", skb, linkIn: linkIn ?? tunnel, linkOut });
  hop.after = skb.packet;
  if (ended !== undefined) return ended;
  hop.linkOut = linkOut;
  if (!link.up) return dropped(host, skb, "link down");
  // Over loopback a packet keeps its connection and its route.
  if (link.type.kind === "loopback") return receive(run, host, LOOPBACK, skb);
  const mtu = route.route.mtu ?? link.mtu;
  if (sizeOf(skb) > mtu) {
    if (!mayFragment(skb.packet, linkIn)) return dropped(host, skb, "mtu");
    skb.fragment = mtu;
    run.decide(hop, () => ({ kind: "fragment", mtu }));
  }
  const neigh = resolveNeigh(run.network, host, linkOut, route.via ?? skb.packet.dst);
  if (neigh === undefined) {
    const said = linkIn === undefined ? undefined : errorAnswer(host, skb.packet, "host-unreachable");
    return said === undefined ? dropped(host, skb, "no neighbour") : refused(host, skb, "no neighbour", said);
  }
  run.decide(hop, () => ({ kind: "neigh", addr: neigh.addr, mac: neigh.mac, how: neigh.how }));
  return transmit({ run, host, hop, link: linkOut, skb, srcMac: link.mac, dstMac: neigh.mac });
}

/** IPv6 is fragmented where it is made, and nowhere else. */
function mayFragment({ src, dontFragment }: Packet, linkIn: string | undefined): boolean {
  return src.family === 4 ? dontFragment !== true : linkIn === undefined;
}
