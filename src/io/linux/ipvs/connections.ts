// The text of /proc/net/ip_vs_conn: net/netfilter/ipvs/ip_vs_conn.c, ip_vs_conn_seq_show.
import { type Addr, addrFromBytes, parseAddr } from "#ip";
import type { IpvsConnection } from "./types.ts";

const PROTOCOLS: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** Lines of other protocols, among them IP for clients of services with a mark, are 0. */
export function readConnections(text: string): IpvsConnection[] {
  return text.split("\n").flatMap((line) => {
    const [protocol = "", from, fromPort, to, toPort, dest, destPort, state = "", expires] = line.trim().split(/\s+/);
    const [client, service, destination] = [from, to, dest].map(readAddr);
    if (client === undefined || service === undefined || destination === undefined) return [];
    return [
      {
        protocol: PROTOCOLS[protocol] ?? 0,
        client,
        clientPort: readPort(fromPort),
        service: { addr: service, port: readPort(toPort) },
        destination: { addr: destination, port: readPort(destPort) },
        state,
        expiresSeconds: Number(expires),
      },
    ];
  });
}

function readPort(text: string | undefined): number {
  return Number.parseInt(text ?? "0", 16);
}

/** IPv4 as eight hexadecimal digits; IPv6 as eight groups of four, in brackets since Linux 2.6.28. */
function readAddr(text: string | undefined): Addr | undefined {
  if (text === undefined) return undefined;
  if (/^[0-9A-F]{8}$/i.test(text)) return addrFromBytes(Uint8Array.from(Buffer.from(text, "hex")));
  const bare = text.replace(/^\[|\]$/g, "");
  return /^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$/i.test(bare) ? parseAddr(bare) : undefined;
}
