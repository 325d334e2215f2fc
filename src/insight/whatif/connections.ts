// Connections that are there now, and what the change would make of them: policies judge every packet as its connection. Pure.
import { type Addr, formatAddr } from "#ip";
import type { PodFacts } from "#netpol";
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

/** By the node's name: addresses that were seen on its links. */
export type SeenAddrs = ReadonlyMap<string, readonly Addr[]>;

/** Those that pass now and would be cut. */
export function connectionsOf(connections: readonly LiveConnection[], worlds: Worlds, seen: SeenAddrs = new Map()): ConnectionChange[] {
  if (connections.length === 0) return [];
  const { partition, sets, before, after } = worlds;
  const podAt = podFinder(worlds);
  const isFree = alwaysPasses(worlds, seen);
  return connections.flatMap((connection) => {
    const { from, to, protocol, port } = connection;
    if (isFree(connection)) return [];
    const [source, target] = [partition.atomOf(from), partition.atomOf(to)];
    if (source === undefined || target === undefined || !isJudged(source, target)) return [];
    const point = pointOf(protocol, port);
    const { family } = to;
    if (!sets.has(before.between(source, target, family), point) || sets.has(after.between(source, target, family), point)) return [];
    const by = reasonsFor(after, { source, target, family, point, isDeny: true });
    return [{ connection, fromPod: podAt(from), toPod: podAt(to), by }];
  });
}

/** A pod and itself, and a pod and its own node by whichever address: classes of pods do not tell these from the others. */
function alwaysPasses({ partition }: Worlds, seen: SeenAddrs): (connection: LiveConnection) => boolean {
  const podAt = podFinder({ partition });
  const factsOf = (key: string | undefined): PodFacts | undefined =>
    key === undefined ? undefined : partition.worlds.map(({ pods }) => pods.get(key)).find((facts) => facts !== undefined);
  const owned = new Set<string>();
  const add = (node: string, addrs: readonly Addr[]): void => {
    // Where the network is another's, the first address of a Pod CIDR may be a pod's.
    for (const addr of addrs) if (podAt(addr) === undefined) owned.add(`${node} ${formatAddr(addr)}`);
  };
  for (const { nodes } of partition.worlds) for (const { name, addrs, own } of nodes) add(name, [...addrs, ...own]);
  for (const [node, addrs] of seen) add(node, addrs);
  return ({ from, to }) => {
    const [source, target] = [factsOf(podAt(from)), factsOf(podAt(to))];
    if (source !== undefined && source.key === target?.key) return true;
    const isNodeOf = (facts: PodFacts | undefined, addr: Addr): boolean =>
      facts !== undefined && owned.has(`${facts.nodeName} ${formatAddr(addr)}`);
    return isNodeOf(target, from) || isNodeOf(source, to);
  };
}

export function podFinder({ partition }: Pick<Worlds, "partition">): (addr: Addr) => string | undefined {
  const text = (addr: Addr): string => `${addr.family} ${addr.bytes.join(".")}`;
  const byAddr = new Map<string, string>();
  for (const { pods } of partition.worlds.toReversed()) {
    for (const [key, { addrs, isPeer }] of pods) if (isPeer) for (const addr of addrs) byAddr.set(text(addr), key);
  }
  return (addr) => byAddr.get(text(addr));
}
