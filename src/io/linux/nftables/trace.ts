// What nftables does with packets that have `meta nftrace` set, as it happens (net/netfilter/nf_tables_trace.c). A packet loses that mark
// when it goes into another namespace or into a tunnel (nf_reset_trace).
import type { TableFamily, Verdict } from "#nft";
import { watchFd } from "../ffi.ts";
import { type AttrReader, type NetlinkMessage, NetlinkSocket } from "../netlink/index.ts";
import type { NetNs } from "../types.ts";
import { NETLINK_NETFILTER } from "../uapi/netlink.ts";
import * as n from "../uapi/nf-tables.ts";
import { familyOf, NFGENMSG_LEN } from "./message.ts";

export type TraceVerdict = Verdict | { readonly kind: "stolen" | "queue" | "repeat" | "stop" };

export interface TraceEvent {
  /** The same for all events of one packet; it comes back for other packets. */
  readonly id: number;
  /** "rule": one matched; "return": a chain ended; "policy": a base chain ended, and its policy is the verdict. */
  readonly type: "rule" | "return" | "policy";
  readonly family: TableFamily;
  readonly table: string;
  readonly chain: string;
  readonly handle?: number;
  readonly verdict: TraceVerdict;
  /** Indexes of links. */
  readonly iif?: number;
  readonly oif?: number;
  readonly mark?: number;
  /** The start of the IP packet: its header without options, and up to 20 bytes after it. In the first event of each base chain. */
  readonly packet?: Uint8Array;
}

/** Calls `onEvent` for every event of the namespace until `close`, and `onLost` when some did not fit. Does not keep the process alive. */
export function watchTrace(
  ns: NetNs,
  onEvent: (event: TraceEvent) => void,
  onLost: () => void = () => {},
): { drain(): void; close(): void } {
  const netlink = new NetlinkSocket(NETLINK_NETFILTER, { ns });
  const drain = (): void => {
    const wasLost = netlink.receive((message) => {
      const event = decodeTrace(message);
      if (event !== undefined) onEvent(event);
    });
    if (wasLost) onLost();
  };
  try {
    netlink.join(n.NFNLGRP_NFTRACE);
  } catch (err) {
    netlink.close();
    throw err;
  }
  const watch = watchFd(netlink.fd, drain);
  watch.unref();
  return {
    drain,
    close() {
      watch.close();
      netlink.close();
    },
  };
}

const TYPES: Readonly<Record<number, TraceEvent["type"]>> = {
  [n.NFT_TRACETYPE_RULE]: "rule",
  [n.NFT_TRACETYPE_RETURN]: "return",
  [n.NFT_TRACETYPE_POLICY]: "policy",
};

interface RawTrace {
  id: number;
  type: number;
  table: string;
  chain: string;
  verdict: TraceVerdict;
  handle?: number;
  iif?: number;
  oif?: number;
  mark?: number;
  network?: Uint8Array;
  transport?: Uint8Array;
}

function decodeTrace(message: NetlinkMessage): TraceEvent | undefined {
  if (message.type !== ((n.NFNL_SUBSYS_NFTABLES << 8) | n.NFT_MSG_TRACE)) return undefined;
  const family = familyOf(message.buf[message.payload] ?? 0);
  const { network, transport, type, ...raw } = readTrace(message.attrs(NFGENMSG_LEN));
  const known = TYPES[type];
  if (family === undefined || known === undefined) return undefined;
  const packet = network && Uint8Array.from([...network, ...(transport ?? [])]);
  return { ...raw, type: known, family, ...(packet && { packet }) };
}

function readTrace(attrs: AttrReader): RawTrace {
  const raw: RawTrace = { id: 0, type: 0, table: "", chain: "", verdict: { kind: "continue" } };
  while (attrs.next()) {
    switch (attrs.type) {
      case n.NFTA_TRACE_ID:
        raw.id = attrs.u32be();
        break;
      case n.NFTA_TRACE_TYPE:
        raw.type = attrs.u32be();
        break;
      case n.NFTA_TRACE_TABLE:
        raw.table = attrs.string();
        break;
      case n.NFTA_TRACE_CHAIN:
        raw.chain = attrs.string();
        break;
      case n.NFTA_TRACE_RULE_HANDLE:
        raw.handle = Number(attrs.u64be());
        break;
      case n.NFTA_TRACE_VERDICT:
        raw.verdict = readVerdict(attrs.nested());
        break;
      case n.NFTA_TRACE_POLICY:
        raw.verdict = verdictOf(attrs.u32be() | 0, "");
        break;
      default:
        readPacketAttr(raw, attrs);
    }
  }
  return raw;
}

function readPacketAttr(raw: RawTrace, attrs: AttrReader): void {
  if (attrs.type === n.NFTA_TRACE_NETWORK_HEADER) raw.network = attrs.bytes();
  else if (attrs.type === n.NFTA_TRACE_TRANSPORT_HEADER) raw.transport = attrs.bytes();
  else if (attrs.type === n.NFTA_TRACE_IIF) raw.iif = attrs.u32be();
  else if (attrs.type === n.NFTA_TRACE_OIF) raw.oif = attrs.u32be();
  else if (attrs.type === n.NFTA_TRACE_MARK) raw.mark = attrs.u32be();
}

function readVerdict(attrs: AttrReader): TraceVerdict {
  let code = 0;
  let chain = "";
  while (attrs.next()) {
    if (attrs.type === n.NFTA_VERDICT_CODE) code = attrs.u32be() | 0;
    else if (attrs.type === n.NFTA_VERDICT_CHAIN) chain = attrs.string();
  }
  return verdictOf(code, chain);
}

/** linux/netfilter.h: NF_DROP … NF_STOP, with more in the upper half; enum nft_verdicts below zero. */
const NF_VERDICTS = ["drop", "accept", "stolen", "queue", "repeat", "stop"] as const;

function verdictOf(code: number, chain: string): TraceVerdict {
  if (code === n.VERDICTS.jump) return { kind: "jump", chain };
  if (code === n.VERDICTS.goto) return { kind: "goto", chain };
  if (code === n.VERDICTS.return) return { kind: "return" };
  return { kind: code < 0 ? "continue" : (NF_VERDICTS[code & 0xff] ?? "drop") };
}
