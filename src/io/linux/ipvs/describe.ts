// How services and destinations are named in errors, and by whoever needs one text for each.
import { formatAddr, formatAddrPort } from "#ip";
import type { IpvsChange, IpvsDestinationKey, IpvsServiceKey } from "./types.ts";

const PROTOCOLS: Readonly<Record<number, string>> = { 6: "tcp", 17: "udp", 132: "sctp" };

/** `tcp 10.96.0.1:80`, or `fwmark 7 (IPv4)`. No two services have the same. */
export function formatIpvsService(key: IpvsServiceKey): string {
  if ("fwmark" in key) return `fwmark ${key.fwmark} (IPv${key.family})`;
  return `${PROTOCOLS[key.protocol] ?? key.protocol} ${formatAddrPort(key.addr, key.port)}`;
}

/** `10.244.1.2:8080`. No two destinations of a service have the same. */
export function formatIpvsDestination({ addr, port }: IpvsDestinationKey): string {
  return port === 0 ? formatAddr(addr) : formatAddrPort(addr, port);
}

export function describeChange(change: IpvsChange): string {
  const service = `virtual service ${formatIpvsService(change.service)}`;
  if (!("destination" in change)) return change.op.replace("service", service);
  return `${change.op} ${formatIpvsDestination(change.destination)} of ${service}`;
}
