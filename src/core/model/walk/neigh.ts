// The MAC of a next hop: written, or asked for. Mirrors arp_process (net/ipv4/arp.c) and ndisc_recv_ns (net/ipv6/ndisc.c) for who answers.
import type { Addr, Mac } from "#ip";
import { scalarOfAddr } from "../evaluate/scalar.ts";
import type { Neigh } from "../state.ts";
import { hearers, type Station } from "./bridge.ts";
import type { Host } from "./host.ts";
import type { Network } from "./run.ts";

export interface ResolvedNeigh {
  readonly addr: Addr;
  readonly mac: Mac;
  readonly how: "permanent" | "known" | "asked";
}

/** States in which an entry's MAC is used (NUD_VALID). */
const VALID: ReadonlySet<Neigh["state"]> = new Set([undefined, "permanent", "reachable", "stale", "delay", "probe", "noarp"]);

export function resolveNeigh(network: Network, host: Host, linkName: string, addr: Addr): ResolvedNeigh | undefined {
  const entry = host.neigh(linkName, addr);
  if (entry?.mac !== undefined && entry.proxy !== true && VALID.has(entry.state)) {
    return { addr, mac: entry.mac, how: entry.state === "permanent" ? "permanent" : "known" };
  }
  const link = host.links.get(linkName);
  if (link === undefined) return undefined;
  // Nothing is asked on such a link, and what is sent goes to nobody (IFF_NOARP).
  if (link.type.kind === "dummy" || link.type.kind === "other") return { addr, mac: link.mac, how: "known" };
  const id = `${host.name} ${linkName} ${scalarOfAddr(addr)}`;
  const known = network.asked.get(id);
  if (known !== undefined) return known ?? undefined;
  const station = hearers(network, host, link).find((one) => answersFor(one, addr));
  const found: ResolvedNeigh | undefined = station && { addr, mac: station.link.mac, how: "asked" };
  network.asked.set(id, found ?? null);
  return found;
}

function answersFor({ host, link }: Station, addr: Addr): boolean {
  const owners = host.owners(addr);
  // An IPv4 address is the whole namespace's (arp_ignore 0), an IPv6 address its link's.
  if (addr.family === 6 ? owners.includes(link.name) : owners.length > 0) return true;
  if (host.neigh(link.name, addr)?.proxy === true) return true;
  if (addr.family === 6) return false;
  const over = host.fib.lookup({ dst: addr })?.link;
  if (over === undefined) return false;
  const { proxyArp, proxyArpPvlan } = host.linkSettings(link.name);
  return over === link.name ? proxyArpPvlan : proxyArp;
}
