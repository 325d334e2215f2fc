// Packets between two namespaces over the links that this room makes.
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { after, test } from "node:test";
import { formatAddr, parseAddr, parseMac, parsePrefix } from "#ip";
import { capture, type NetNs, netns, openRoute, type RouteSocket, udpFd } from "./index.ts";

interface Side {
  readonly ns: NetNs;
  readonly route: RouteSocket;
}

const closers: (() => void)[] = [];
after(() => {
  for (const close of closers.toReversed()) close();
});

function newSide(): Side {
  const ns = netns.createAnonymous();
  const route = openRoute(ns);
  closers.push(
    () => ns.close(),
    () => route.close(),
  );
  return { ns, route };
}

function udp(side: Side, address: string, port: number): Socket {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  // Errors of earlier packets (ICMP) are told here.
  socket.on("error", () => {});
  socket.bind({ fd: udpFd(side.ns, parseAddr(address), port) });
  closers.push(() => socket.close());
  return socket;
}

const PORT = 7;

/** Sends until an answer comes; false after `forMs`. */
async function exchange(client: Socket, to: string, forMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const onMessage = (): void => resolve(true);
  client.on("message", onMessage);
  // The first packets may be lost while neighbours are resolved and links come up.
  const send = (): void => client.send("ping", PORT, to, () => {});
  send();
  const again = setInterval(send, 50);
  const end = setTimeout(() => resolve(false), forMs);
  const answered = await promise;
  clearInterval(again);
  clearTimeout(end);
  client.off("message", onMessage);
  return answered;
}

function echo(side: Side, address: string): void {
  const server = udp(side, address, PORT);
  server.on("message", (message, from) => server.send(message, from.port, from.address, () => {}));
}

for (const [family, a, wrong, b, any] of [
  ["IPv4", "10.0.0.1/24", "10.7.0.1/24", "10.0.0.2/24", "0.0.0.0"],
  ["IPv6", "fd00::1/64", "fd07::1/64", "fd00::2/64", "::"],
] as const) {
  test(`UDP over a veth, ${family}: not while the link is down or in another subnet, then it is answered`, async () => {
    const [near, far] = [newSide(), newSide()];
    near.route.links.add({ name: "a", type: { kind: "veth", peer: { name: "b", netns: far.ns } } });
    near.route.addrs.set({ link: "a", prefix: parsePrefix(family === "IPv4" ? a : wrong) });
    near.route.links.change("a", { up: true });
    far.route.links.change("b", { up: true });
    far.route.addrs.set({ link: "b", prefix: parsePrefix(b) });
    const to = formatAddr(parsePrefix(b).addr);
    echo(far, any);
    const client = udp(near, any, 0);

    far.route.links.change("b", { up: false });
    assert.equal(await exchange(client, to, 150), false, "the link is down");
    far.route.links.change("b", { up: true });
    far.route.addrs.set({ link: "b", prefix: parsePrefix(b) });
    near.route.addrs.del({ link: "a", prefix: parsePrefix(a) });
    near.route.addrs.set({ link: "a", prefix: parsePrefix(wrong) });
    assert.equal(await exchange(client, to, 150), false, "the subnets differ");
    near.route.addrs.set({ link: "a", prefix: parsePrefix(a) });
    assert.equal(await exchange(client, to, 5000), true);
    const seen = near.route.neighs.list("a").some((n) => formatAddr(n.addr) === to && n.mac !== undefined);
    assert.ok(seen, "the neighbour was resolved");
    assert.ok((near.route.links.get("a")?.stats.rxPackets ?? 0) > 0);
  });
}

for (const [family, underlayA, underlayB] of [
  ["IPv4", "172.18.0.11", "172.18.0.12"],
  ["IPv6", "fd00:18::11", "fd00:18::12"],
] as const) {
  test(`vxlan over ${family}, one route, neighbour and forwarding entry per peer`, async () => {
    const [one, two] = [newSide(), newSide()];
    one.route.links.add({ name: "eth0", type: { kind: "veth", peer: { name: "eth0", netns: two.ns } } });
    const bits = family === "IPv4" ? 24 : 64;
    const sides = [
      { ...one, n: 1, own: underlayA, peer: underlayB },
      { ...two, n: 2, own: underlayB, peer: underlayA },
    ];
    for (const { route, n, own } of sides) {
      route.links.change("eth0", { up: true });
      route.addrs.set({ link: "eth0", prefix: parsePrefix(`${own}/${bits}`) });
      const type = { kind: "vxlan", vni: 1, port: 8472, learning: false, local: parseAddr(own), device: "eth0" } as const;
      route.links.add({ name: "vx", type, mac: parseMac(`02:00:00:00:01:0${n}`), up: true });
      route.addrs.set({ link: "vx", prefix: parsePrefix(`10.244.${n}.0/32`) });
    }
    for (const { route, n, peer } of sides) {
      const other = 3 - n;
      const mac = parseMac(`02:00:00:00:01:0${other}`);
      const vtep = parseAddr(`10.244.${other}.0`);
      route.fdb.set({ link: "vx", mac, dst: parseAddr(peer) });
      route.neighs.set({ link: "vx", addr: vtep, mac });
      route.routes.set({ dst: parsePrefix(`10.244.${other}.0/24`), nextHops: [{ via: vtep, link: "vx", onlink: true }], protocol: 200 });
    }
    using wire = capture(two.ns, "eth0");
    echo(two, "10.244.2.0");
    const client = udp(one, "10.244.1.0", 0);
    assert.equal(await exchange(client, "10.244.2.0", 5000), true);
    const header = 14 + (family === "IPv4" ? 20 : 40);
    const outer = await wire.find((p) => p.data.length > header + 16 && p.data[header + 2] === 0x21 && p.data[header + 3] === 0x18);
    assert.equal(outer.data[header + 8], 0x08, "the VNI flag (RFC 7348 section 5)");
    assert.deepEqual([...outer.data.subarray(header + 12, header + 15)], [0, 0, 1], "VNI 1");
  });
}

test("through a bridge: ports reach each other unless both are isolated", async () => {
  const [host, one, two] = [newSide(), newSide(), newSide()];
  host.route.links.add({ name: "br0", type: { kind: "bridge" }, up: true });
  for (const [i, side] of [one, two].entries()) {
    host.route.links.add({ name: `p${i}`, type: { kind: "veth", peer: { name: "eth0", netns: side.ns } }, master: "br0", up: true });
    side.route.links.change("eth0", { up: true });
    side.route.addrs.set({ link: "eth0", prefix: parsePrefix(`10.0.0.${i + 1}/24`) });
  }
  echo(two, "10.0.0.2");
  const client = udp(one, "10.0.0.1", 0);
  assert.equal(await exchange(client, "10.0.0.2", 5000), true);
  for (const port of ["p0", "p1"]) host.route.links.change(port, { bridgePort: { isolated: true } });
  assert.equal(await exchange(client, "10.0.0.2", 150), false);
});
