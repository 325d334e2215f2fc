// A packet has come to where it was going: a socket, the kernel itself, a tunnel's end, or nobody. Mirrors tcp_v4_rcv, __udp4_lib_rcv,
// icmp_rcv (net/ipv4) and vxlan_rcv (drivers/net/vxlan/vxlan_core.c).
import { addrEquals } from "#ip";
import type { Skb } from "../evaluate/evaluation.ts";
import { ICMP, ICMPV6, isIcmpError, type Packet, SCTP, TCP, UDP, type Vxlan } from "../packet.ts";
import type { Host } from "./host.ts";
import { abortAnswer, errorAnswer, resetAnswer, type Said } from "./refuse.ts";
import { dropped, type Ended, newSkb, type OpenHop, type Run, refused } from "./run.ts";
import { arrive } from "./transmit.ts";

interface Arriving {
  readonly run: Run;
  readonly host: Host;
  readonly hop: OpenHop;
  readonly skb: Skb;
}

export function deliver(run: Run, host: Host, hop: OpenHop, skb: Skb): Ended {
  const { packet } = skb;
  const { protocol, dstPort, dst } = packet;
  if (isAwaited(run, host, packet)) return { end: { kind: "delivered", namespace: host.name, packet }, host, skb };
  if (packet.vxlan !== undefined && protocol === UDP) {
    const inner = decapsulate({ run, host, hop, skb }, packet.vxlan);
    if (inner !== undefined) return inner;
  }
  if (protocol === ICMP || protocol === ICMPV6) return deliverIcmp(host, skb);
  const listener = dstPort === undefined ? undefined : host.listener(protocol, dst, dstPort);
  if (listener !== undefined) return { end: { kind: "delivered", namespace: host.name, packet, listener }, host, skb };
  const said = sayClosed(host, packet);
  return said === undefined ? dropped(host, skb, "port closed") : refused(host, skb, "port closed", said);
}

/** The kernel answers echo requests itself. An error that nobody waits for is dropped. */
function deliverIcmp(host: Host, skb: Skb): Ended {
  const { packet } = skb;
  const isRequest = packet.icmp?.type === (packet.protocol === ICMP ? 8 : 128);
  return isRequest ? { end: { kind: "delivered", namespace: host.name, packet }, host, skb } : dropped(host, skb, "port closed");
}

function sayClosed(host: Host, packet: Packet): Said | undefined {
  if (packet.protocol === TCP) return resetAnswer(packet);
  if (packet.protocol === SCTP) return abortAnswer(packet);
  return errorAnswer(host, packet, packet.protocol === UDP ? "port-unreachable" : "protocol-unreachable");
}

/** Whether this is what the asker's socket waits for: from whom it has asked, or an error about what it has sent. */
function isAwaited({ awaited }: Run, host: Host, packet: Packet): boolean {
  if (awaited === undefined || awaited.host !== host) return false;
  const { question } = awaited;
  if (isIcmpError(packet)) return packet.icmp?.about !== undefined && sameEnds(packet.icmp.about, question);
  const { src, dst, srcPort, dstPort } = packet;
  const turned = { ...packet, src: dst, dst: src };
  if (packet.icmp !== undefined) return packet.icmp.id === question.icmp?.id && isReply(packet) && sameEnds(turned, question);
  return (
    dstPort === question.srcPort && srcPort === question.dstPort && packet.protocol === question.protocol && sameAddrs(turned, question)
  );
}

function isReply({ protocol, icmp }: Packet): boolean {
  return icmp?.type === (protocol === ICMP ? 0 : 129);
}

function sameAddrs(a: Packet, b: Packet): boolean {
  return addrEquals(a.src, b.src) && addrEquals(a.dst, b.dst);
}

function sameEnds(a: Packet, b: Packet): boolean {
  return a.protocol === b.protocol && a.srcPort === b.srcPort && a.dstPort === b.dstPort && sameAddrs(a, b);
}

/** Undefined: no vxlan link listens at that port. What is inside comes out of the link with that VNI, with the mark of what was outside. */
function decapsulate({ run, host, hop, skb }: Arriving, inner: Vxlan): Ended | undefined {
  const links = [...host.links.values()]
    .filter(({ up }) => up)
    .flatMap((link) => (link.type.kind === "vxlan" ? [{ name: link.name, type: link.type }] : []));
  const atPort = links.filter(({ type }) => type.port === skb.packet.dstPort);
  if (atPort.length === 0) return undefined;
  const link = atPort.find(({ type }) => type.vni === inner.vni);
  if (link === undefined) return dropped(host, skb, "port closed");
  run.decide(hop, () => ({ kind: "decapsulate", link: link.name, vni: inner.vni }));
  const next = newSkb(inner.packet, skb.mark);
  if (inner.fragment !== undefined) next.fragment = inner.fragment;
  return arrive({ run, host, link: link.name, skb: next, srcMac: inner.srcMac, dstMac: inner.dstMac });
}
