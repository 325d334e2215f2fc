import assert from "node:assert/strict";
import { after, test } from "node:test";
import { addrPlus, parseAddr } from "#ip";
import { beginConntrack, writeTuple } from "./conntrack.ts";
import { conntrackContract } from "./contract/conntrack.ts";
import { netns, openConntrack, type Tuple } from "./index.ts";
import { MessageWriter, NetlinkSocket } from "./netlink/index.ts";
import { NETLINK_NETFILTER, NLM_F_CREATE, NLM_F_EXCL } from "./uapi/netlink.ts";
import { CTA_STATUS, CTA_TIMEOUT, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, IPCTNL_MSG_CT_NEW } from "./uapi/nfnetlink_conntrack.ts";

const UDP = 17;
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
function insert(tuples: readonly Tuple[]): void {
  const w = new MessageWriter(1 << 20);
  for (let start = 0; start < tuples.length; start += 200) {
    w.reset();
    for (const tuple of tuples.slice(start, start + 200)) {
      beginConntrack(w, IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, tuple.src.family);
      writeTuple(w, CTA_TUPLE_ORIG, tuple);
      writeTuple(w, CTA_TUPLE_REPLY, { ...tuple, src: tuple.dst, dst: tuple.src, srcPort: tuple.dstPort, dstPort: tuple.srcPort });
      w.u32be(CTA_STATUS, IPS_CONFIRMED).u32be(CTA_TIMEOUT, 300);
      w.end();
    }
    assert.deepEqual(netlink.send(w).refused, []);
  }
}

conntrackContract({ conntrack, insert });

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
