import assert from "node:assert/strict";
import { nthSubnet } from "#ip";
import type { Route } from "../types.ts";
import { addr, addVeth, formatRoute, type Network, prefix, refused, routesIn, worldTest } from "./network.ts";

/** Those of the kernel itself (protocol 2) left out. */
function ours(route: Parameters<typeof routesIn>[0], table = 254): string[] {
  return routesIn(route, table).filter((line) => !line.includes("proto 2 ") && !line.endsWith("proto 2"));
}

export function routeContract(network: Network): void {
  worldTest(network, "routes of every type come back as they were set", ({ route }) => {
    addVeth(route, "10.0.0.1/24", "fd00::1/64");
    const set = (r: Route): void => route.routes.set(r);
    set({ dst: prefix("10.1.0.0/24"), nextHops: [{ via: addr("10.0.0.2") }], protocol: 200 });
    set({ dst: prefix("10.2.0.7/24"), nextHops: [{ link: "v0" }], src: addr("10.0.0.1"), mtu: 1400, metric: 7 });
    set({ dst: prefix("10.3.0.0/24"), nextHops: [{ via: addr("10.9.9.9"), link: "v0", onlink: true }], protocol: 200 });
    set({
      dst: prefix("10.4.0.0/24"),
      nextHops: [
        { via: addr("10.0.0.2"), weight: 3 },
        { via: addr("10.0.0.3"), link: "v0" },
      ],
    });
    for (const type of ["blackhole", "unreachable", "prohibit"] as const) {
      set({ dst: prefix("10.5.0.0/24"), type, nextHops: [], table: 1000 });
      assert.deepEqual(ours(route, 1000), [`${type} 10.5.0.0/24 table 1000 proto 3`]);
    }
    set({ dst: prefix("0.0.0.0/0"), nextHops: [{ via: addr("10.0.0.254") }] });
    assert.deepEqual(ours(route), [
      "0.0.0.0/0 via 10.0.0.254 dev v0 proto 3",
      "10.1.0.0/24 via 10.0.0.2 dev v0 proto 200",
      "10.2.0.0/24 dev v0 src 10.0.0.1 mtu 1400 metric 7 proto 3 scope link",
      "10.3.0.0/24 via 10.9.9.9 dev v0 onlink proto 200",
      "10.4.0.0/24 via 10.0.0.2 dev v0 weight 3, via 10.0.0.3 dev v0 weight 1 proto 3",
    ]);
    assert.equal(route.routes.list({ protocol: 200, family: 4 }).length, 2);
    assert.deepEqual(route.routes.list({ table: 999 }), []);
  });

  worldTest(network, "IPv6 routes of every type come back as they were set", ({ route }) => {
    addVeth(route, "fd00::1/64");
    const set = (r: Route): void => route.routes.set(r);
    set({ dst: prefix("fd01::/64"), nextHops: [{ via: addr("fd00::2") }], protocol: 200 });
    set({ dst: prefix("fd02::/64"), nextHops: [{ link: "v0" }], mtu: 1400, metric: 7 });
    set({ dst: prefix("fd03::/64"), nextHops: [{ via: addr("fd99::9"), link: "v0", onlink: true }], protocol: 200 });
    set({
      dst: prefix("fd04::/64"),
      nextHops: [
        { via: addr("fd00::2"), weight: 3 },
        { via: addr("fd00::3"), link: "v0" },
      ],
    });
    set({ dst: prefix("fd05::/64"), nextHops: [{ via: addr("fe80::2"), link: "v0" }] });
    set({ dst: prefix("fd06::/64"), type: "unreachable", nextHops: [] });
    set({ dst: prefix("::/0"), nextHops: [{ via: addr("fd00::fe") }] });
    assert.deepEqual(ours(route), [
      "::/0 via fd00::fe dev v0 proto 3",
      "fd01::/64 via fd00::2 dev v0 proto 200",
      "fd02::/64 dev v0 mtu 1400 metric 7 proto 3",
      "fd03::/64 via fd99::9 dev v0 onlink proto 200",
      "fd04::/64 via fd00::2 dev v0 weight 3, via fd00::3 dev v0 weight 1 proto 3",
      "fd05::/64 via fe80::2 dev v0 proto 3",
      "unreachable fd06::/64 proto 3",
    ]);
  });
}

export function routeReplaceContract(network: Network): void {
  for (const [family, dst, near, own] of [
    ["IPv4", "10.1.0.0/24", "10.0.0.", "10.0.0.1/24"],
    ["IPv6", "fd01::/64", "fd00::", "fd00::1/64"],
  ] as const) {
    worldTest(network, `a ${family} route is replaced by destination, table and metric, and deleted`, ({ route }) => {
      addVeth(route, own);
      const to = (last: number) => ({ dst: prefix(dst), nextHops: [{ via: addr(`${near}${last}`) }] });
      route.routes.set(to(2));
      route.routes.set({ ...to(3), protocol: 200 });
      route.routes.set({ ...to(4), metric: 50 });
      route.routes.set({ ...to(5), table: 1000 });
      assert.deepEqual(ours(route), [`${dst} via ${near}3 dev v0 proto 200`, `${dst} via ${near}4 dev v0 metric 50 proto 3`]);
      route.routes.set({ ...to(2), nextHops: [{ via: addr(`${near}6`) }, { via: addr(`${near}7`) }], protocol: 200 });
      route.routes.set({ ...to(2), type: "blackhole", nextHops: [], protocol: 200 });
      route.routes.set({ ...to(2), protocol: 200 });
      route.routes.del({ ...to(9), metric: 50 });
      assert.deepEqual(ours(route), [`${dst} via ${near}2 dev v0 proto 200`, `${dst} via ${near}4 dev v0 metric 50 proto 3`]);
      route.routes.del({ ...to(4), metric: 50 });
      route.routes.del({ dst: prefix(dst), nextHops: [] });
      route.routes.del({ dst: prefix(dst), nextHops: [] });
      route.routes.del({ dst: prefix(dst), nextHops: [{ link: "nix" }] });
      assert.deepEqual(ours(route), []);
      assert.equal(ours(route, 1000).length, 1);
    });
  }
}

export function routeRefusalContract(network: Network): void {
  worldTest(network, "routes that the kernel refuses", ({ route }) => {
    addVeth(route, "10.0.0.1/24", "fd00::1/64");
    route.links.add({ name: "down", type: { kind: "veth", peer: { name: "peer" } } });
    const four = (hop: object, more: object = {}) => route.routes.set({ dst: prefix("10.1.0.0/24"), nextHops: [hop], ...more });
    const six = (hop: object, more: object = {}) => route.routes.set({ dst: prefix("fd01::/64"), nextHops: [hop], ...more });
    refused(() => four({ link: "nix" }), "ENODEV", /Cannot set route 10\.1\.0\.0\/24 on "nix": there is no link "nix"/);
    refused(() => four({ link: "down" }), "ENETDOWN", /not up \(ENETDOWN\)/);
    refused(() => six({ link: "down" }), "ENETDOWN", /not up \(ENETDOWN\)/);
    refused(() => four({ via: addr("10.7.0.1") }), "ENETUNREACH", /Nexthop has invalid gateway/);
    refused(() => four({ via: addr("10.0.0.2"), link: "v1" }), "ENETUNREACH");
    refused(() => six({ via: addr("fd07::1") }), "EHOSTUNREACH");
    refused(() => six({ via: addr("fd00::2"), link: "v1" }), "EHOSTUNREACH");
    refused(() => four({ via: addr("10.7.0.1"), onlink: true }), "ENODEV", /device required for onlink/);
    refused(() => six({ via: addr("fe80::1") }), "EINVAL");
    refused(() => six({ via: addr("fd00::1") }), "EINVAL", /Gateway can not be a local address/);
    refused(() => four({ via: addr("10.0.0.2") }, { src: addr("10.7.0.1") }), "EINVAL", /Invalid prefsrc address/);
    refused(() => six({ via: addr("fd00::2") }, { src: addr("fd07::1") }), "EINVAL", /Invalid source address/);
    refused(() => route.routes.set({ dst: prefix("10.1.0.0/24"), nextHops: [] }), "ENODEV");
    assert.throws(() => four({ via: addr("10.0.0.2"), weight: 300 }), /weight/);
    assert.deepEqual(ours(route), []);
  });

  worldTest(network, "routes go with their link and do not come back by themselves", ({ route }) => {
    addVeth(route, "10.0.0.1/24", "fd00::1/64");
    route.routes.set({ dst: prefix("10.1.0.0/24"), nextHops: [{ via: addr("10.0.0.2") }] });
    route.routes.set({ dst: prefix("fd01::/64"), nextHops: [{ via: addr("fd00::2") }] });
    route.routes.set({ dst: prefix("10.2.0.0/24"), type: "blackhole", nextHops: [] });
    route.links.change("v0", { up: false });
    route.links.change("v0", { up: true });
    assert.deepEqual(ours(route), ["blackhole 10.2.0.0/24 proto 3"]);
  });
}

export function lookupContract(network: Network): void {
  worldTest(network, "lookups follow the longest prefix, the metric and the rules", ({ route }) => {
    addVeth(route, "10.0.0.1/24", "fd00::1/64");
    const set = (dst: string, via: string, more: object = {}) =>
      route.routes.set({ dst: prefix(dst), nextHops: [{ via: addr(via) }], ...more });
    const via = (dst: string): string | undefined => {
      const found = route.routes.lookup(addr(dst));
      return found && formatRoute({ ...found, table: 254, protocol: 0, scope: "global" }).replace(" proto 0", "");
    };
    assert.equal(via("10.1.0.1"), undefined);
    assert.equal(via("fd01::1"), undefined);
    set("10.1.0.0/16", "10.0.0.2");
    set("10.1.1.0/24", "10.0.0.3", { metric: 10 });
    set("10.1.1.0/24", "10.0.0.4", { metric: 20 });
    set("fd01::/64", "fd00::2");
    route.routes.set({ dst: prefix("10.1.2.0/24"), type: "blackhole", nextHops: [] });
    route.routes.set({ dst: prefix("fd01:0:0:1::/64"), type: "prohibit", nextHops: [] });
    assert.equal(via("10.1.0.1"), "10.1.0.1/32 via 10.0.0.2 dev v0 src 10.0.0.1");
    assert.match(via("10.1.1.1") ?? "", /^10\.1\.1\.1\/32 via 10\.0\.0\.3 dev v0 src 10\.0\.0\.1/);
    assert.equal(via("10.1.2.1"), "blackhole 10.1.2.1/32");
    assert.equal(via("10.0.0.9"), "10.0.0.9/32 dev v0 src 10.0.0.1");
    assert.equal(via("fd01::1"), "fd01::1/128 via fd00::2 dev v0 src fd00::1");
    assert.equal(via("fd01:0:0:1::1"), "prohibit fd01:0:0:1::1/128");
    assert.equal(route.routes.lookup(addr("10.0.0.1"))?.type, "local");
    set("10.1.0.0/16", "10.0.0.9", { table: 1000 });
    route.rules.add({ family: 4, priority: 100, table: 1000, to: prefix("10.1.7.0/24") });
    assert.equal(via("10.1.7.1"), "10.1.7.1/32 via 10.0.0.9 dev v0 src 10.0.0.1");
    assert.equal(via("10.1.0.1"), "10.1.0.1/32 via 10.0.0.2 dev v0 src 10.0.0.1");
  });
}

export function routeBatchAndRuleContract(network: Network): void {
  worldTest(network, "many routes at once: all that can be set are, then the first refusal is told", ({ route }) => {
    addVeth(route, "10.0.0.1/24");
    const routes = Array.from({ length: 1000 }, (_, i) => ({
      dst: nthSubnet(prefix("100.64.0.0/10"), 32, i),
      nextHops: [{ via: addr(i % 100 === 99 ? "10.7.0.1" : "10.0.0.2"), link: "v0" }],
      protocol: 200,
    }));
    refused(() => route.routes.setMany(routes), "ENETUNREACH", /Cannot set route 100\.64\.0\.99\/32 via 10\.7\.0\.1 on "v0"/);
    assert.equal(route.routes.list({ protocol: 200 }).length, 990);
    route.routes.setMany(routes.filter((_, i) => i % 100 !== 99));
    assert.equal(route.routes.list({ protocol: 200 }).length, 990);
  });

  worldTest(network, "rules are added once and deleted", ({ route }) => {
    const rule = {
      family: 4,
      priority: 100,
      table: 1000,
      from: prefix("10.0.0.0/24"),
      fwmark: { value: 0x10, mask: 0xff },
      iif: "v0",
    } as const;
    route.rules.add(rule);
    route.rules.add({ family: 6, priority: 100, table: 7, to: prefix("fd00::/16") });
    refused(() => route.rules.add(rule), "EEXIST", /Cannot add IPv4 rule 100 to table 1000/);
    assert.deepEqual(route.rules.list(4), [
      { family: 4, priority: 0, table: 255 },
      rule,
      { family: 4, priority: 32_766, table: 254 },
      { family: 4, priority: 32_767, table: 253 },
    ]);
    assert.deepEqual(route.rules.list(6)[1], { family: 6, priority: 100, table: 7, to: prefix("fd00::/16") });
    route.rules.del(rule);
    route.rules.del(rule);
    assert.equal(route.rules.list(4).length, 3);
  });
}
