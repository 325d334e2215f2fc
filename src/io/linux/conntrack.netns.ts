import assert from "node:assert/strict";
import { after, test } from "node:test";
import { addrPlus, parseAddr } from "#ip";
import { beginConntrack, writeTuple } from "./conntrack.ts";
import { conntrackContract } from "./contract/conntrack.ts";
import { netns, openConntrack, type Tuple } from "./index.ts";
import { MessageWriter, NetlinkSocket } from "./netlink/index.ts";
import { NETLINK_NETFILTER, NLM_F_CREATE, NLM_F_EXCL } from "./uapi/netlink.ts";
import {
  CTA_PROTOINFO,
  CTA_PROTOINFO_TCP,
  CTA_PROTOINFO_TCP_STATE,
  CTA_STATUS,
  CTA_TIMEOUT,
  CTA_TUPLE_ORIG,
  CTA_TUPLE_REPLY,
  IPCTNL_MSG_CT_NEW,
} from "./uapi/nfnetlink_conntrack.ts";

const TCP = 6;
const UDP = 17;
// enum tcp_conntrack, linux/netfilter/nf_conntrack_tcp.h
const SYN_SENT = 1;
const ESTABLISHED = 3;
const IPS_CONFIRMED = 1 << 3;

const ns = netns.createAnonymous();
const netlink = new NetlinkSocket(NETLINK_NETFILTER, { ns });
const conntrack = openConntrack(ns);
after(() => {
  conntrack.close();
  netlink.close();
  ns.close();
});

/** Entries made by hand, as `conntrack -I` does. */
function insert(tuples: readonly Tuple[], tcpState?: number): void {
  const w = new MessageWriter(1 << 20);
  for (let start = 0; start < tuples.length; start += 200) {
    w.reset();
    for (const tuple of tuples.slice(start, start + 200)) {
      beginConntrack(w, IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, tuple.src.family);
      writeTuple(w, CTA_TUPLE_ORIG, tuple);
      writeTuple(w, CTA_TUPLE_REPLY, { ...tuple, src: tuple.dst, dst: tuple.src, srcPort: tuple.dstPort, dstPort: tuple.srcPort });
      w.u32be(CTA_STATUS, IPS_CONFIRMED).u32be(CTA_TIMEOUT, 300);
      if (tcpState !== undefined) writeTcpState(w, tcpState);
      w.end();
    }
    assert.deepEqual(netlink.send(w).refused, []);
  }
}

function writeTcpState(w: MessageWriter, state: number): void {
  const outer = w.openNest(CTA_PROTOINFO);
  const tcp = w.openNest(CTA_PROTOINFO_TCP);
  w.u8(CTA_PROTOINFO_TCP_STATE, state);
  w.closeNest(tcp);
  w.closeNest(outer);
}

conntrackContract({ conntrack, insert });

test("the state of TCP connections, and of no others", () => {
  const tuple = { src: parseAddr("10.2.0.1"), dst: parseAddr("10.2.0.2"), protocol: TCP, srcPort: 40_000, dstPort: 80 };
  insert([tuple], ESTABLISHED);
  insert([{ ...tuple, srcPort: 40_001 }], SYN_SENT);
  insert([{ ...tuple, srcPort: 40_002, protocol: UDP }]);
  const entries = conntrack.list(4);
  const states = entries.map(({ original, tcpState }) => [original.srcPort, tcpState] as const);
  assert.deepEqual(
    states.toSorted(([a], [b]) => a - b),
    [
      [40_000, ESTABLISHED],
      [40_001, SYN_SENT],
      [40_002, undefined],
    ],
  );
  assert.equal(conntrack.delMany(entries), 3);
});

test("50,000 entries", (t) => {
  const base = parseAddr("10.1.0.0");
  const tuple = { dst: parseAddr("10.96.0.10"), protocol: UDP, srcPort: 40_000, dstPort: 53 };
  insert(Array.from({ length: 50_000 }, (_, i) => ({ ...tuple, src: addrPlus(base, i) })));
  let start = performance.now();
  const entries = conntrack.list(4);
  t.diagnostic(`list: ${Math.round(performance.now() - start)} ms`);
  assert.equal(entries.length, 50_000);
  start = performance.now();
  assert.equal(conntrack.delMany(entries), 50_000);
  t.diagnostic(`delete: ${Math.round(performance.now() - start)} ms`);
});
