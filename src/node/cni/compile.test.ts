import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddr, formatMac, formatPrefix, parseAddr, parsePrefix } from "#ip";
import { compileBridge, compilePod, hostLinkName, isHostLinkName } from "./compile.ts";
import type { PodRange, Sysctl } from "./types.ts";

const FOUR: PodRange = { prefix: parsePrefix("10.244.1.0/24"), gateway: parseAddr("10.244.1.1") };
const SIX: PodRange = { prefix: parsePrefix("fd00:10:244:1::/64"), gateway: parseAddr("fd00:10:244:1::1") };
const OWNER = { containerId: "0123456789abcdef", ifName: "eth0" };

const text = (sysctls: readonly Sysctl[]): string[] => sysctls.map(({ name, value }) => `${name}=${value}`);

test("the bridge of a dual-stack node", () => {
  const { addrs, link, sysctls } = compileBridge([FOUR, SIX], 1450);
  assert.equal(formatMac(link.mac), "02:00:0a:f4:01:01");
  assert.equal(link.mtu, 1450);
  assert.deepEqual(
    addrs.map((addr) => formatPrefix(addr.prefix)),
    ["10.244.1.1/24", "fd00:10:244:1::1/64"],
  );
  assert.deepEqual(text(sysctls), [
    "net/ipv4/ip_forward=1",
    "net/ipv4/conf/all/send_redirects=0",
    "net/ipv6/conf/all/forwarding=1",
    "net/ipv4/conf/cni0/forwarding=1",
    "net/ipv4/conf/cni0/send_redirects=0",
    "net/ipv4/conf/cni0/accept_redirects=0",
    "net/ipv4/conf/cni0/rp_filter=1",
    "net/ipv6/conf/cni0/disable_ipv6=0",
    "net/ipv6/conf/cni0/forwarding=1",
    "net/ipv6/conf/cni0/accept_ra=0",
    "net/ipv6/conf/cni0/accept_dad=0",
  ]);
  assert.ok(text(compileBridge([SIX], 1450).sysctls).every((line) => line.startsWith("net/ipv6/")));
  assert.deepEqual(text(compileBridge([FOUR], 1450).sysctls).slice(-1), ["net/ipv6/conf/cni0/disable_ipv6=1"]);
});

test("a pod knows its gateways and nothing else, and the node knows the pod", () => {
  const plan = compilePod([FOUR, SIX], OWNER, [parseAddr("10.244.1.7"), parseAddr("fd00:10:244:1::7")], 1450);
  assert.equal(formatMac(plan.mac), "02:00:0a:f4:01:07");
  const neighs = (list: typeof plan.pod.neighs): string[] =>
    list.map((neigh) => `${formatAddr(neigh.addr)} ${formatMac(neigh.mac ?? new Uint8Array())} ${neigh.link} ${neigh.state}`);
  assert.deepEqual(
    plan.pod.addrs.map((addr) => formatPrefix(addr.prefix)),
    ["10.244.1.7/32", "fd00:10:244:1::7/128"],
  );
  assert.deepEqual(neighs(plan.pod.neighs), [
    "10.244.1.1 02:00:0a:f4:01:01 eth0 permanent",
    "fd00:10:244:1::1 02:00:0a:f4:01:01 eth0 permanent",
  ]);
  assert.deepEqual(neighs(plan.node.neighs), [
    "10.244.1.7 02:00:0a:f4:01:07 cni0 permanent",
    "fd00:10:244:1::7 02:00:0a:f4:01:07 cni0 permanent",
  ]);
  assert.deepEqual(
    plan.pod.routes.map(({ dst, nextHops, protocol }) => [formatPrefix(dst), nextHops.map((hop) => hop.onlink), protocol]),
    [
      ["0.0.0.0/0", [true], 201],
      ["::/0", [true], 201],
    ],
  );
  assert.deepEqual(plan.node.fdb, { link: plan.hostLink, mac: plan.mac, permanent: true });
});

test("an IPv6-only pod has a MAC of its own too", () => {
  const macs = Array.from({ length: 500 }, (_, i) =>
    formatMac(compilePod([SIX], OWNER, [parseAddr(`fd00:10:244:1::${(i + 2).toString(16)}`)], 1450).mac),
  );
  assert.equal(new Set(macs).size, 500);
});

test("the name of the node's end fits, and is the same for the same attachment", () => {
  assert.equal(hostLinkName(OWNER), hostLinkName({ ...OWNER }));
  assert.notEqual(hostLinkName(OWNER), hostLinkName({ ...OWNER, ifName: "net1" }));
  assert.ok(isHostLinkName(hostLinkName(OWNER)) && hostLinkName(OWNER).length <= 15);
});
