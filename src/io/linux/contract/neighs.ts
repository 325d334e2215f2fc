import assert from "node:assert/strict";
import { addr, addVeth, formatAddr, formatMac, mac, type Network, refused, type World, worldTest } from "./network.ts";

const MAC = mac("02:00:00:00:01:01");
const MAC2 = mac("02:00:00:00:01:02");

function neighs(route: World["route"], link: string): string[] {
  return route.neighs
    .list(link)
    .filter((n) => n.state !== "noarp")
    .map((n) => `${formatAddr(n.addr)} ${n.proxy === true ? "proxy" : `${n.mac && formatMac(n.mac)} ${n.state}`}`)
    .sort();
}

function fdb(route: World["route"], link: string): string[] {
  return route.fdb
    .list(link)
    .filter((entry) => entry.dst !== undefined)
    .map((entry) => `${formatMac(entry.mac)} ${entry.dst && formatAddr(entry.dst)} ${entry.permanent}`)
    .sort();
}

export function neighContract(network: Network): void {
  worldTest(network, "neighbours and proxy entries of both families", ({ route }) => {
    addVeth(route, "10.0.0.1/24", "fd00::1/64");
    route.neighs.set({ link: "v0", addr: addr("10.0.0.2"), mac: MAC });
    route.neighs.set({ link: "v0", addr: addr("10.0.0.2"), mac: MAC2 });
    route.neighs.set({ link: "v0", addr: addr("fd00::2"), mac: MAC, state: "reachable" });
    route.neighs.set({ link: "v0", addr: addr("10.0.0.3"), proxy: true });
    route.neighs.set({ link: "v0", addr: addr("fd00::3"), proxy: true });
    assert.deepEqual(neighs(route, "v0"), [
      "10.0.0.2 02:00:00:00:01:02 permanent",
      "10.0.0.3 proxy",
      "fd00::2 02:00:00:00:01:01 reachable",
      "fd00::3 proxy",
    ]);
    assert.deepEqual(neighs(route, "v1"), []);
    refused(() => route.neighs.set({ link: "v0", addr: addr("10.0.0.9") }), "EINVAL", /No link layer address given/);
    refused(() => route.neighs.set({ link: "nix", addr: addr("10.0.0.9"), mac: MAC }), "ENODEV", /neighbour 10\.0\.0\.9 on "nix"/);
    for (const neigh of [{ addr: addr("10.0.0.2") }, { addr: addr("fd00::3"), proxy: true }, { addr: addr("10.0.0.77") }]) {
      route.neighs.del({ link: "v0", ...neigh });
    }
    route.neighs.del({ link: "nix", addr: addr("10.0.0.2") });
    assert.deepEqual(neighs(route, "v0"), ["10.0.0.3 proxy", "fd00::2 02:00:00:00:01:01 reachable"]);
    route.links.change("v0", { up: false });
    assert.deepEqual(neighs(route, "v0"), []);
  });

  worldTest(network, "many neighbours at once", ({ route }) => {
    addVeth(route, "10.0.0.1/24");
    route.neighs.setMany([2, 3, 4].map((n) => ({ link: "v0", addr: addr(`10.0.0.${n}`), mac: MAC })));
    assert.equal(neighs(route, "v0").length, 3);
    refused(() => route.neighs.setMany([{ link: "nix", addr: addr("10.0.0.9"), mac: MAC }]), "ENODEV");
  });
}

export function fdbContract(network: Network): void {
  worldTest(network, "forwarding entries of a vxlan device", ({ route }) => {
    addVeth(route, "10.0.0.1/24");
    route.links.add({ name: "vx0", type: { kind: "vxlan", vni: 1, port: 8472, learning: false, local: addr("10.0.0.1") }, up: true });
    route.fdb.set({ link: "vx0", mac: MAC, dst: addr("10.0.0.2") });
    route.fdb.set({ link: "vx0", mac: MAC, dst: addr("10.0.0.3") });
    const zero = mac("00:00:00:00:00:00");
    for (const last of [2, 3, 3]) route.fdb.set({ link: "vx0", mac: zero, dst: addr(`10.0.0.${last}`) });
    assert.deepEqual(fdb(route, "vx0"), [
      "00:00:00:00:00:00 10.0.0.2 true",
      "00:00:00:00:00:00 10.0.0.3 true",
      "02:00:00:00:01:01 10.0.0.3 true",
    ]);
    route.fdb.del({ link: "vx0", mac: MAC, dst: addr("10.0.0.2") });
    assert.equal(fdb(route, "vx0").length, 3, "another destination is another entry");
    route.fdb.del({ link: "vx0", mac: MAC });
    route.fdb.del({ link: "vx0", mac: MAC });
    route.fdb.del({ link: "vx0", mac: zero, dst: addr("10.0.0.2") });
    assert.deepEqual(fdb(route, "vx0"), ["00:00:00:00:00:00 10.0.0.3 true"]);
    route.fdb.setMany([{ link: "vx0", mac: MAC2, dst: addr("10.0.0.4") }]);
    assert.equal(fdb(route, "vx0").length, 2);
    refused(() => route.fdb.set({ link: "vx0", mac: MAC, dst: addr("fd00::2") }), "EAFNOSUPPORT");
    refused(() => route.fdb.list("nix"), "ENODEV");
    route.fdb.del({ link: "nix", mac: MAC });
  });

  worldTest(network, "forwarding entries of a bridge's port", ({ route }) => {
    addVeth(route);
    route.links.add({ name: "br0", type: { kind: "bridge" }, up: true });
    route.links.change("v0", { master: "br0" });
    route.fdb.set({ link: "v0", mac: MAC });
    const has = (): boolean => route.fdb.list("v0").some((entry) => formatMac(entry.mac) === formatMac(MAC));
    assert.equal(has(), true);
    route.fdb.del({ link: "v0", mac: MAC });
    assert.equal(has(), false);
  });
}
