import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, test } from "node:test";
import { formatAddr, parseAddr } from "#ip";
import { listenFd, listListeners, netns, netnsIds, openConntrack, openRoute, type SocketOwner, socketOwners, udpFd } from "./index.ts";
import { procAddr } from "./listeners.ts";
import { twoNamespaces } from "./testing/two-namespaces.ts";

const both = twoNamespaces();
const { near, far } = both;
after(() => both.close());

test("listening sockets with their addresses, families and processes", async () => {
  const tcp = createServer().listen({ fd: listenFd(far, parseAddr("10.9.0.2"), 8080) });
  const udp = createSocket("udp6");
  udp.bind({ fd: udpFd(far, parseAddr("::"), 5353) });
  const connected = createSocket("udp4");
  connected.bind({ fd: udpFd(far, parseAddr("0.0.0.0"), 5354) });
  connected.connect(9, "10.9.0.1");
  await once(connected, "connect");
  const listeners = listListeners(far);
  assert.deepEqual(
    listeners.map(({ protocol, port, addr, family }) => [protocol, port, addr && formatAddr(addr), family]),
    [
      [6, 8080, "10.9.0.2", undefined],
      [17, 5353, undefined, 6],
    ],
  );
  assert.deepEqual([listeners[0]?.queued, listeners[0]?.backlog], [0, 511]);
  const inodes = new Set(listeners.map(({ inode }) => inode));
  // This process holds sockets of a namespace that it is not in itself.
  using own = netns.current();
  assert.equal(ownersAmong(inodes, far.inode).size, 0);
  const owners = ownersAmong(inodes, own.inode);
  assert.deepEqual(
    listeners.map(({ inode }) => owners.get(inode)?.pid),
    [process.pid, process.pid],
  );
  assert.deepEqual(owners.get(listeners[0]?.inode ?? 0)?.args[0], process.argv0);
  assert.deepEqual(listListeners(near), []);
  for (const one of [tcp, udp, connected]) one.close();
});

function ownersAmong(inodes: ReadonlySet<number>, namespace: number): Map<number, SocketOwner> {
  const steps = socketOwners(inodes, new Set([namespace]));
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

test("addresses of /proc/net", () => {
  assert.equal(formatAddr(procAddr("0100007F")), "127.0.0.1");
  assert.equal(formatAddr(procAddr("0000000000000000FFFF00000100007F")), "::ffff:127.0.0.1");
});

test("a veth says where its other end is", () => {
  using other = netns.createAnonymous();
  const route = openRoute(near);
  const peers = route.links.list().filter(({ kind }) => kind === "veth");
  route.close();
  const ids = netnsIds(near, [far, other, near]);
  assert.deepEqual(
    peers.map(({ peerNetnsId }) => ids.get(peerNetnsId ?? -1)),
    peers.map(() => far),
  );
  assert.ok(peers.length > 0);
});

test("connections are counted where there are none", () => {
  const conntrack = openConntrack(near);
  assert.equal(conntrack.use().count, 0);
  conntrack.close();
});
