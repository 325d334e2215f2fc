// Connections that are there now, and what the change would make of them: policies judge every packet as its connection. Pure.
import type { Addr } from "#ip";
import { isJudged, type Worlds } from "./diff.ts";
import { reasonsFor } from "./lines.ts";
import { pointOf } from "./ports.ts";
import type { Reason } from "./types.ts";

/** As conntrack has it: who began, and the end that answers (after a Service's translation). */
export interface LiveConnection {
  readonly from: Addr;
  readonly to: Addr;
  /** IPPROTO_*. */
  readonly protocol: number;
  /** Of the end that answers; 0 where the protocol has none. */
  readonly port: number;
}

export interface ConnectionChange {
  readonly connection: LiveConnection;
  /** `namespace/name`, where it is a pod's. */
  readonly fromPod: string | undefined;
  readonly toPod: string | undefined;
  readonly by: readonly Reason[];
}

/** Those that pass now and would be cut. */
export function connectionsOf(connections: readonly LiveConnection[], worlds: Worlds): ConnectionChange[] {
  const { partition, sets, before, after } = worlds;
  const podAt = podFinder(worlds);
  return connections.flatMap((connection) => {
    const { from, to, protocol, port } = connection;
    const [source, target] = [partition.atomOf(from), partition.atomOf(to)];
    if (source === undefined || target === undefined || !isJudged(source, target)) return [];
    const point = pointOf(protocol, port);
    const { family } = to;
    if (!sets.has(before.between(source, target, family), point) || sets.has(after.between(source, target, family), point)) return [];
    const by = reasonsFor(after, { source, target, family, point, isDeny: true });
    return [{ connection, fromPod: podAt(from), toPod: podAt(to), by }];
  });
}

export function podFinder({ partition }: Pick<Worlds, "partition">): (addr: Addr) => string | undefined {
  const text = (addr: Addr): string => `${addr.family} ${addr.bytes.join(".")}`;
  const byAddr = new Map<string, string>();
  for (const { pods } of partition.worlds.toReversed()) {
    for (const [key, { addrs, isPeer }] of pods) if (isPeer) for (const addr of addrs) byAddr.set(text(addr), key);
  }
  return (addr) => byAddr.get(text(addr));
}
