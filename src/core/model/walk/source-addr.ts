// Which address of its own a namespace sends from. IPv4: inet_select_addr (net/ipv4/devinet.c). IPv6: RFC 6724 §5 as far as
// ipv6_dev_get_saddr (net/ipv6/addrconf.c) has anything to choose by here: scope, outgoing link, label, longest prefix.
import { type Addr, addrEquals, type Prefix, parsePrefix, prefixContains } from "#ip";
import type { LinkAddr } from "../state.ts";
import type { FibResult } from "./fib.ts";
import type { Host } from "./host.ts";

/** For what is made here and goes along `route` to `dst`. */
export function sourceFor(host: Host, route: FibResult, dst: Addr): Addr | undefined {
  if (route.route.src !== undefined) return route.route.src;
  if (route.type === "local") return dst;
  return route.link === undefined ? undefined : linkAddrFor(host, route.link, route.via ?? dst, dst);
}

/** For what leaves by `link`: `hop` is the neighbour that gets it. */
export function linkAddrFor(host: Host, link: string, hop: Addr, dst: Addr): Addr | undefined {
  return dst.family === 4 ? select4(host, link, hop) : select6(host, link, dst);
}

const LOOPBACK4: Prefix = parsePrefix("127.0.0.0/8");

function select4(host: Host, link: string, hop: Addr): Addr | undefined {
  const own = primaries(host.addrsOf(link, 4)).filter(({ prefix }) => !prefixContains(LOOPBACK4, prefix.addr));
  const inSubnet = own.find(({ prefix }) => prefixContains(prefix, hop));
  const [first] = own;
  const chosen = inSubnet ?? first;
  if (chosen !== undefined) return chosen.prefix.addr;
  for (const other of host.links.keys()) {
    const addr = primaries(host.addrsOf(other, 4)).find(({ prefix }) => !prefixContains(LOOPBACK4, prefix.addr));
    if (addr !== undefined) return addr.prefix.addr;
  }
  return undefined;
}

/** Of several addresses in one subnet the first is the primary one (IFA_F_SECONDARY). */
function primaries(addrs: readonly LinkAddr[]): LinkAddr[] {
  return addrs.filter(
    ({ prefix }, i) =>
      !addrs.slice(0, i).some((before) => before.prefix.bits === prefix.bits && prefixContains(before.prefix, prefix.addr)),
  );
}

const LINK_LOCAL: Prefix = parsePrefix("fe80::/10");

/** The policy table of RFC 6724 §2.1: prefix, label. */
const LABELS: readonly (readonly [Prefix, number])[] = [
  [parsePrefix("::1/128"), 0],
  [parsePrefix("::ffff:0:0/96"), 4],
  [parsePrefix("2002::/16"), 2],
  [parsePrefix("2001::/32"), 5],
  [parsePrefix("fc00::/7"), 13],
];

function labelOf(addr: Addr): number {
  return LABELS.find(([prefix]) => prefixContains(prefix, addr))?.[1] ?? 1;
}

function select6(host: Host, link: string, dst: Addr): Addr | undefined {
  const wantsLinkLocal = prefixContains(LINK_LOCAL, dst);
  let best: { addr: Addr; rank: readonly number[] } | undefined;
  for (const { prefix, link: at } of host.addrs) {
    const { addr } = prefix;
    if (addr.family !== 6 || (at === "lo" && labelOf(addr) === 0)) continue;
    const isLinkLocal = prefixContains(LINK_LOCAL, addr);
    if (isLinkLocal && at !== link) continue;
    const rank = [
      Number(addrEquals(addr, dst)),
      Number(isLinkLocal === wantsLinkLocal),
      Number(at === link),
      Number(labelOf(addr) === labelOf(dst)),
      commonBits(addr, dst, prefix.bits),
    ];
    if (best === undefined || isBetter(rank, best.rank)) best = { addr, rank };
  }
  return best?.addr;
}

function isBetter(a: readonly number[], b: readonly number[]): boolean {
  for (const [i, rank] of a.entries()) if (rank !== b[i]) return rank > (b[i] ?? 0);
  return false;
}

/** At most the length of the address's own prefix (ipv6_get_saddr_eval, IPV6_SADDR_RULE_PREFIX). */
function commonBits(a: Addr, b: Addr, most: number): number {
  for (let bit = 0; bit < most; bit++) {
    const mask = 0x80 >> (bit & 7);
    if (((a.bytes[bit >> 3] ?? 0) & mask) !== ((b.bytes[bit >> 3] ?? 0) & mask)) return bit;
  }
  return most;
}
