// Prints, as lines of JSON, what passes a link of the namespace it runs in: "ready" first, then a line for each frame, until its
// standard input ends. usage: observe LINK

import { formatAddr } from "#ip";
import { capture, netns } from "#linux";
import { decodeFrame, type Frame } from "#wire";
import type { ObservedPacket } from "./observed.ts";

const link = process.argv[2] ?? "eth0";
using capturing = capture(netns.current(), link);
process.stdout.write('"ready"\n');
process.stdin.resume();
await new Promise((resolve) => process.stdin.once("end", resolve));
for (const packet of capturing.packets()) {
  const observed = describe(decodeFrame(packet.data), packet.direction);
  if (observed !== undefined) process.stdout.write(`${JSON.stringify(observed)}\n`);
}
process.exit(0);

/** IP packets only. */
function describe(frame: Pick<Frame, "ip" | "tcp" | "udp" | "icmp" | "vxlan">, direction: "in" | "out"): ObservedPacket | undefined {
  const { ip, tcp, udp, icmp, vxlan } = frame;
  if (ip === undefined) return undefined;
  const inner = vxlan && describe(vxlan.inner, direction);
  return {
    direction,
    src: formatAddr(ip.src),
    dst: formatAddr(ip.dst),
    protocol: tcp ? "tcp" : udp ? "udp" : icmp ? "icmp" : String(ip.protocol),
    srcPort: tcp?.srcPort ?? udp?.srcPort ?? 0,
    dstPort: tcp?.dstPort ?? udp?.dstPort ?? 0,
    flags: tcp?.flags ?? [],
    ...(inner === undefined ? {} : { inner }),
  };
}
