import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpClient } from "#client";
import { createFakeClient } from "#client/fake";
import { formatAddr, parseAddr } from "#ip";
import type { ConntrackEntry } from "#linux";
import { encodeReport, type NodeReport } from "#observe";
import { readConnections } from "./live-connections.ts";

const [SYN_SENT, ESTABLISHED, TIME_WAIT] = [1, 3, 7];
const SEEN_REPLY = 2;
const UDP = 17;

interface Given {
  readonly srcPort: number;
  readonly protocol?: number;
  readonly tcpState?: number;
  readonly status?: number;
}

function entry({ srcPort, protocol = 6, status = SEEN_REPLY, tcpState }: Given): ConntrackEntry {
  const [client, vip, pod] = ["10.244.1.5", "10.96.0.10", "10.244.2.7"].map((text) => parseAddr(text));
  assert.ok(client && vip && pod);
  return {
    original: { src: client, dst: vip, protocol, srcPort, dstPort: 80 },
    reply: { src: pod, dst: client, protocol, srcPort: 8080, dstPort: srcPort },
    id: srcPort,
    mark: 0,
    zone: 0,
    timeoutSeconds: 10,
    status,
    ...(tcpState !== undefined && { tcpState }),
  };
}

function reportOf(node: string, entries: readonly ConntrackEntry[]): NodeReport {
  const addrs = [{ link: "cni0", prefix: { addr: parseAddr("10.244.1.1"), bits: 24 } }];
  const state = { name: node, links: [], addrs, routes: [] };
  const conntrack = { count: entries.length, max: 0, entries };
  return { node, timeMs: 1, machine: "m", problems: [], namespaces: [{ role: "node", inode: 1, state, ends: [], conntrack, sockets: [] }] };
}

function clientOf(reports: Readonly<Record<string, NodeReport>>): HttpClient {
  return Object.assign(createFakeClient(), {
    raw: ({ path }: { readonly path: string }) => {
      const report = reports[path.split("/")[4] ?? ""];
      return Promise.resolve({
        status: report === undefined ? 503 : 200,
        headers: {},
        body: Buffer.from(report === undefined ? "" : JSON.stringify(encodeReport(report))),
      });
    },
    stream: () => Promise.reject(new Error("nothing is streamed")),
    close: () => undefined,
  });
}

test("connections that stand, once each, with the addresses of nodes; who does not answer is told", async () => {
  const entries = [
    entry({ srcPort: 1, tcpState: ESTABLISHED }),
    entry({ srcPort: 2, tcpState: TIME_WAIT }),
    entry({ srcPort: 3, tcpState: SYN_SENT, status: 0 }),
    // A flow that hardware or a flowtable forwards has no state.
    entry({ srcPort: 4 }),
    entry({ srcPort: 5, protocol: UDP }),
    entry({ srcPort: 6, protocol: UDP, status: 0 }),
  ];
  const client = clientOf({ "node-1": reportOf("node-1", entries), "node-2": reportOf("node-2", entries.slice(0, 1)) });
  const { connections, nodeAddrs, notes } = await readConnections(client, ["node-1", "node-2", "node-3"]);
  assert.deepEqual(
    connections.map(({ from, to, protocol, port }) => `${formatAddr(from)} ${formatAddr(to)} ${protocol} ${port}`),
    ["10.244.1.5 10.244.2.7 6 8080", "10.244.1.5 10.244.2.7 6 8080", "10.244.1.5 10.244.2.7 17 8080"],
  );
  assert.deepEqual(
    [...nodeAddrs].map(([node, addrs]) => [node, ...addrs.map(formatAddr)]),
    [
      ["node-1", "10.244.1.1"],
      ["node-2", "10.244.1.1"],
    ],
  );
  assert.deepEqual(notes, ["live connections of node-3 are not known: it answers 503"]);
});
