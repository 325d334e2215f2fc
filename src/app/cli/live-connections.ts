// The connections that the nodes of a cluster of Fairlead's have now; agents of other clusters have no such page.
import type { HttpClient } from "#client";
import { type Addr, formatAddr } from "#ip";
import type { ConntrackEntry } from "#linux";
import { TCP } from "#nft";
import { decodeReport } from "#observe";
import type { LiveConnection } from "#whatif";

export interface Connections {
  readonly connections: readonly LiveConnection[];
  /** By node: all addresses on its links. */
  readonly nodeAddrs: ReadonlyMap<string, readonly Addr[]>;
  readonly notes: readonly string[];
}

/** A connection between two nodes is in the tables of both, and counts once. */
export async function readConnections(client: HttpClient, nodes: Iterable<string>): Promise<Connections> {
  const found = new Map<string, LiveConnection>();
  const nodeAddrs = new Map<string, Addr[]>();
  const notes: string[] = [];
  await Promise.all(
    Array.from(nodes, async (node) => {
      const problem = await readNode(client, node, { found, nodeAddrs });
      if (problem !== undefined) notes.push(`live connections of ${node} are not known: ${problem}`);
    }),
  );
  return { connections: [...found.values()], nodeAddrs, notes };
}

const ANSWER_MS = 5000;
/** IPS_SEEN_REPLY. */
const SEEN_REPLY = 2;
/** TCP_CONNTRACK_ESTABLISHED (linux/netfilter/nf_conntrack_tcp.h). */
const ESTABLISHED = 3;

/** An offloaded flow has no state, and is one that stands. */
function isLive({ original, status, tcpState = ESTABLISHED }: ConntrackEntry): boolean {
  return (status & SEEN_REPLY) !== 0 && (original.protocol !== TCP || tcpState === ESTABLISHED);
}

interface Found {
  readonly found: Map<string, LiveConnection>;
  readonly nodeAddrs: Map<string, Addr[]>;
}

/** What kept it from being read. */
async function readNode(client: HttpClient, node: string, { found, nodeAddrs }: Found): Promise<string | undefined> {
  try {
    const path = `/api/v1/nodes/${node}/proxy/debug/network?conntrack=1&processes=0`;
    const { status, body } = await client.raw({ method: "GET", path, op: `ask ${node}`, signal: AbortSignal.timeout(ANSWER_MS) });
    if (status !== 200) return `it answers ${status}`;
    const { namespaces } = decodeReport(JSON.parse(body.toString()));
    for (const { role, state, conntrack } of namespaces) {
      if (role !== "node") continue;
      nodeAddrs.set(
        node,
        state.addrs.map(({ prefix }) => prefix.addr),
      );
      for (const { original, reply } of (conntrack.entries ?? []).filter(isLive)) {
        const connection = { from: original.src, to: reply.src, protocol: original.protocol, port: reply.srcPort };
        const key = `${formatAddr(original.src)} ${original.srcPort} ${formatAddr(reply.src)} ${connection.port} ${original.protocol}`;
        found.set(key, connection);
      }
    }
    return undefined;
  } catch (err) {
    return err instanceof Error ? err.message : String(err);
  }
}
