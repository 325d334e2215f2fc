import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addrFromBytes, formatAddr, parseAddr, parseMac } from "#ip";
import { decodeFrame, decodePacket, encodeEcho, encodeFrame, encodeUdp, formatFrame, formatPacket, internetChecksum } from "./index.ts";

const hex = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value.replaceAll(/\s/g, ""), "hex"));
const A = parseMac("02:00:00:00:00:0a");
const B = parseMac("02:00:00:00:00:0b");
const v4 = (last: number): ReturnType<typeof parseAddr> => parseAddr(`10.244.1.${last}`);
const v6 = (last: number): ReturnType<typeof parseAddr> => parseAddr(`fd00:10:244:1::${last}`);

/** A VXLAN datagram around a frame. */
function vxlan(vni: number, inner: Uint8Array, dstPort = 8472): Uint8Array {
  const header = Uint8Array.of(8, 0, 0, 0, vni >> 16, (vni >> 8) & 0xff, vni & 0xff, 0);
  return encodeUdp({
    src: parseAddr("172.18.0.11"),
    dst: parseAddr("172.18.0.12"),
    srcPort: 50000,
    dstPort,
    payload: Buffer.concat([header, inner]),
  });
}

// A SYN with MSS 1460, window scale and timestamps, made by hand after RFC 9293 §3.1.
const SYN = hex("c001 0050 00000001 00000000 a002 faf0 0000 0000 020405b4 0402080a 00000001 00000000 01030307");
function tcp4(segment: Uint8Array): Uint8Array {
  return Buffer.concat([hex(`4500 ${(20 + segment.length).toString(16).padStart(4, "0")} 0001 4000 4006 0000 0af40102 0a600001`), segment]);
}

test("echo and UDP come back as they were sent, with right checksums", () => {
  const addr = fc.oneof(
    fc.tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 4, maxLength: 4 })),
    fc.tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.uint8Array({ minLength: 16, maxLength: 16 })),
  );
  const u16 = fc.nat(0xffff);
  fc.assert(
    fc.property(addr, u16, u16, fc.uint8Array({ maxLength: 64 }), ([s, d], a, b, payload) => {
      const ends = { src: addrFromBytes(s), dst: addrFromBytes(d), payload };
      const echo = decodePacket(encodeEcho({ ...ends, id: a, sequence: b }));
      assert.deepEqual(echo?.icmp?.echo, { reply: false, id: a, sequence: b });
      assert.deepEqual([formatAddr(echo.ip.src), formatAddr(echo.ip.dst)], [formatAddr(ends.src), formatAddr(ends.dst)]);
      assert.deepEqual([...echo.payload], [...payload]);
      const bytes = encodeUdp({ ...ends, srcPort: a, dstPort: b });
      const udp = decodePacket(bytes, { vxlanPorts: [] });
      assert.deepEqual([udp?.udp?.srcPort, udp?.udp?.dstPort, udp?.udp?.length], [a, b, 8 + payload.length]);
      assert.deepEqual([...(udp?.payload ?? [])], [...payload]);
      assert.notEqual(udp?.udp?.checksum, 0);
      const header = s.length === 4 ? 20 : 40;
      if (s.length === 4) assert.equal(internetChecksum(bytes.subarray(0, 20)), 0);
      const pseudo = Uint8Array.of(0, 0, (bytes.length - header) >> 8, (bytes.length - header) & 0xff, 0, 17);
      assert.equal(internetChecksum(s, d, pseudo, bytes.subarray(header)), 0);
    }),
  );
});

test("the checksum of RFC 1071 §3's example", () => {
  assert.equal(internetChecksum(hex("0001 f203 f4f5 f6f7")), ~0xddf2 & 0xffff);
});

test("nothing makes decoding throw", () => {
  const frames = [
    encodeFrame(A, B, encodeEcho({ src: v4(1), dst: v4(2), id: 1, sequence: 1 })),
    encodeFrame(A, B, vxlan(1, encodeFrame(A, B, encodeUdp({ src: v6(1), dst: v6(2), srcPort: 1, dstPort: 2 })))),
    encodeFrame(A, B, tcp4(SYN)),
  ];
  fc.assert(
    fc.property(fc.constantFrom(...frames), fc.nat(), fc.nat(255), fc.nat(200), (frame, at, byte, length) => {
      const bytes = frame.slice(0, length);
      if (bytes.length > 0) bytes[at % bytes.length] = byte;
      formatFrame(decodeFrame(bytes));
    }),
    { numRuns: 500 },
  );
});

// [bytes of a frame, how it reads]
const FRAMES: [string, Uint8Array, string][] = [
  [
    "icmp",
    encodeFrame(A, B, encodeEcho({ src: v4(1), dst: v4(2), id: 7, sequence: 2 })),
    "10.244.1.1 > 10.244.1.2 icmp echo request id 7 seq 2",
  ],
  [
    "icmp6 reply",
    encodeFrame(A, B, encodeEcho({ src: v6(1), dst: v6(2), id: 7, sequence: 2, reply: true })),
    "fd00:10:244:1::1 > fd00:10:244:1::2 icmp6 echo reply id 7 seq 2",
  ],
  [
    "udp6",
    encodeFrame(A, B, encodeUdp({ src: v6(1), dst: v6(2), srcPort: 4711, dstPort: 53, payload: new Uint8Array(9) })),
    "[fd00:10:244:1::1]:4711 > [fd00:10:244:1::2]:53 udp 9 bytes",
  ],
  ["tcp", encodeFrame(A, B, Buffer.concat([tcp4(SYN), new Uint8Array(6)])), "10.244.1.2:49153 > 10.96.0.1:80 tcp SYN 0 bytes"],
  [
    "vxlan",
    encodeFrame(A, B, vxlan(4096, encodeFrame(B, A, encodeEcho({ src: v4(1), dst: parseAddr("10.244.2.2"), id: 1, sequence: 1 })))),
    "172.18.0.11 > 172.18.0.12 vxlan 4096 { 10.244.1.1 > 10.244.2.2 icmp echo request id 1 seq 1 }",
  ],
  [
    "arp",
    hex("ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0af40101 000000000000 0af40102"),
    "arp who-has 10.244.1.2 tell 10.244.1.1",
  ],
  [
    "arp reply",
    hex("02000000000a 02000000000b 0806 0001 0800 06 04 0002 02000000000b 0af40102 02000000000a 0af40101"),
    "arp 10.244.1.2 is-at 02:00:00:00:00:0b",
  ],
  ["unknown", hex("02000000000a 02000000000b 88cc 00"), "02:00:00:00:00:0b > 02:00:00:00:00:0a ethertype 0x88cc"],
];
for (const [name, bytes, line] of FRAMES) test(`frame: ${name}`, () => assert.equal(formatFrame(decodeFrame(bytes)), line));

test("SCTP: the ports, the tag and the chunks (RFC 9260 §3)", () => {
  const header = hex("45 00 0000 0000 4000 40 84 0000 0af40101 0af40102");
  const sctp = hex("9c40 1388 01020304 00000000 0b 00 0004 00 03 0011 000000000000000000000000 61 000000");
  const bytes = Buffer.concat([header, sctp]);
  bytes.writeUInt16BE(bytes.length, 2);
  const packet = decodePacket(bytes);
  assert.deepEqual(packet?.sctp, { srcPort: 40_000, dstPort: 5000, verificationTag: 0x01020304, chunks: [11, 0] });
  assert.equal(packet && formatPacket(packet), "10.244.1.1:40000 > 10.244.1.2:5000 sctp COOKIE-ACK+DATA");
});

test("VLAN tags, TCP options, flags, padding", () => {
  const tagged = Buffer.concat([B, A, hex("88a8 0064 8100 0065 0800"), tcp4(SYN)]);
  const frame = decodeFrame(tagged);
  assert.deepEqual(frame.eth.vlans, [100, 101]);
  assert.deepEqual(frame.tcp?.flags, ["SYN"]);
  assert.equal(frame.tcp?.mss, 1460);
  assert.equal(frame.ip?.dontFragment, true);
  assert.equal(frame.ip?.length, 60);
});

test("fragments: a later one has no transport header", () => {
  const packet = encodeUdp({ src: v4(1), dst: v4(2), srcPort: 1, dstPort: 2, payload: new Uint8Array(8) });
  packet.set(hex("2000"), 6);
  assert.deepEqual(decodePacket(packet)?.ip.fragment, { id: 0, offset: 0, more: true });
  assert.notEqual(decodePacket(packet)?.udp, undefined);
  packet.set(hex("0002"), 6);
  assert.deepEqual(decodePacket(packet)?.ip.fragment, { id: 0, offset: 16, more: false });
  assert.equal(decodePacket(packet)?.udp, undefined);
});

test("IPv6 extension headers are skipped, the fragment header read", () => {
  const udp = encodeUdp({ src: v6(1), dst: v6(2), srcPort: 1, dstPort: 2, payload: new Uint8Array(4) });
  const withHeaders = Buffer.concat([udp.subarray(0, 40), hex("2c00 0000 0000 0000"), hex("1100 0001 00000009"), udp.subarray(40)]);
  withHeaders[6] = 0;
  withHeaders[5] = (withHeaders[5] ?? 0) + 16;
  const packet = decodePacket(withHeaders);
  assert.deepEqual(packet?.ip.fragment, { id: 9, offset: 0, more: true });
  assert.equal(packet?.udp?.dstPort, 2);
  assert.equal(packet?.payload.length, 4);
});

test("ICMP errors say what they are about", () => {
  const cause = encodeUdp({ src: v4(1), dst: v4(2), srcPort: 1, dstPort: 2 });
  const error = Buffer.concat([hex("4500 0038 0000 0000 4001 0000 0af40102 0af40101"), hex("0304 0000 0000 0582"), cause]);
  const packet = decodePacket(error);
  assert.equal(packet?.icmp?.mtu, 1410);
  assert.equal(
    formatPacket(packet),
    "10.244.1.2 > 10.244.1.1 icmp type 3 code 4 mtu 1410 about { 10.244.1.1:1 > 10.244.1.2:2 udp 0 bytes }",
  );
});

test("neighbour solicitation", () => {
  const target = v6(9);
  const body = Buffer.concat([hex("8700 0000 00000000"), target.bytes]);
  const packet = Buffer.concat([hex("6000 0000 0018 3aff"), v6(1).bytes, v6(2).bytes, body]);
  assert.equal(
    formatPacket(decodePacket(packet) ?? assert.fail()),
    `${formatAddr(v6(1))} > ${formatAddr(v6(2))} icmp6 type 135 code 0 target ${formatAddr(target)}`,
  );
});

test("UDP on a VXLAN port that is not VXLAN stays UDP", () => {
  assert.equal(
    decodePacket(encodeUdp({ src: v4(1), dst: v4(2), srcPort: 1, dstPort: 8472, payload: new Uint8Array(40) }))?.vxlan,
    undefined,
  );
  assert.notEqual(decodePacket(vxlan(1, new Uint8Array(14), 9999), { vxlanPorts: [9999] })?.vxlan, undefined);
});
