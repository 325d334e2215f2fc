// Says for certain that a packet was dropped: two chains around the policies' own, on each node. The first writes down what comes to it, the
// second takes out again what comes to it; what is left has been dropped in between. Nothing is concluded from silence.
import { FAMILIES, type Family, formatAddr } from "#ip";
import { type NetNs, type NftSocket, openNft } from "#linux";
import {
  type BaseChain,
  concat,
  diffTable,
  type Expr,
  meta,
  ofFamily,
  payload,
  type Rule,
  type SetHeader,
  type Table,
  type TableId,
} from "#nft";

const TABLE: TableId = { family: "inet", name: "matrix-witness" };
/** The policies' hook is at 99, before the source is changed at 100. */
const BEFORE = 98;
const AFTER = 101;

/** One direction of a connection, between two pods. */
export interface Flow {
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly protocol: number;
  readonly port: number;
}

export function flowKey({ from, fromPort, to, protocol, port }: Flow): string {
  return `${from} ${fromPort} ${to} ${protocol} ${port}`;
}

const setOf = (family: Family): SetHeader => {
  const addr = family === 4 ? "ipv4_addr" : "ipv6_addr";
  return { name: `dropped${family}`, key: [addr, "inet_service", addr, "inet_proto", "inet_service"], flags: ["dynamic"], size: 65_536 };
};

/**
 * Where a Service's translation is done, and the source is still the client's: both nodes see the same. From the packet itself, since conntrack
 * may not know a SYN that reuses a port.
 */
function keyOf(family: Family): Expr {
  const ip = family === 4 ? "ip" : "ip6";
  return concat(payload(`${ip} saddr`), payload("th sport"), payload(`${ip} daddr`), meta("l4proto"), payload("th dport"));
}

function table(): Table {
  const rules = (op: "add" | "delete"): Rule[] =>
    FAMILIES.map((family) => ({ statements: [ofFamily(family), { kind: "dynset", op, set: setOf(family).name, key: keyOf(family) }] }));
  const base = (priority: number): BaseChain => ({ type: "filter", hook: "postrouting", priority, policy: "accept" });
  return {
    ...TABLE,
    sets: FAMILIES.map((family) => ({ ...setOf(family), elements: [] })),
    chains: [
      { name: "before", base: base(BEFORE), rules: rules("add") },
      { name: "after", base: base(AFTER), rules: rules("delete") },
    ],
  };
}

export class Witness {
  readonly #nft: NftSocket;

  constructor(node: NetNs) {
    this.#nft = openNft(node);
  }

  /** Forgets everything. */
  clear(): void {
    const there = this.#nft.list(TABLE);
    this.#nft.apply([
      ...(there === undefined ? [] : [{ op: "delete table", table: TABLE } as const]),
      ...diffTable(undefined, table()).changes,
    ]);
  }

  /** What has been dropped since, by `flowKey`. */
  dropped(): Set<string> {
    const found = new Set<string>();
    for (const family of FAMILIES) {
      for (const { key } of this.#nft.elements(TABLE, setOf(family))) {
        const [from, fromPort, to, protocol, port] = key;
        if (typeof from !== "object" || typeof to !== "object" || !("family" in from) || !("family" in to)) continue;
        found.add(
          flowKey({
            from: formatAddr(from),
            fromPort: Number(fromPort),
            to: formatAddr(to),
            protocol: Number(protocol),
            port: Number(port),
          }),
        );
      }
    }
    return found;
  }

  close(): void {
    this.#nft.close();
  }
}
