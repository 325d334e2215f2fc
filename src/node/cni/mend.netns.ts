// What the node knows of its pods, when somebody changes it.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { silentLogger } from "#base";
import { formatAddr, formatMac, parseAddr, parsePrefix } from "#ip";
import { openIpam } from "#ipam";
import { netns, openRoute } from "#linux";
import { hostLinkName } from "./compile.ts";
import { BRIDGE, createPodNetwork } from "./index.ts";

test("a neighbour or forwarding entry of a pod that somebody deletes or changes is as it was at once; others' stay", async (t) => {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-cni-`);
  const ns = netns.createAnonymous();
  const [route, stranger] = [openRoute(ns), openRoute(ns)];
  const ipam = openIpam({ dir, podCidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"].map((text) => parsePrefix(text)), logger: silentLogger });
  const network = createPodNetwork({ node: { ns, route }, openRoute, ipam, mtu: () => 1450, logger: silentLogger });
  const pods = ["a", "b"].map((containerId) => ({ containerId, ifName: "eth0", netns: netns.createAnonymous() }));
  t.after(() => {
    network.stop();
    for (const each of [route, stranger, ns, ...pods.map((pod) => pod.netns)]) each.close();
    rmSync(dir, { recursive: true, force: true });
  });
  for (const pod of pods) network.add(pod);
  const ports = pods.map((pod) => hostLinkName(pod));
  const state = (): string => {
    const neighs = stranger.neighs.list(BRIDGE).filter((neigh) => neigh.state === "permanent");
    const texts = neighs.map(({ addr, mac }) => `${formatAddr(addr)} ${mac && formatMac(mac)}`).sort();
    return [...texts, ...ports.map((port) => stranger.fdb.list(port).length)].join("\n");
  };
  const foreign = parseAddr("10.244.1.200");
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
  stranger.neighs.set({ link: BRIDGE, addr: foreign, mac, state: "permanent" });
  const before = state();
  const [port = assert.fail()] = ports;
  const [addr = assert.fail()] = network.addrs(pods[0] ?? assert.fail());
  const own = stranger.neighs.list(BRIDGE).find((neigh) => formatAddr(neigh.addr) === formatAddr(addr))?.mac ?? assert.fail();
  const spoils: (() => void)[] = [
    () => stranger.neighs.del({ link: BRIDGE, addr }),
    () => stranger.neighs.set({ link: BRIDGE, addr, mac, state: "permanent" }),
    () => stranger.neighs.set({ link: BRIDGE, addr, mac, state: "reachable" }),
    () => {
      for (const pod of pods) for (const each of network.addrs(pod)) stranger.neighs.del({ link: BRIDGE, addr: each });
    },
    () => stranger.fdb.del({ link: port, mac: own }),
  ];
  for (const spoil of spoils) {
    spoil();
    while (state() !== before) await sleep(10);
  }
  // What has gone by our own doing does not come back with the others.
  const [, gone = assert.fail()] = pods;
  const goneAddrs = network.addrs(gone).map((each) => formatAddr(each));
  network.del(gone);
  stranger.neighs.del({ link: BRIDGE, addr });
  const known = (): string[] => stranger.neighs.list(BRIDGE).map((neigh) => formatAddr(neigh.addr));
  while (!known().includes(formatAddr(addr))) await sleep(10);
  assert.deepEqual(
    known().filter((each) => goneAddrs.includes(each)),
    [],
  );
});
