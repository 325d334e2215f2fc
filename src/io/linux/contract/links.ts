import assert from "node:assert/strict";
import { addOrSkip, addr, addVeth, formatMac, mac, type Network, prefix, refused, worldTest } from "./network.ts";

export function linkContract(network: Network): void {
  worldTest(network, "a fresh namespace has a loopback that is down", ({ route }) => {
    assert.deepEqual(
      route.links.list().map(({ name, up, kind, mtu }) => ({ name, up, kind, mtu })),
      [{ name: "lo", up: false, kind: "", mtu: 65_536 }],
    );
    route.links.change("lo", { up: true });
    assert.equal(route.addrs.list("lo").length, 2);
    refused(() => route.links.del("lo"), "EOPNOTSUPP", /Cannot delete link "lo"/);
  });

  worldTest(network, "a veth pair is made and deleted as one", ({ route }) => {
    const ends = { name: "a", mac: mac("02:00:00:00:00:0a"), mtu: 1400, type: { kind: "veth", peer: { name: "b", mtu: 1300 } } } as const;
    route.links.add(ends);
    const [a, b] = [route.links.get("a"), route.links.get("b")];
    assert.deepEqual([a?.kind, a?.mtu, a?.up, b?.mtu], ["veth", 1400, false, 1300]);
    assert.equal(a?.mac && formatMac(a.mac), "02:00:00:00:00:0a");
    assert.deepEqual([a?.peerIndex, b?.peerIndex], [b?.index, a?.index]);
    refused(() => route.links.add(ends), "EEXIST", /Cannot add link "a" \(veth\)/);
    refused(() => route.links.add({ name: "c", type: { kind: "veth", peer: { name: "b" } } }), "EEXIST");
    assert.equal(route.links.get("c"), undefined);
    route.links.del("b");
    assert.equal(route.links.get("a"), undefined);
    route.links.del("b");
  });

  worldTest(network, "the other end in another namespace", ({ route, other, otherRoute }) => {
    route.links.add({
      name: "pod0",
      type: { kind: "veth", peer: { name: "eth0", netns: other, mac: mac("02:00:00:00:00:0b") } },
      up: true,
    });
    const eth0 = otherRoute.links.get("eth0");
    assert.equal(eth0?.mac && formatMac(eth0.mac), "02:00:00:00:00:0b");
    assert.equal(route.links.get("pod0")?.peerIndex, eth0?.index);
    assert.equal(route.links.get("eth0"), undefined);
    route.links.del("pod0");
    assert.equal(otherRoute.links.get("eth0"), undefined);
  });
}

export function bridgeContract(network: Network): void {
  worldTest(network, "ports of a bridge, and their flags", ({ route }) => {
    addVeth(route);
    route.links.add({ name: "cni0", type: { kind: "bridge" }, mac: mac("02:00:00:00:00:01"), up: true });
    refused(() => route.links.change("v0", { bridgePort: { isolated: true } }), "EOPNOTSUPP", /Cannot change bridge port "v0"/);
    route.links.change("v0", { master: "cni0", bridgePort: { isolated: true, hairpin: true, learning: false } });
    const bridge = route.links.get("cni0");
    const port = route.links.get("v0");
    assert.equal(bridge?.mac && formatMac(bridge.mac), "02:00:00:00:00:01");
    assert.equal(port?.masterIndex, bridge?.index);
    assert.deepEqual(port?.bridgePort, { isolated: true, hairpin: true, learning: false, proxyArp: false });
    route.links.change("v0", { bridgePort: { hairpin: false, proxyArp: true } });
    assert.deepEqual(route.links.get("v0")?.bridgePort, { isolated: true, hairpin: false, learning: false, proxyArp: true });
    route.links.change("v0", { master: null });
    assert.equal(route.links.get("v0")?.masterIndex, undefined);
    refused(() => route.links.change("v0", { master: "v1" }), "EOPNOTSUPP");
    refused(() => route.links.change("v0", { master: "nix" }), "ENODEV", /there is no link "nix"/);
    route.links.add({ name: "br1", type: { kind: "bridge" } });
    refused(() => route.links.change("br1", { master: "cni0" }), "ELOOP");
    route.links.change("v0", { master: "cni0" });
    route.links.del("cni0");
    assert.equal(route.links.get("v0")?.masterIndex, undefined);
  });

  worldTest(network, "a link is added right into a bridge", ({ route }) => {
    route.links.add({ name: "br0", type: { kind: "bridge" }, up: true });
    route.links.add({ name: "p0", type: { kind: "veth", peer: { name: "p1" } }, master: "br0", up: true });
    assert.equal(route.links.get("p0")?.masterIndex, route.links.get("br0")?.index);
    assert.equal(route.links.get("p0")?.up, true);
    refused(() => route.links.add({ name: "p2", type: { kind: "bridge" }, master: "nix" }), "ENODEV");
    assert.equal(route.links.get("p2"), undefined);
  });
}

export function linkChangeContract(network: Network): void {
  worldTest(network, "links are renamed and moved; a moved one is down and has lost its addresses", ({ route, other, otherRoute }) => {
    addVeth(route, "10.0.0.1/24");
    route.routes.set({ dst: prefix("10.1.0.0/24"), nextHops: [{ via: addr("10.0.0.2") }] });
    // A link that is down: before Linux 6.2 others were not renamed at all (EBUSY).
    route.links.add({ name: "br0", type: { kind: "bridge" } });
    refused(() => route.links.change("br0", { name: "v1" }), "EEXIST");
    route.links.change("v0", { netns: other, name: "eth0" });
    assert.equal(route.links.get("v0"), undefined);
    assert.deepEqual(route.addrs.list(), []);
    assert.deepEqual(route.routes.list({ table: 254, family: 4 }), []);
    assert.equal(otherRoute.links.get("eth0")?.up, false);
    assert.deepEqual(otherRoute.addrs.list(), []);
    assert.equal(otherRoute.links.get("eth0")?.peerIndex, route.links.get("v1")?.index);
    otherRoute.links.change("eth0", { name: "eth1" });
    assert.equal(otherRoute.links.get("eth0"), undefined);
    refused(() => route.links.change("br0", { netns: other }), "EINVAL");
  });

  worldTest(network, "values that a link cannot have", ({ route }) => {
    addVeth(route);
    refused(() => route.links.change("v0", { mtu: 10 }), "EINVAL", /mtu less than device minimum/);
    refused(() => route.links.change("v0", { mtu: 100_000 }), "EINVAL", /mtu greater than device maximum/);
    refused(() => route.links.change("v0", { mac: mac("01:00:00:00:00:01") }), "EADDRNOTAVAIL");
    refused(() => route.links.change("nix", { up: true }), "ENODEV", /Cannot change link "nix": there is no link "nix"/);
    for (const name of ["a/b", "", "a b", "sixteen-bytes-16"]) {
      refused(() => route.links.add({ name, type: { kind: "bridge" } }), "EINVAL", /is not a link name/);
    }
    assert.equal(route.links.get("sixteen-bytes-16"), undefined);
    assert.equal(route.links.get("v0")?.mtu, 1500);
  });
}

export function linkKindContract(network: Network): void {
  worldTest(network, "vxlan over IPv4 and IPv6", ({ route }) => {
    addVeth(route, "10.0.0.1/24");
    const four = { kind: "vxlan", vni: 1, port: 8472, learning: false, local: addr("10.0.0.1"), device: "v0" } as const;
    route.links.add({ name: "vx4", type: four, mac: mac("02:00:00:00:00:04"), up: true });
    const vx4 = route.links.get("vx4");
    assert.deepEqual(vx4?.vxlan, { vni: 1, port: 8472, learning: false, local: addr("10.0.0.1") });
    assert.equal(vx4?.mtu, 1450);
    assert.equal(vx4?.parentIndex, route.links.get("v0")?.index);
    route.links.add({ name: "vx6", type: { kind: "vxlan", vni: 2, port: 4789, learning: true, local: addr("fd00::1") }, mtu: 1430 });
    const vx6 = route.links.get("vx6");
    assert.deepEqual(vx6?.vxlan, { vni: 2, port: 4789, learning: true, local: addr("fd00::1") });
    assert.equal(vx6?.mtu, 1430);
    refused(() => route.links.add({ name: "vx5", type: four }), "EEXIST", /Cannot add link "vx5" \(vxlan\)/);
    refused(() => route.links.add({ name: "vx5", type: { ...four, vni: 1 << 24 } }), "ERANGE");
    refused(() => route.links.add({ name: "vx5", type: { ...four, vni: 5, device: "nix" } }), "ENODEV", /there is no link "nix"/);
  });
}

export function moreLinkKindContract(network: Network): void {
  worldTest(network, "macvlan", ({ route, t }) => {
    addVeth(route);
    if (!addOrSkip(t, route, { name: "mv0", type: { kind: "macvlan", parent: "v0", mode: "bridge" } })) return;
    const link = route.links.get("mv0");
    assert.deepEqual([link?.kind, link?.parentIndex], ["macvlan", route.links.get("v0")?.index]);
    refused(() => route.links.add({ name: "mv1", type: { kind: "macvlan", parent: "nix", mode: "bridge" } }), "ENODEV");
    route.links.del("v0");
    assert.equal(route.links.get("mv0"), undefined);
  });

  worldTest(network, "vlan", ({ route, t }) => {
    addVeth(route);
    if (!addOrSkip(t, route, { name: "v0.7", type: { kind: "vlan", parent: "v0", id: 7 } })) return;
    assert.equal(route.links.get("v0.7")?.kind, "vlan");
  });

  worldTest(network, "dummy", ({ route, t }) => {
    if (!addOrSkip(t, route, { name: "d0", type: { kind: "dummy" }, up: true })) return;
    assert.deepEqual([route.links.get("d0")?.kind, route.links.get("d0")?.operState], ["dummy", "unknown"]);
  });

  worldTest(network, "tun and tap stay when nobody has them open", ({ route, t }) => {
    route.links.add({ name: "br0", type: { kind: "bridge" } });
    if (!addOrSkip(t, route, { name: "tun0", type: { kind: "tun", mode: "tun" }, mtu: 1420, up: true })) return;
    route.links.add({ name: "tap0", type: { kind: "tun", mode: "tap" }, mac: mac("02:00:00:00:00:09"), master: "br0" });
    const [tun, tap] = [route.links.get("tun0"), route.links.get("tap0")];
    assert.deepEqual([tun?.kind, tun?.mtu, tun?.up, tun?.mac], ["tun", 1420, true, undefined]);
    assert.equal(tap?.mac && formatMac(tap.mac), "02:00:00:00:00:09");
    refused(() => route.links.add({ name: "tun0", type: { kind: "tun", mode: "tun" } }), "EEXIST");
    refused(() => route.links.add({ name: "tap1", type: { kind: "tun", mode: "tap" }, master: "nix" }), "ENODEV");
    assert.equal(route.links.get("tap1"), undefined);
    route.links.del("tun0");
    assert.equal(route.links.get("tun0"), undefined);
  });
}
