// The names of the DNS specification 1.1.0: how addresses become labels, and reverse names addresses.
import { type Addr, addrFromBytes, tryParseAddr } from "#ip";

/** The zones of reverse names (RFC 1035 §3.5, RFC 3596 §2.5). */
export const REVERSE_ZONES: readonly string[] = ["in-addr.arpa", "ip6.arpa"];

/** Lower case for ASCII only: DNS compares names that way (RFC 4343), and locales have other ideas. */
export function lowerName(name: string): string {
  return name.replace(/[A-Z]+/g, (upper) => upper.toLowerCase());
}

/**
 * The label of an endpoint without a hostname: its address, in canonical text, with dashes. An IPv6 address that ends in a colon gets a 0, since a label
 * must not end in a dash (CoreDNS `endpointHostname`).
 */
export function dashedLabel(ip: string): string {
  const label = ip.replaceAll(/[.:]/g, "-");
  return label.endsWith("-") ? `${label}0` : label;
}

/** The address of `1-2-3-4.<ns>.pod`: exactly three dashes, none of them beside another, is IPv4; anything else IPv6. */
export function addrOfDashedLabel(label: string): Addr | undefined {
  const isIpv4 = label.split("-").length === 4 && !label.includes("--");
  return tryParseAddr(label.replaceAll("-", isIpv4 ? "." : ":"));
}

/** The address that the labels in front of `in-addr.arpa` or `ip6.arpa` spell; undefined where they spell none. */
export function addrOfReverseName(labels: readonly string[], zone: string): Addr | undefined {
  if (zone === "in-addr.arpa") return labels.length === 4 ? tryParseAddr(labels.toReversed().join(".")) : undefined;
  if (labels.length !== 32 || labels.some((label) => !/^[0-9a-f]$/.test(label))) return undefined;
  const nibbles = labels.toReversed().join("");
  return addrFromBytes(Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(nibbles.slice(2 * i, 2 * i + 2), 16)));
}

/** `4.3.2.1.in-addr.arpa`, or the nibbles of an IPv6 address. */
export function reverseName(addr: Addr): string {
  if (addr.family === 4) return `${[...addr.bytes].reverse().join(".")}.in-addr.arpa`;
  const nibbles = [...addr.bytes].flatMap((byte) => [(byte >> 4).toString(16), (byte & 0xf).toString(16)]);
  return `${nibbles.reverse().join(".")}.ip6.arpa`;
}

/** The labels of `name` in front of `zone`, or undefined where it is not under it. Both in lower case. */
export function labelsUnder(name: string, zone: string): string[] | undefined {
  if (name === zone) return [];
  return name.endsWith(`.${zone}`) ? name.slice(0, -zone.length - 1).split(".") : undefined;
}
