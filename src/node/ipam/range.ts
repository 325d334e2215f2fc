import { FairleadError } from "#base";
import { type Addr, addrPlus, compareAddrs, formatAddr, formatPrefix, maskPrefix, nthAddr, type Prefix, prefixSize } from "#ip";
import type { Range } from "./types.ts";

/** The node's own address in a Pod CIDR: the first after the network address, as bridge CNI plugins and flannel have it. */
export function gatewayOf(podCidr: Prefix): Addr {
  return nthAddr(podCidr, 1);
}

/** Thrown when the Pod CIDR is too small to hold a pod: "PodCidrTooSmall". */
export function rangeOf(podCidr: Prefix): Range {
  const prefix = maskPrefix(podCidr);
  const size = prefixSize(prefix);
  // RFC 4291 §2.6.1: the first address of an IPv6 subnet is the routers' anycast address; there is no broadcast address.
  const reservedAtEnd = prefix.addr.family === 4 ? 1n : 0n;
  if (size - 2n - reservedAtEnd < 1n) {
    throw new FairleadError(
      `Cannot take pod addresses from ${formatPrefix(prefix)}: without the network address, the gateway and the broadcast address nothing is left; give the node a larger Pod CIDR`,
      { code: "PodCidrTooSmall", op: "open ipam", facts: { podCidr: formatPrefix(prefix) } },
    );
  }
  return { prefix, gateway: gatewayOf(prefix), first: nthAddr(prefix, 2), last: nthAddr(prefix, size - 1n - reservedAtEnd) };
}

export function inRange(range: Range, addr: Addr): boolean {
  if (addr.family !== range.first.family) return false;
  return compareAddrs(addr, range.first) >= 0 && compareAddrs(addr, range.last) <= 0;
}

/** The address after `addr`; after the last one comes the first. */
export function nextInRange(range: Range, addr: Addr): Addr {
  return !inRange(range, addr) || compareAddrs(addr, range.last) === 0 ? range.first : addrPlus(addr, 1);
}

export function rangeKey(range: Range): string {
  return `${formatAddr(range.prefix.addr)}_${range.prefix.bits}`;
}
