// Fills the connection table of the namespace that it runs in with connections that the kernel does not evict (IPS_ASSURED), or empties it.
// usage: fill-conntrack fill|flush
import { parseAddr } from "#ip";
import { beginConntrack, openConntrack, writeTuple } from "../conntrack.ts";
import { MessageWriter, NetlinkSocket } from "../netlink/index.ts";
import { netns } from "../netns.ts";
import { NETLINK_NETFILTER, NLM_F_CREATE } from "../uapi/netlink.ts";
import {
  CTA_STATUS,
  CTA_TIMEOUT,
  CTA_TUPLE_ORIG,
  CTA_TUPLE_REPLY,
  IPCTNL_MSG_CT_DELETE,
  IPCTNL_MSG_CT_NEW,
} from "../uapi/nfnetlink_conntrack.ts";

const UDP = 17;
const PER_SEND = 500;
const TIMEOUT_SECONDS = 120;
/** IPS_SEEN_REPLY, IPS_ASSURED and IPS_CONFIRMED of nf_conntrack_common.h. */
const STATUS = 0x2 | 0x4 | 0x8;

const netlink = new NetlinkSocket(NETLINK_NETFILTER);
if (process.argv[2] === "flush") flush();
else fill();

/** A delete that names nobody. */
function flush(): void {
  const w = new MessageWriter();
  beginConntrack(w, IPCTNL_MSG_CT_DELETE, 0, undefined);
  w.end();
  netlink.request(w, "forget all connections");
}

function fill(): void {
  const table = openConntrack(netns.current());
  const { max, count } = table.use();
  const w = new MessageWriter(256 * 1024);
  for (let made = count; made < max; ) {
    w.reset();
    for (let i = 0; i < PER_SEND; i++) writeConnection(w, made++);
    netlink.send(w);
  }
  process.stdout.write(`${JSON.stringify(table.use())}\n`);
}

/** Of addresses for benchmarks (RFC 2544), which nobody has. */
function writeConnection(writer: MessageWriter, n: number): void {
  const tuple = { src: parseAddr(`198.18.${n >> 16}.1`), dst: parseAddr("198.19.0.1"), protocol: UDP, srcPort: n & 0xffff, dstPort: 9 };
  beginConntrack(writer, IPCTNL_MSG_CT_NEW, NLM_F_CREATE, 4);
  writeTuple(writer, CTA_TUPLE_ORIG, tuple);
  writeTuple(writer, CTA_TUPLE_REPLY, { ...tuple, src: tuple.dst, dst: tuple.src, srcPort: 9, dstPort: tuple.srcPort });
  writer.u32be(CTA_STATUS, STATUS).u32be(CTA_TIMEOUT, TIMEOUT_SECONDS);
  writer.end();
}
