// A packet comes up from a link. Mirrors ip_rcv, ip_route_input_slow, fib_validate_source and ip_forward (net/ipv4/ip_input.c, route.c,
// fib_frontend.c, ip_forward.c), and ipv6_rcv, ip6_route_input and ip6_forward (net/ipv6).
import { type Addr, type Prefix, parsePrefix, prefixContains } from "#ip";
import type { Skb } from "../evaluate/evaluation.ts";
import type { IcmpErrorName, Packet } from "../packet.ts";
import { deliver } from "./deliver.ts";
import type { FibResult } from "./fib.ts";
import { passHook } from "./hook.ts";
import type { Host } from "./host.ts";
import { LOOPBACK, leave, routeDecision } from "./output.ts";
import { errorAnswer } from "./refuse.ts";
import type { DropReason } from "./result.ts";
import { dropped, type Ended, type OpenHop, type Run, refused, sizeOf } from "./run.ts";
import { addrType } from "./surroundings.ts";

interface Received {
  readonly run: Run;
  readonly host: Host;
  readonly hop: OpenHop;
  readonly skb: Skb;
  readonly linkIn: string;
}

export function receive(run: Run, host: Host, linkIn: string, skb: Skb): Ended {
  const hop = run.openHop(host, linkIn, skb.packet);
  const at: Received = { run, host, hop, skb, linkIn };
  // conntrack puts fragments together (nf_defrag_ipv4.c, nf_conntrack_reasm.c), and so nothing else here sees them.
  if (host.tracks) delete skb.fragment;
  const ended = passHook({ ...at, hook: "prerouting", linkOut: undefined });
  hop.after = skb.packet;
  if (ended !== undefined) return ended;
  if (linkIn === LOOPBACK) return input(at);
  const { packet, mark } = skb;
  const { src, dst } = packet;
  if (addrType(host, dst, undefined) === "multicast") return dropped(host, skb, "not modelled");
  const impossible = src.family === 4 ? impossible4(at) : impossible6(packet);
  if (impossible) return dropped(host, skb, "martian");
  const route = host.fib.lookup({ dst, src, mark, linkIn }, run.choices);
  if (route !== undefined) run.decide(hop, () => routeDecision(route));
  if (route?.type === "broadcast") return dropped(host, skb, "not modelled");
  if (route?.type === "local") {
    const wrong = wrongSource(at);
    return wrong === undefined ? input(at) : dropped(host, skb, wrong);
  }
  return forward(at, route);
}

const LOOPBACK_NET: Prefix = parsePrefix("127.0.0.0/8");
const THIS_NETWORK: Prefix = parsePrefix("0.0.0.0/8");
const MULTICAST: Prefix = parsePrefix("224.0.0.0/4");
const LOOPBACK6: Prefix = parsePrefix("::1/128");
const MULTICAST6: Prefix = parsePrefix("ff00::/8");
const LINK_LOCAL6: Prefix = parsePrefix("fe80::/10");

function impossible4({ host, skb, linkIn }: Received): boolean {
  const { src, dst } = skb.packet;
  if ([MULTICAST, THIS_NETWORK].some((prefix) => prefixContains(prefix, src)) || prefixContains(THIS_NETWORK, dst)) return true;
  if (!prefixContains(LOOPBACK_NET, src) && !prefixContains(LOOPBACK_NET, dst)) return false;
  return !host.linkSettings(linkIn).routeLocalnet;
}

/** ip6_rcv_core: ::1 comes over loopback only. */
function impossible6({ src, dst }: Packet): boolean {
  return [src, dst].some((addr) => prefixContains(LOOPBACK6, addr)) || prefixContains(MULTICAST6, src);
}

/** fib_validate_source: whether the source may come in here. IPv6 has no such check. */
function wrongSource({ run, host, skb, linkIn }: Received): DropReason | undefined {
  const { src, dst } = skb.packet;
  if (src.family === 6) return undefined;
  const { rpFilter: mode, acceptLocal } = host.linkSettings(linkIn);
  if (host.owners(src).length > 0 && !acceptLocal) return "martian";
  if (mode === 0) return undefined;
  const back = host.fib.lookup({ dst: src, src: dst, linkIn: LOOPBACK }, run.choices);
  if (back?.link === linkIn) return undefined;
  if (mode === 1 || back === undefined) return "rp_filter";
  return undefined;
}

function input(at: Received): Ended {
  const { hop, skb } = at;
  const ended = passHook({ ...at, hook: "input", linkOut: undefined });
  hop.after = skb.packet;
  return ended ?? deliver(at.run, at.host, hop, skb);
}

function forwards(host: Host, family: Addr["family"], linkIn: string): boolean {
  return family === 6 ? host.settings.forwarding6 : host.linkSettings(linkIn).forwarding4;
}

/** What routes that lead nowhere make the kernel say (ip_error, ip6_pkt_drop); nothing of blackholes. */
const NOWHERE: Readonly<Record<string, IcmpErrorName | undefined>> = {
  unreachable: "host-unreachable",
  prohibit: "admin-prohibited",
  blackhole: undefined,
};

function forward(at: Received, route: FibResult | undefined): Ended {
  const { run, host, hop, skb, linkIn } = at;
  const { family } = skb.packet.src;
  if (!forwards(host, family, linkIn)) return dropped(host, skb, "not forwarding");
  if (route === undefined || route.type !== "unicast") {
    const unreachable = family === 6 && route?.type === "unreachable" ? "net-unreachable" : NOWHERE[route?.type ?? ""];
    return withError(at, "no route", route === undefined ? "net-unreachable" : unreachable);
  }
  const wrong = wrongSource(at);
  if (wrong !== undefined) return dropped(host, skb, wrong);
  const { packet } = skb;
  if (family === 6 && [packet.src, packet.dst].some((addr) => prefixContains(LINK_LOCAL6, addr)))
    return dropped(host, skb, "not forwarding");
  if (packet.ttl <= 1) return withError(at, "ttl", "time-exceeded");
  const linkOut = route.link;
  const mtu = route.route.mtu ?? (linkOut === undefined ? undefined : host.links.get(linkOut)?.mtu);
  if (mtu !== undefined && sizeOf(skb) > mtu && (family === 6 || packet.dontFragment === true)) {
    return withError(at, "mtu", "fragmentation-needed", mtu);
  }
  skb.packet = { ...packet, ttl: packet.ttl - 1 };
  const ended = passHook({ ...at, hook: "forward", linkOut });
  hop.after = skb.packet;
  return ended ?? leave({ run, host, hop, skb, route, linkIn });
}

function withError({ host, skb }: Received, why: DropReason, name: IcmpErrorName | undefined, mtu?: number): Ended {
  const said = name && errorAnswer(host, skb.packet, name, mtu);
  return said === undefined ? dropped(host, skb, why) : refused(host, skb, why, said);
}
