import assert from "node:assert/strict";
import { addVeth, formatPrefix, type Network, prefix, refused, routesIn, worldTest } from "./network.ts";

export function addressContract(network: Network): void {
  worldTest(network, "addresses are set, set again, listed and deleted", ({ route }) => {
    addVeth(route, "10.0.0.1/24", "fd00::1/64");
    route.addrs.set({ link: "v0", prefix: prefix("10.0.0.1/24") });
    route.addrs.set({ link: "v0", prefix: prefix("fd00::1/64") });
    const list = (): string[] => route.addrs.list("v0").map((a) => `${formatPrefix(a.prefix)} ${a.noDad ?? true}`);
    assert.deepEqual(list(), ["10.0.0.1/24 true", "fd00::1/64 true"]);
    assert.deepEqual(route.addrs.list("v1"), []);
    route.addrs.del({ link: "v0", prefix: prefix("10.0.0.1/24") });
    route.addrs.del({ link: "v0", prefix: prefix("10.0.0.1/24") });
    route.addrs.del({ link: "v0", prefix: prefix("fd00::1/64") });
    route.addrs.del({ link: "nix", prefix: prefix("fd00::1/64") });
    assert.deepEqual(list(), []);
    route.addrs.set({ link: "v0", prefix: prefix("fd00::1/64"), noDad: false });
    assert.deepEqual(list(), ["fd00::1/64 false"]);
    refused(() => route.addrs.list("nix"), "ENODEV");
    refused(() => route.addrs.set({ link: "nix", prefix: prefix("10.0.0.1/24") }), "ENODEV", /address 10\.0\.0\.1\/24 on "nix"/);
  });

  worldTest(network, "an address brings a local route, and a subnet while its link is up", ({ route }) => {
    route.links.add({ name: "v0", type: { kind: "veth", peer: { name: "v1" } } });
    for (const name of ["v0", "v1"]) route.links.change(name, { addrGenModeNone: true });
    route.addrs.set({ link: "v0", prefix: prefix("10.0.0.1/24") });
    route.addrs.set({ link: "v0", prefix: prefix("10.0.9.1/32") });
    assert.deepEqual(routesIn(route), []);
    assert.deepEqual(routesIn(route, 255), [
      "local 10.0.0.1/32 dev v0 src 10.0.0.1 table 255 proto 2 scope host",
      "local 10.0.9.1/32 dev v0 src 10.0.9.1 table 255 proto 2 scope host",
    ]);
    for (const name of ["v0", "v1"]) route.links.change(name, { up: true });
    route.addrs.set({ link: "v0", prefix: prefix("fd00::1/64") });
    assert.deepEqual(routesIn(route), ["10.0.0.0/24 dev v0 src 10.0.0.1 proto 2 scope link", "fd00::/64 dev v0 metric 256 proto 2"]);
  });

  worldTest(network, "a link that goes down keeps its IPv4 addresses and loses those of IPv6", ({ route }) => {
    addVeth(route, "10.0.0.1/24", "fd00::1/64");
    route.links.change("v0", { up: false });
    assert.deepEqual(
      route.addrs.list("v0").map((a) => formatPrefix(a.prefix)),
      ["10.0.0.1/24"],
    );
    assert.deepEqual(routesIn(route), []);
    route.links.change("v0", { up: true });
    assert.deepEqual(routesIn(route), ["10.0.0.0/24 dev v0 src 10.0.0.1 proto 2 scope link"]);
  });
}
