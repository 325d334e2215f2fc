// What rules ask of their namespace: links, routing, address translation.
import { type Addr, type Family, type Prefix, parsePrefix, prefixContains } from "#ip";
import { named } from "#nft";
import type { Choices } from "../choices.ts";
import { bind } from "../conntrack/nat.ts";
import type { ConntrackTable } from "../conntrack/table.ts";
import type { Surroundings } from "../evaluate/evaluation.ts";
import type { RouteType } from "../state.ts";
import { TABLE_LOCAL } from "./fib.ts";
import type { Host } from "./host.ts";
import { linkAddrFor } from "./source-addr.ts";

const MULTICAST: Readonly<Record<Family, Prefix>> = { 4: parsePrefix("224.0.0.0/4"), 6: parsePrefix("ff00::/8") };
const THIS_NETWORK: Prefix = parsePrefix("0.0.0.0/8");
const EVERYBODY: Prefix = parsePrefix("255.255.255.255/32");
const LINK_LOCAL: Prefix = parsePrefix("fe80::/10");

/** RTN_* of linux/rtnetlink.h. */
function rtn(type: RouteType | "multicast"): number {
  return named("fib_addrtype", type);
}

/** __inet_dev_addr_type (net/ipv4/fib_frontend.c) for IPv4, which asks the local table only; __nft_fib6_eval_type for IPv6. */
export function addrType(host: Host, addr: Addr, link: string | undefined): RouteType | "multicast" {
  if (prefixContains(MULTICAST[addr.family], addr)) return "multicast";
  if (addr.family === 4) {
    if (prefixContains(THIS_NETWORK, addr) || prefixContains(EVERYBODY, addr)) return "broadcast";
    const found = host.fib.inTable(TABLE_LOCAL, { dst: addr });
    return found !== undefined && (link === undefined || found.link === link) ? found.type : "unicast";
  }
  if (link !== undefined) return host.owners(addr).includes(link) ? "local" : "unicast";
  return host.fib.lookup({ dst: addr })?.type ?? "unreachable";
}

export function surroundings(host: Host, table: ConntrackTable, choices: Choices): Surroundings {
  return {
    linkIndex: (link) => (link === undefined ? 0 : (host.links.get(link)?.index ?? 0)),
    addrType: (addr, link) => rtn(addrType(host, addr, link)),
    linkTo(dst, { src, mark, link }) {
      const linkOut = dst.family === 6 && prefixContains(LINK_LOCAL, dst) ? link : undefined;
      const found = host.fib.lookup({ dst, src, mark, linkOut }, choices);
      if (found === undefined || found.type === "local") return undefined;
      return link === undefined || found.link === link ? found.link : undefined;
    },
    masqueradeAddr(link, dst) {
      const via = host.fib.lookup({ dst, linkOut: link })?.via;
      return linkAddrFor(host, link, via ?? dst, dst);
    },
    redirectAddr: (link, family) => host.addrsOf(link, family)[0]?.prefix.addr,
    bind(skb, range, what) {
      if (skb.ct !== undefined) bind(skb.ct, range, what, { table, choices });
      return "accept";
    },
  };
}
