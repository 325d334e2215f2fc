// The BPF program against the decoder: whatever is meant must get through, and what has other ports must not.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Addr, parseAddr, parseMac } from "#ip";
import { decodeFrame, encodeEcho, encodeFrame, encodeUdp } from "#wire";
import { compileFilter, isMeant } from "./packet-filter.ts";
import type { WatchMatch } from "./types.ts";

/** Runs the few instructions that are used (kernel Documentation/networking/filter.rst). */
function run(program: Uint8Array, packet: Uint8Array): number {
  const code = Buffer.from(program);
  const data = Buffer.from(packet);
  let a = 0;
  let x = 0;
  for (let at = 0; at < code.length; at += 8) {
    const [op, jt, jf, k] = [code.readUInt16LE(at), code.readUInt8(at + 2), code.readUInt8(at + 3), code.readUInt32LE(at + 4)];
    const jump = (holds: boolean): number => 8 * (holds ? jt : jf);
    try {
      if (op === 0x28) a = data.readUInt16BE(k);
      else if (op === 0x30) a = data.readUInt8(k);
      else if (op === 0x48) a = data.readUInt16BE(x + k);
      else if (op === 0xb1) x = 4 * (data.readUInt8(k) & 0xf);
      else if (op === 0x15) at += jump(a === k);
      else if (op === 0x45) at += jump((a & k) !== 0);
      else if (op === 0x06) return k;
      else assert.fail(`instruction ${op}`);
    } catch (err) {
      // A load beyond the packet ends the program with 0.
      if (err instanceof RangeError) return 0;
      throw err;
    }
  }
  assert.fail("the program has no end");
}

const PORTS: readonly number[] = [53, 80, 8472, 40_000];
const MAC = parseMac("02:00:00:00:00:01");
const LOCALHOST = parseAddr("127.0.0.1");
const ADDRS: readonly (readonly [Addr, Addr])[] = [
  [parseAddr("10.0.0.1"), parseAddr("10.0.0.2")],
  [parseAddr("fd00::1"), parseAddr("fd00::2")],
];

function inVxlan(ends: readonly [Addr, Addr], frame: Uint8Array): Uint8Array {
  const payload = Uint8Array.from([8, 0, 0, 0, 0, 0, 1, 0, ...frame]);
  return encodeFrame(MAC, MAC, encodeUdp({ src: ends[0], dst: ends[1], srcPort: 55_555, dstPort: 8472, payload }));
}

const frames = fc
  .record({
    ends: fc.constantFrom(...ADDRS),
    srcPort: fc.constantFrom(...PORTS),
    dstPort: fc.constantFrom(...PORTS.filter((port) => port !== 8472)),
    echo: fc.boolean(),
    around: fc.option(fc.constantFrom(...ADDRS), { nil: undefined }),
  })
  .map(({ ends: [src, dst], srcPort, dstPort, echo, around }) => {
    const packet = echo ? encodeEcho({ src, dst, id: srcPort, sequence: 1 }) : encodeUdp({ src, dst, srcPort, dstPort });
    const frame = encodeFrame(MAC, MAC, packet);
    return { frame: around === undefined ? frame : inVxlan(around, frame), echo, srcPort, dstPort };
  });

const matches = fc.record({
  protocol: fc.constantFrom("udp", "tcp", "icmp", "sctp"),
  addrs: fc.subarray(ADDRS.map(([src]) => src)),
  ports: fc.subarray([...PORTS]),
}) satisfies fc.Arbitrary<WatchMatch>;

test("what is meant passes the filter; UDP with other ports does not", () => {
  fc.assert(
    fc.property(frames, matches, ({ frame, echo, srcPort, dstPort }, match) => {
      const passes = run(compileFilter(match), frame) > 0;
      if (isMeant(decodeFrame(frame), match)) assert.ok(passes, "meant, and filtered out");
      const hasPort = match.ports.length === 0 || match.ports.some((port) => port === srcPort || port === dstPort || port === 8472);
      if (!echo && !(match.protocol === "udp" && hasPort)) assert.equal(passes, false, "not meant, and let through");
    }),
  );
});

test("many ports, and jumps that are not too long for a byte", () => {
  const ports = Array.from({ length: 16 }, (_, i) => 100 + i);
  for (const match of [{ protocol: "tcp", addrs: [], ports } as const, { protocol: "udp", addrs: [], ports: [...ports, 1] } as const]) {
    const program = compileFilter(match);
    assert.ok(program.length / 8 < 4096);
    assert.equal(run(program, encodeFrame(MAC, MAC, encodeEcho({ src: LOCALHOST, dst: LOCALHOST, id: 1, sequence: 1 }))) > 0, true);
  }
});
