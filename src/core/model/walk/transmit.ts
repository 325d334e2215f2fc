// Frames on links. Mirrors veth_xmit (drivers/net/veth.c), vxlan_xmit (drivers/net/vxlan/vxlan_core.c) and the way up from a device:
// eth_type_trans (net/ethernet/eth.c), br_handle_frame (net/bridge/br_input.c).
import type { Addr, Mac } from "#ip";
import type { Skb } from "../evaluate/evaluation.ts";
import { type Packet, UDP, vxlanOverhead } from "../packet.ts";
import type { LinkType } from "../state.ts";
import { bridgeFrame } from "./bridge.ts";
import { type Host, macKey } from "./host.ts";
import { output } from "./output.ts";
import { receive } from "./receive.ts";
import { dropped, type Ended, newSkb, type OpenHop, type Run, sizeOf } from "./run.ts";
import { sourceFor } from "./source-addr.ts";

/** A frame that is about to leave by, or has come in at, `link` of `host`. */
export interface Frame {
  readonly run: Run;
  readonly host: Host;
  readonly link: string;
  readonly skb: Skb;
  readonly srcMac: Mac;
  readonly dstMac: Mac;
  /** Where it comes from the IP layer: the hop that it leaves. */
  readonly hop?: OpenHop;
}

export function transmit(frame: Frame): Ended {
  const { run, host, skb } = frame;
  const link = host.links.get(frame.link);
  if (link === undefined || !link.up) return dropped(host, skb, "link down");
  if (run.crossLink()) return dropped(host, skb, "loop");
  switch (link.type.kind) {
    case "veth":
      return transmitVeth(frame, link.type.peer);
    case "bridge":
      return bridgeFrame(frame, undefined);
    case "vxlan":
      return encapsulate(frame, link.type);
    default:
      return dropped(host, skb, "not modelled");
  }
}

/** What crosses to another namespace loses its mark, and in any case its connection (skb_scrub_packet). */
function transmitVeth(frame: Frame, peer: { readonly namespace: string; readonly link: string }): Ended {
  const { run, host, skb } = frame;
  const other = run.network.hosts.get(peer.namespace);
  const link = other?.links.get(peer.link);
  if (other === undefined || link === undefined || !link.up) return dropped(host, skb, "link down");
  // is_skb_forwardable: what is larger than the other end takes is lost without a word.
  if (sizeOf(skb) > link.mtu) return dropped(other, skb, "mtu");
  const next = newSkb(skb.packet, other === host ? skb.mark : 0);
  if (skb.fragment !== undefined) next.fragment = skb.fragment;
  return arrive({ ...frame, host: other, link: peer.link, skb: next });
}

/** A frame comes in at a link. */
export function arrive(frame: Frame): Ended {
  const { run, host, skb, srcMac, dstMac } = frame;
  const link = host.links.get(frame.link);
  if (link === undefined || !link.up) return dropped(host, skb, "link down");
  if (link.master !== undefined) return bridgeFrame(frame, frame.link);
  if (link.macKey !== macKey(dstMac)) return dropped(host, skb, "other host");
  skb.srcMac = srcMac;
  skb.dstMac = dstMac;
  return receive(run, host, frame.link, skb);
}

type VxlanType = Extract<LinkType, { kind: "vxlan" }>;

const NOBODY: Mac = new Uint8Array(6);

/** The outer packet is made here, and passes output and postrouting with the inner one's mark (udp_tunnel_xmit_skb). */
function encapsulate(frame: Frame, type: VxlanType): Ended {
  const { run, host, skb, srcMac, dstMac, hop } = frame;
  const remote = (host.fdb(frame.link, dstMac) ?? host.fdb(frame.link, NOBODY))?.dst;
  if (remote === undefined) return dropped(host, skb, "no such mac");
  if (hop !== undefined) run.decide(hop, () => ({ kind: "encapsulate", link: frame.link, vni: type.vni, to: remote }));
  const src = type.local ?? outerSource(host, remote);
  if (src === undefined) return dropped(host, skb, "no route");
  const srcPort = run.choices.port(OUTER_PORT, OUTER_PORT, OUTER_PORTS);
  const outer: Packet = {
    src,
    dst: remote,
    protocol: UDP,
    ttl: 64,
    length: sizeOf(skb) + vxlanOverhead(remote.family),
    srcPort,
    dstPort: type.port,
    vxlan: { vni: type.vni, srcMac, dstMac, packet: skb.packet, ...(skb.fragment !== undefined && { fragment: skb.fragment }) },
  };
  return output(run, host, newSkb(outer, skb.mark), frame.link);
}

/** udp_flow_src_port: by the inner flow's hash, within `net.ipv4.ip_local_port_range`. */
const OUTER_PORT = 32_768;
const OUTER_PORTS = 28_232;

function outerSource(host: Host, remote: Addr): Addr | undefined {
  const route = host.fib.lookup({ dst: remote });
  return route && sourceFor(host, route, remote);
}
