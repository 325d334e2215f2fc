import assert from "node:assert/strict";
import { test } from "node:test";
import { macOfAddr, parseAddr, parseMac, parsePrefix } from "#ip";
import type { Link, NewLink } from "#linux";
import { hostGw, vxlan } from "./compile.ts";
import { diffOverlay, type Observed } from "./diff.ts";
import { formatStep } from "./format.ts";
import type { LocalNode, OverlayState, PeerNode } from "./types.ts";

const LOCAL: LocalNode = {
  name: "node-1",
  addrs: [parseAddr("172.18.0.11")],
  podCidrs: [parsePrefix("10.244.1.0/24")],
  underlay: { link: "eth0", mtu: 1500, onLink: [parsePrefix("172.18.0.0/16")] },
};

function peer(n: number, mac = `02:66:ac:12:00:0${n}`): PeerNode {
  return {
    name: `node-${n}`,
    addrs: [parseAddr(`172.18.0.1${n}`)],
    podCidrs: [parsePrefix(`10.244.${n}.0/24`)],
    vtepMac: parseMac(mac),
  };
}

/** What the kernel shows after `state` was applied: links have an index, IPv6 routes a metric. */
function kernelOf(state: OverlayState): Observed {
  return { ...state, links: state.links.map(linkOf), routes: state.routes.map((route) => ({ ...route, table: 254, metric: 1024 })) };
}

function linkOf(link: NewLink): Link {
  const { type } = link;
  return {
    index: 5,
    name: link.name,
    kind: type.kind,
    mac: link.mac,
    mtu: link.mtu ?? 1500,
    up: link.up ?? false,
    operState: "unknown",
    masterIndex: undefined,
    peerIndex: undefined,
    ...(type.kind === "vxlan" ? { vxlan: { vni: type.vni, port: type.port, local: type.local, learning: type.learning } } : {}),
    stats: { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 },
  };
}

const NOTHING: Observed = { links: [], addrs: [], routes: [], neighs: [], fdb: [] };
const stateOf = (...peers: PeerNode[]): OverlayState => vxlan.compile(LOCAL, peers).state;
const steps = (actual: Observed, desired: OverlayState): string[] => diffOverlay(actual, desired).map(formatStep);

test("from nothing: the device, then neighbours, and routes last", () => {
  assert.deepEqual(steps(NOTHING, stateOf(peer(2))), [
    "add link fairlead.vx type vxlan id 1 dstport 8472 local 172.18.0.11 nolearning address 02:66:ac:12:00:0b mtu 1450",
    "set addr 10.244.1.1/32 dev fairlead.vx",
    "set fdb 02:66:ac:12:00:02 dst 172.18.0.12 dev fairlead.vx",
    "set neigh 10.244.2.1 lladdr 02:66:ac:12:00:02 dev fairlead.vx permanent",
    "set route 10.244.2.0/24 via 10.244.2.1 dev fairlead.vx onlink proto 200",
  ]);
});

test("nothing to do is nothing done", () => {
  assert.deepEqual(steps(kernelOf(stateOf(peer(2), peer(3))), stateOf(peer(2), peer(3))), []);
});

test("a node that is gone: its route first, then its neighbour and its FDB entry", () => {
  assert.deepEqual(steps(kernelOf(stateOf(peer(2), peer(3))), stateOf(peer(2))), [
    "del route 10.244.3.0/24 via 10.244.3.1 dev fairlead.vx onlink proto 200",
    "del neigh 10.244.3.1 lladdr 02:66:ac:12:00:03 dev fairlead.vx permanent",
    "del fdb 02:66:ac:12:00:03 dst 172.18.0.13 dev fairlead.vx",
  ]);
});

test("a peer with another MAC: neighbour and FDB entry are both rewritten, the route stays", () => {
  assert.deepEqual(steps(kernelOf(stateOf(peer(2))), stateOf(peer(2, "02:66:00:00:00:99"))), [
    "set fdb 02:66:00:00:00:99 dst 172.18.0.12 dev fairlead.vx",
    "set neigh 10.244.2.1 lladdr 02:66:00:00:00:99 dev fairlead.vx permanent",
    "del fdb 02:66:ac:12:00:02 dst 172.18.0.12 dev fairlead.vx",
  ]);
});

test("a peer with another address keeps everything but the FDB entry's destination", () => {
  const moved = { ...peer(2), addrs: [parseAddr("172.18.0.77")] };
  assert.deepEqual(steps(kernelOf(stateOf(peer(2))), stateOf(moved)), ["set fdb 02:66:ac:12:00:02 dst 172.18.0.77 dev fairlead.vx"]);
});

test("a device with attributes that cannot change is made again, with everything on it", () => {
  const state = stateOf(peer(2));
  const actual = kernelOf(state);
  for (const wrong of [{ vni: 7 }, { port: 4789 }, { learning: true }, { local: parseAddr("172.18.0.99") }]) {
    const links = actual.links.map((link) => (link.vxlan === undefined ? link : { ...link, vxlan: { ...link.vxlan, ...wrong } }));
    assert.deepEqual(steps({ ...actual, links }, state), ["del link fairlead.vx", ...steps(NOTHING, state)]);
  }
  const links = actual.links.map((link) => ({ ...link, kind: "bridge" }));
  assert.equal(steps({ ...actual, links }, state)[0], "del link fairlead.vx");
});

test("MTU, MAC and being up change in place", () => {
  const state = stateOf(peer(2));
  const actual = kernelOf(state);
  for (const wrong of [{ mtu: 1400 }, { mac: macOfAddr(parseAddr("9.9.9.9"), 1) }, { up: false }]) {
    const links = actual.links.map((link) => ({ ...link, ...wrong }));
    assert.deepEqual(steps({ ...actual, links }, state), [
      "change link fairlead.vx type vxlan id 1 dstport 8472 local 172.18.0.11 nolearning address 02:66:ac:12:00:0b mtu 1450",
    ]);
  }
});

test("another backend removes what the first one had", () => {
  const before = stateOf(peer(2));
  const after = hostGw.compile(LOCAL, [peer(2)]).state;
  assert.deepEqual(steps(kernelOf(before), after), ["del link fairlead.vx", "set route 10.244.2.0/24 via 172.18.0.12 dev eth0 proto 200"]);
  assert.deepEqual(steps(kernelOf(after), before), steps(NOTHING, before));
});
