// What outlives a change of ports and must not: flows in conntrack that go on as they were first translated, or not translated. Pure.
import { type Addr, formatAddrPort } from "#ip";
import type { ConntrackEntry } from "#linux";
import { SCTP, UDP } from "#nft";
import { keyOf } from "./compile.ts";
import type { HostPort } from "./types.ts";

type Ports = ReadonlyMap<string, HostPort>;

/** The ports of UDP and SCTP that lead elsewhere than before, or are new, or gone. TCP learns by itself. */
export function movedPorts(before: Ports, after: Ports): HostPort[] {
  const moved: HostPort[] = [];
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    const [old, now] = [before.get(key), after.get(key)];
    const port = old ?? now;
    if (port === undefined || (port.protocol !== UDP && port.protocol !== SCTP)) continue;
    if (targetOf(old) !== targetOf(now)) moved.push(port);
  }
  return moved;
}

function targetOf(port: HostPort | undefined): string {
  return port === undefined ? "" : formatAddrPort(port.to, port.toPort);
}

export interface StaleInput {
  readonly entries: readonly ConntrackEntry[];
  readonly before: Ports;
  readonly after: Ports;
  /** Whether an address is the node's. */
  readonly isLocal: (addr: Addr) => boolean;
}

/**
 * Flows to a port that moved, which are with a pod that had it, or with nobody since there was none: a client that goes on sending
 * keeps such a flow alive for ever (containernetworking/plugins#123, #1190). A flow that somebody else translated, such as to a
 * Service's node port, is not ours; nor is what only passes the node to the same port of another address.
 */
export function staleFlows({ entries, before, after, isLocal }: StaleInput): ConntrackEntry[] {
  const moved = movedPorts(before, after);
  const touched = new Set(moved.map(({ protocol, port }) => `${protocol}/${port}`));
  const former = new Set(moved.flatMap((port) => targetOf(before.get(keyOf(port))) || []));
  return entries.filter(({ original, reply }) => {
    const { dst, dstPort, protocol } = original;
    if (!touched.has(`${protocol}/${dstPort}`) || !isLocal(dst)) return false;
    const place = { family: dst.family, protocol, port: dstPort };
    const wanted = targetOf(after.get(keyOf({ ...place, hostAddr: dst })) ?? after.get(keyOf({ ...place, hostAddr: undefined })));
    const answeredBy = formatAddrPort(reply.src, reply.srcPort);
    if (answeredBy === wanted) return false;
    return former.has(answeredBy) || (wanted !== "" && answeredBy === formatAddrPort(dst, dstPort));
  });
}
