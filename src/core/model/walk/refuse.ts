// What a kernel says to whoever sent a packet that it does not take.
import { type Addr, formatAddr } from "#ip";
import type { RejectWith } from "#nft";
import { type IcmpErrorName, icmpError, type Packet, resetTo, SCTP } from "../packet.ts";
import type { Host } from "./host.ts";
import type { RefusedWith } from "./result.ts";
import { sourceFor } from "./source-addr.ts";

export interface Said {
  readonly with: RefusedWith;
  readonly answer: Packet;
}

/** nf_send_reset and tcp_v4_send_reset: from whom the packet was for. */
export function resetAnswer(packet: Packet): Said | undefined {
  const answer = resetTo(packet);
  return answer && { with: "tcp reset", answer };
}

/** RFC 9260 §8.4: what is out of the blue gets an ABORT. */
export function abortAnswer({ src, dst, srcPort, dstPort, length }: Packet): Said | undefined {
  if (srcPort === undefined || dstPort === undefined) return undefined;
  return { with: "sctp abort", answer: { src: dst, dst: src, protocol: SCTP, ttl: 64, length, srcPort: dstPort, dstPort: srcPort } };
}

type IcmpReject = Exclude<RejectWith, "tcp reset">;

const ICMPX: Readonly<Record<string, IcmpErrorName>> = {
  "no-route": "net-unreachable",
  "net-unreachable": "net-unreachable",
  "addr-unreachable": "host-unreachable",
  "host-unreachable": "host-unreachable",
  "port-unreachable": "port-unreachable",
  "admin-prohibited": "admin-prohibited",
};

/** As rules ask for it (nft_reject_icmp_code, net/netfilter/nft_reject.c). */
export function icmpAnswer(host: Host, packet: Packet, how: IcmpReject): Said | undefined {
  const [kind, code = ""] = how.split(" ");
  const { family } = packet.src;
  if ((kind === "icmp" && family === 6) || (kind === "icmpv6" && family === 4)) return undefined;
  const name = ICMPX[code];
  return name && errorAnswer(host, packet, name);
}

/** An ICMP error from the address that was asked, where it is one of the namespace, else from one that leads back (icmp_send, icmp6_send). */
export function errorAnswer(host: Host, packet: Packet, name: IcmpErrorName, mtu?: number): Said | undefined {
  const src = errorSource(host, packet);
  const answer = src && icmpError(name, packet, src, mtu);
  return answer && { with: name, answer };
}

const UNSPECIFIED: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

function errorSource(host: Host, { src, dst }: Packet): Addr | undefined {
  if (UNSPECIFIED.has(formatAddr(src))) return undefined;
  if (host.owners(dst).length > 0) return dst;
  const route = host.fib.lookup({ dst: src });
  return route && sourceFor(host, route, src);
}
