import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addrPlus, maskPrefix, type Prefix, parseAddr, parseMac, parsePrefix, prefixOverlaps } from "#ip";
import { Claims } from "./claims.ts";
import { hostGw, vxlan } from "./compile.ts";
import { formatOverlay } from "./format.ts";
import type { LocalNode, OverlayBackend, PeerNode } from "./types.ts";

function local(over: { addrs?: string[]; podCidrs?: string[]; mtu?: number } = {}): LocalNode {
  return {
    name: "node-1",
    addrs: (over.addrs ?? ["172.18.0.11", "fd00:18::11"]).map((text) => parseAddr(text)),
    podCidrs: (over.podCidrs ?? ["10.244.1.0/24", "fd00:10:244:1::/64"]).map((text) => parsePrefix(text)),
    underlay: { link: "eth0", mtu: over.mtu ?? 1500, onLink: [parsePrefix("172.18.0.0/16"), parsePrefix("fd00:18::/64")] },
  };
}

function peer(n: number, over: { addrs?: string[]; podCidrs?: string[]; mac?: string } = {}): PeerNode {
  return {
    name: `node-${n}`,
    addrs: (over.addrs ?? [`172.18.0.1${n}`, `fd00:18::1${n}`]).map((text) => parseAddr(text)),
    podCidrs: (over.podCidrs ?? [`10.244.${n}.0/24`, `fd00:10:244:${n}::/64`]).map((text) => parsePrefix(text)),
    ...(over.mac === "" ? {} : { vtepMac: parseMac(over.mac ?? `02:66:ac:12:00:0${n}`) }),
  };
}

function compiled(backend: OverlayBackend, node: LocalNode, ...peers: PeerNode[]): { text: string[]; problems: string[] } {
  const { state, problems } = backend.compile(node, peers);
  return {
    text: formatOverlay(state).split("\n").filter(Boolean),
    problems: problems.map((problem) => `${problem.reason}: ${problem.message}`),
  };
}

test("vxlan, dual stack: per peer one FDB entry, per Pod CIDR one neighbour and one route", () => {
  assert.deepEqual(compiled(vxlan, local(), peer(2), peer(3)), {
    text: [
      "link fairlead.vx type vxlan id 1 dstport 8472 local 172.18.0.11 nolearning address 02:66:ac:12:00:0b mtu 1450",
      "addr 10.244.1.1/32 dev fairlead.vx",
      "addr fd00:10:244:1::1/128 dev fairlead.vx",
      "fdb 02:66:ac:12:00:02 dst 172.18.0.12 dev fairlead.vx",
      "fdb 02:66:ac:12:00:03 dst 172.18.0.13 dev fairlead.vx",
      "neigh 10.244.2.1 lladdr 02:66:ac:12:00:02 dev fairlead.vx permanent",
      "neigh fe80::66:acff:fe12:2 lladdr 02:66:ac:12:00:02 dev fairlead.vx permanent",
      "neigh 10.244.3.1 lladdr 02:66:ac:12:00:03 dev fairlead.vx permanent",
      "neigh fe80::66:acff:fe12:3 lladdr 02:66:ac:12:00:03 dev fairlead.vx permanent",
      "route 10.244.2.0/24 via 10.244.2.1 dev fairlead.vx onlink proto 200",
      "route fd00:10:244:2::/64 via fe80::66:acff:fe12:2 dev fairlead.vx proto 200",
      "route 10.244.3.0/24 via 10.244.3.1 dev fairlead.vx onlink proto 200",
      "route fd00:10:244:3::/64 via fe80::66:acff:fe12:3 dev fairlead.vx proto 200",
    ],
    problems: [],
  });
});

test("vxlan over an IPv6 underlay: 70 bytes, and both families of pods still travel", () => {
  const { text } = compiled(vxlan, local({ addrs: ["fd00:18::11"], mtu: 9000 }), peer(2, { addrs: ["fd00:18::12"] }));
  assert.match(text[0] ?? "", /^link fairlead\.vx type vxlan id 1 dstport 8472 local fd00:18::11 nolearning address 02:66:\S+ mtu 8930$/);
  assert.ok(text.includes("fdb 02:66:ac:12:00:02 dst fd00:18::12 dev fairlead.vx"));
  assert.ok(text.includes("route 10.244.2.0/24 via 10.244.2.1 dev fairlead.vx onlink proto 200"));
});

test("vxlan: a peer without a MAC or without Pod CIDRs is not there yet; one without an address of the underlay's family is a problem", () => {
  const node = local({ podCidrs: ["10.244.1.0/24"] });
  assert.equal(compiled(vxlan, node, peer(2, { mac: "" })).text.length, 2);
  assert.equal(compiled(vxlan, node, peer(2, { podCidrs: [] })).text.length, 3);
  assert.deepEqual(compiled(vxlan, node, peer(2, { addrs: ["fd00:18::12"] })).problems, [
    "NoUnderlayAddress: Node node-2 has no IPv4 address of type InternalIP, so its pods cannot be reached over IPv4",
  ]);
});

test("vxlan: two nodes with one MAC", () => {
  const { text, problems } = compiled(vxlan, local(), peer(2), peer(3, { mac: "02:66:ac:12:00:02" }));
  assert.equal(text.filter((line) => line.startsWith("fdb")).length, 1);
  assert.deepEqual(problems, ["DuplicateVtepMac: Nodes node-3 and node-2 publish the same vxlan MAC, so only node-2 is reached"]);
});

test("host-gw: one route per Pod CIDR, over the node address of its family", () => {
  assert.deepEqual(compiled(hostGw, local(), peer(2), peer(3, { podCidrs: ["10.244.3.0/24"] })), {
    text: [
      "route 10.244.2.0/24 via 172.18.0.12 dev eth0 proto 200",
      "route fd00:10:244:2::/64 via fd00:18::12 dev eth0 proto 200",
      "route 10.244.3.0/24 via 172.18.0.13 dev eth0 proto 200",
    ],
    problems: [],
  });
});

test("host-gw: a peer behind a router is refused with what to do, in each family by itself", () => {
  const { text, problems } = compiled(hostGw, local(), peer(2, { addrs: ["172.19.0.12", "fd00:18::12"] }));
  assert.deepEqual(text, ["route fd00:10:244:2::/64 via fd00:18::12 dev eth0 proto 200"]);
  assert.deepEqual(problems, [
    "PeerNotOnLink: Node node-2 (172.19.0.12) is not on-link at eth0 (172.18.0.0/16, fd00:18::/64), so host-gw cannot reach its pods; " +
      "put the nodes into one subnet or choose the overlay vxlan",
  ]);
});

test("overlaps are found as comparing all with all finds them", () => {
  const block = fc
    .record({ bits: fc.integer({ min: 20, max: 28 }), n: fc.nat(0xffff) })
    .map(({ bits, n }) => maskPrefix({ addr: addrPlus(parseAddr("10.244.0.0"), n), bits }));
  fc.assert(
    fc.property(fc.array(block, { maxLength: 40 }), (blocks) => {
      const claims = new Claims(blocks.map(({ bits }) => bits));
      const taken: Prefix[] = [];
      for (const podCidr of blocks) {
        const other = claims.overlapping(podCidr);
        assert.equal(
          other !== undefined,
          taken.some((one) => prefixOverlaps(one, podCidr)),
        );
        if (other !== undefined) assert.ok(prefixOverlaps(other.podCidr, podCidr));
        else {
          taken.push(podCidr);
          claims.add({ podCidr, node: "n" });
        }
      }
    }),
  );
});

test("of two nodes that claim the same addresses the earlier one keeps them, and nobody takes the local node's", () => {
  for (const backend of [vxlan, hostGw]) {
    const { text, problems } = compiled(
      backend,
      local(),
      peer(2, { podCidrs: ["10.244.2.0/24"] }),
      peer(3, { podCidrs: ["10.244.2.128/25"] }),
      peer(4, { podCidrs: ["10.244.0.0/16"] }),
    );
    assert.equal(text.filter((line) => line.startsWith("route")).length, 1);
    assert.deepEqual(problems, [
      "OverlappingPodCidr: Pod CIDR 10.244.2.128/25 of node node-3 overlaps 10.244.2.0/24 of node node-2, which keeps it",
      "OverlappingPodCidr: Pod CIDR 10.244.0.0/16 of node node-4 overlaps 10.244.1.0/24 of node node-1, which keeps it",
    ]);
  }
});
