// Which packets a watch is about: once for packets that were decoded, once as classic BPF (net/core/filter.c), so that what else passes
// a busy link never gets here. The BPF lets too much through rather than too little.
import { type Addr, addrEquals } from "#ip";
import { type Frame, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, type Packet } from "#wire";
import type { Protocol, WatchMatch } from "./types.ts";

/** IPPROTO_* of a protocol, over IPv4 and over IPv6. */
export const PROTOCOL_NUMBERS: Readonly<Record<Protocol, readonly number[]>> = {
  tcp: [IPPROTO_TCP],
  udp: [IPPROTO_UDP],
  sctp: [IPPROTO_SCTP],
  icmp: [IPPROTO_ICMP, IPPROTO_ICMPV6],
};

/** Whether the packet, what it carries in vxlan, or what an ICMP error is about, is meant. */
export function isMeant(packet: Packet | Frame, match: WatchMatch): boolean {
  if (packet.ip === undefined) return false;
  const { ip, icmp, vxlan } = packet;
  if (vxlan !== undefined && isMeant(vxlan.inner, match)) return true;
  if (icmp?.about !== undefined && isMeant(icmp.about, match)) return true;
  if (!PROTOCOL_NUMBERS[match.protocol].includes(ip.protocol)) return false;
  const hasAddr = match.addrs.length === 0 || [ip.src, ip.dst].some((addr) => match.addrs.some((other: Addr) => addrEquals(addr, other)));
  if (!hasAddr) return false;
  // Only the first fragment has ports.
  if (match.ports.length === 0 || (ip.fragment !== undefined && ip.fragment.offset > 0)) return true;
  return portsOf(packet).some((port) => match.ports.includes(port));
}

function portsOf({ ip, tcp, udp, sctp, icmp, payload }: Partial<Packet>): readonly number[] {
  const transport = tcp ?? udp ?? sctp;
  if (transport !== undefined) return [transport.srcPort, transport.dstPort];
  if (icmp !== undefined) return icmp.echo === undefined ? [] : [icmp.echo.id];
  if (ip === undefined || payload === undefined || payload.length < 4) return [];
  // An ICMP error has 8 bytes of a packet at least, and perhaps no more.
  const u16 = (at: number): number => ((payload[at] ?? 0) << 8) | (payload[at + 1] ?? 0);
  return [u16(0), u16(2)];
}

const VXLAN_PORTS: readonly number[] = [4789, 8472];
/** More make the program too long for its jumps; then ports are not looked at. */
const MAX_PORTS = 16;
const ETHERNET = 14;
const UDP_AND_VXLAN = 16;

// linux/bpf_common.h
const LDH_ABS = 0x28;
const LDB_ABS = 0x30;
const LDH_IND = 0x48;
const LDXB_MSH = 0xb1;
const JEQ = 0x15;
const JSET = 0x45;
const RET = 0x06;
const ACCEPT = 0x40000;

/** A jump names where it goes when the comparison holds; otherwise the next instruction follows. */
type Instruction = { readonly label: string } | { readonly code: number; readonly k: number; readonly to?: string };

/** struct sock_filter after struct sock_filter. */
export function compileFilter(match: WatchMatch): Uint8Array {
  const out: Instruction[] = [];
  ethernet(out, { base: 0, match, name: "outer", inVxlan: false });
  return assemble(out);
}

interface Section {
  /** Where the frame begins. */
  readonly base: number;
  readonly match: WatchMatch;
  readonly name: string;
  readonly inVxlan: boolean;
}

function ethernet(out: Instruction[], section: Section): void {
  const { base, name } = section;
  const at = (label: string): string => `${name} ${label}`;
  out.push({ code: LDH_ABS, k: base + 12 }, { code: JEQ, k: 0x0800, to: at("v4") }, { code: JEQ, k: 0x86dd, to: at("v6") });
  reject(out);
  out.push({ label: at("v4") }, { code: LDB_ABS, k: base + 23 });
  protocols(out, section, 4);
  out.push({ label: at("v6") }, { code: LDB_ABS, k: base + 20 });
  protocols(out, section, 6);
}

/** ICMP, and over IPv6 headers before the transport's (fragment, hop-by-hop, routing, destination options), go through. */
const ALWAYS: Readonly<Record<4 | 6, readonly number[]>> = { 4: [IPPROTO_ICMP], 6: [IPPROTO_ICMPV6, 44, 0, 43, 60] };

function protocols(out: Instruction[], section: Section, family: 4 | 6): void {
  const { match, name, inVxlan } = section;
  const at = (label: string): string => `${name} ${family} ${label}`;
  for (const number of ALWAYS[family]) out.push({ code: JEQ, k: number, to: at("accept") });
  for (const number of PROTOCOL_NUMBERS[match.protocol]) out.push({ code: JEQ, k: number, to: at("ports") });
  if (!inVxlan) out.push({ code: JEQ, k: IPPROTO_UDP, to: at("udp") });
  reject(out);
  out.push({ label: at("ports") });
  ports(out, section, family);
  if (!inVxlan) {
    out.push({ label: at("udp") });
    loadPort(out, section, { family, which: "dst" });
    for (const port of VXLAN_PORTS) out.push({ code: JEQ, k: port, to: at("vxlan") });
  }
  reject(out);
  out.push({ label: at("accept") }, { code: RET, k: ACCEPT });
  if (inVxlan) return;
  out.push({ label: at("vxlan") });
  // An outer IPv4 header without options, as Linux writes it.
  const base = section.base + ETHERNET + (family === 4 ? 20 : 40) + UDP_AND_VXLAN;
  ethernet(out, { base, match, name: at("inner"), inVxlan: true });
}

function ports(out: Instruction[], section: Section, family: 4 | 6): void {
  const { match, base, name } = section;
  const accept = `${name} ${family} accept`;
  if (match.ports.length === 0 || match.ports.length > MAX_PORTS || match.protocol === "icmp") {
    out.push({ code: RET, k: ACCEPT });
    return;
  }
  // A later fragment has no ports.
  if (family === 4) out.push({ code: LDH_ABS, k: base + 20 }, { code: JSET, k: 0x1fff, to: accept });
  for (const which of ["src", "dst"] as const) {
    loadPort(out, section, { family, which });
    for (const port of match.ports) out.push({ code: JEQ, k: port, to: accept });
  }
}

function loadPort(out: Instruction[], { base }: Section, { family, which }: { family: 4 | 6; which: "src" | "dst" }): void {
  const offset = which === "src" ? 0 : 2;
  if (family === 6) out.push({ code: LDH_ABS, k: base + ETHERNET + 40 + offset });
  else out.push({ code: LDXB_MSH, k: base + ETHERNET }, { code: LDH_IND, k: base + ETHERNET + offset });
}

function reject(out: Instruction[]): void {
  out.push({ code: RET, k: 0 });
}

function assemble(instructions: readonly Instruction[]): Uint8Array {
  const places = new Map<string, number>();
  let count = 0;
  for (const one of instructions) {
    if ("label" in one) places.set(one.label, count);
    else count++;
  }
  const bytes = Buffer.alloc(8 * count);
  let at = 0;
  for (const one of instructions) {
    if ("label" in one) continue;
    const jump = one.to === undefined ? 0 : (places.get(one.to) ?? 0) - at - 1;
    // writeUInt8 throws for a jump that is too long.
    bytes.writeUInt16LE(one.code, 8 * at);
    bytes.writeUInt8(jump, 8 * at + 2);
    bytes.writeUInt32LE(one.k, 8 * at + 4);
    at++;
  }
  return bytes;
}
