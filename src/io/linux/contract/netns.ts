import assert from "node:assert/strict";
import { test } from "node:test";
import { type Network, refused, worldTest } from "./network.ts";

export function netnsContract(network: Network): void {
  const { netns } = network;

  test("a namespace is created, opened again, and deleted", () => {
    const path = network.freePath();
    refused(() => netns.open(path), "ENOENT", /Cannot open network namespace/);
    const created = netns.create(path);
    try {
      refused(() => netns.create(path), "EEXIST", /Cannot create network namespace/);
      const opened = netns.open(path);
      assert.equal(opened.inode, created.inode);
      assert.equal(opened.path, path);
      opened.close();
      opened.close();
    } finally {
      created.close();
      netns.delete(path);
    }
    netns.delete(path);
    refused(() => netns.open(path), "ENOENT");
  });

  worldTest(network, "run returns a value, nests, passes errors on, and takes no promise", ({ ns, other }) => {
    assert.equal(
      ns.run(() => other.run(() => ns.run(() => 7))),
      7,
    );
    assert.throws(() => ns.run(() => other.run(() => assert.fail("inside"))), /inside/);
    // @ts-expect-error: a promise is refused by the types too
    assert.throws(() => ns.run(() => Promise.resolve()), /returned a promise/);
    assert.equal(
      ns.run(() => 1),
      1,
    );
  });

  test("a closed namespace cannot be entered", () => {
    const ns = netns.createAnonymous();
    ns.close();
    refused(() => ns.run(() => 1), "EBADF", /it was closed/);
  });

  worldTest(network, "sysctls are each namespace's own", ({ ns, other, route }) => {
    assert.equal(ns.sysctl("net.ipv4.ip_forward"), "0");
    ns.setSysctl("net.ipv4.ip_forward", 1);
    assert.equal(ns.sysctl("net/ipv4/ip_forward"), "1");
    assert.equal(other.sysctl("net.ipv4.ip_forward"), "0");
    route.links.add({ name: "eth0.1", type: { kind: "bridge" } });
    ns.setSysctl("net/ipv4/conf/eth0.1/proxy_arp_pvlan", 1);
    assert.equal(ns.sysctl("net.ipv4.conf.eth0/1.proxy_arp_pvlan"), "1");
    refused(() => ns.sysctl("net.ipv4.conf.eth1.rp_filter"), "ENOENT", /Cannot read sysctl net\.ipv4\.conf\.eth1\.rp_filter/);
    for (const name of ["kernel.hostname", "net.ipv4/../../kernel/hostname", "net", ""]) {
      assert.throws(() => ns.sysctl(name), /is not the name of a network sysctl/, name);
    }
  });
}
