import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { after, test } from "node:test";
import { parseAddr, parsePrefix } from "#ip";
import { capture, netns, openRoute, udpFd } from "./index.ts";

const near = netns.createAnonymous();
const far = netns.createAnonymous();
const nearRoute = openRoute(near);
const farRoute = openRoute(far);
after(() => {
  for (const open of [nearRoute, farRoute, near, far]) open.close();
});

test("packets are seen at both ends of a veth, with direction and time", async () => {
  nearRoute.links.add({ name: "a", type: { kind: "veth", peer: { name: "b", netns: far } }, up: true });
  farRoute.links.change("b", { up: true });
  nearRoute.addrs.set({ link: "a", prefix: parsePrefix("10.8.0.1/24") });
  farRoute.addrs.set({ link: "b", prefix: parsePrefix("10.8.0.2/24") });
  using out = capture(near, "a", { snaplen: 64 });
  using into = capture(far, "b");
  const socket = createSocket("udp4");
  socket.bind({ fd: udpFd(near, parseAddr("0.0.0.0"), 0) });
  const before = Date.now();
  const payload = Buffer.alloc(200, "x");
  socket.send(payload, 4000, "10.8.0.2");
  const isOurs = (packet: { data: Uint8Array }): boolean => packet.data[12] === 8 && packet.data[13] === 0 && packet.data[23] === 17;
  const received = await into.find(isOurs, AbortSignal.timeout(5000));
  const sent = await out.find(isOurs, AbortSignal.timeout(5000));
  assert.deepEqual([sent.direction, sent.to, received.direction, received.to], ["out", "outgoing", "in", "host"]);
  assert.equal(received.length, 14 + 20 + 8 + 200);
  assert.equal(sent.length, received.length);
  assert.equal(sent.data.length, 64, "cut to snaplen");
  assert.ok(Math.abs(received.atMs - before) < 5000, `${received.atMs}`);
  assert.ok(out.packets().length >= 2, "the ARP exchange was seen too");
  socket.close();
});

test("a waiting find is rejected by abort and by close", async () => {
  const own = capture(near, "lo");
  await assert.rejects(
    own.find(() => true, AbortSignal.timeout(10)),
    /timeout/,
  );
  const waiting = own.find(() => true);
  own.close();
  await assert.rejects(waiting, /capture was closed/);
  assert.throws(() => capture(near, "nix"), /Cannot capture packets on "nix": there is no link "nix" \(ENODEV\)/);
});
