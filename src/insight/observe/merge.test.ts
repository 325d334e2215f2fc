// Reports joined to one network, by walking packets over it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddr, parseMac, parsePrefix } from "#ip";
import type { Link, Namespace, Route } from "#model";
import { prepareNetwork, roundTrips, UDP } from "#model";
import { mergeReports } from "./merge.ts";
import type { NamespaceRole, NodeReport, ObservedNamespace, VethEnd } from "./types.ts";

const VETH = { kind: "other", name: "veth" } as const;

function observed(role: NamespaceRole, inode: number, state: Namespace, ends: readonly VethEnd[] = []): ObservedNamespace {
  return { role, inode, state, ends, conntrack: { count: 0, max: 0 }, sockets: [] };
}

function report(node: string, namespaces: readonly ObservedNamespace[], machine = "one", timeMs = 1): NodeReport {
  return { node, timeMs, machine, namespaces, problems: [] };
}

interface Host {
  readonly name: string;
  readonly addr: string;
  readonly via?: string;
  readonly kind?: string;
  readonly index?: number;
}

const SYSCTLS = { "net/ipv4/ip_forward": 1 };

/** One link, eth0, and a socket on UDP 53. */
function host({ name, addr, via, kind = "veth", index = 2 }: Host): Namespace {
  const links: Link[] = [
    { name: "lo", index: 1, type: { kind: "loopback" }, up: true },
    { name: "eth0", index, type: { kind: "other", name: kind }, up: true, mac: parseMac(`02:00:00:00:00:0${index}`) },
  ];
  const routes: Route[] = via === undefined ? [] : [{ dst: parsePrefix("0.0.0.0/0"), nextHops: [{ via: parseAddr(via), link: "eth0" }] }];
  const addrs = [{ link: "eth0", prefix: parsePrefix(addr) }];
  return { name, links, addrs, routes, listeners: [{ protocol: UDP, port: 53 }], sysctls: SYSCTLS };
}

function ask(reports: readonly NodeReport[], from: string, dst: string): string {
  const network = prepareNetwork(mergeReports(reports));
  const [only] = roundTrips(network, { from, protocol: UDP, dst: parseAddr(dst), dstPort: 53 });
  const outcome = only?.result.outcome;
  return outcome?.kind === "answered" ? `answered by ${outcome.by}` : `${outcome?.kind} ${outcome && "why" in outcome ? outcome.why : ""}`;
}

test("veths are joined by the inode that one side knows, and by numbers where only one other end has them", () => {
  const router: Namespace = {
    name: "underlay",
    links: [
      { name: "a", index: 3, type: VETH, up: true },
      { name: "b", index: 4, type: VETH, up: true },
    ],
    addrs: [
      { link: "a", prefix: parsePrefix("10.1.0.1/24") },
      { link: "b", prefix: parsePrefix("10.2.0.1/24") },
    ],
    routes: [],
    sysctls: SYSCTLS,
  };
  const own = report("sandbox", [
    observed("underlay", 100, router, [
      { link: "a", index: 3, peerIndex: 2, peerInode: 101 },
      { link: "b", index: 4, peerIndex: 2, peerInode: 102 },
    ]),
  ]);
  const end = (peerIndex: number): VethEnd[] => [{ link: "eth0", index: 2, peerIndex }];
  const one = report("node-1", [observed("node", 101, host({ name: "node-1", addr: "10.1.0.2/24", via: "10.1.0.1" }), end(3))]);
  const two = report("node-2", [observed("node", 102, host({ name: "node-2", addr: "10.2.0.2/24", via: "10.2.0.1" }), end(4))]);
  assert.equal(ask([own, one, two], "node-1", "10.2.0.2"), "answered by node-2");

  // Without anybody who knows an inode: numbers are enough here.
  const blind = {
    ...own,
    namespaces: own.namespaces.map((ns) => ({ ...ns, ends: ns.ends.map(({ link, index, peerIndex }) => ({ link, index, peerIndex })) })),
  };
  assert.equal(ask([blind, one, two], "node-1", "10.2.0.2"), "answered by node-2");

  // Another machine's namespace may have the same inode.
  const foreign = { ...two, machine: "two" };
  assert.match(ask([own, one, foreign], "node-1", "10.2.0.2"), /^silence/);
});

test("machines that nobody joins are joined by an ideal underlay, with the gateways of their subnets", () => {
  const one = host({ name: "node-1", addr: "10.1.0.2/24", via: "10.1.0.1", kind: "" });
  const stale = { link: "eth0", addr: parseAddr("10.1.0.1"), mac: parseMac("02:00:00:00:ff:ff"), state: "reachable" } as const;
  const two = host({ name: "node-2", addr: "10.2.0.2/24", via: "10.2.0.1", kind: "", index: 3 });
  const three = host({ name: "node-3", addr: "10.1.0.3/24", via: "10.1.0.1", kind: "", index: 4 });
  const reports = [
    report("node-1", [observed("node", 1, { ...one, neighs: [stale] })], "m1"),
    report("node-2", [observed("node", 1, two)], "m2"),
    report("node-3", [observed("node", 1, three)], "m3"),
  ];
  assert.equal(ask(reports, "node-1", "10.2.0.2"), "answered by node-2", "through the gateways");
  assert.equal(ask(reports, "node-1", "10.1.0.3"), "answered by node-3", "over the switch");
  assert.match(ask(reports, "node-1", "192.0.2.1"), /no route/);
});

test("hardware in a bridge is an uplink where the bridge has the address; a tunnel is none", () => {
  const one = host({ name: "node-1", addr: "10.1.0.2/24", kind: "" });
  const two = host({ name: "node-2", addr: "10.1.0.3/24", kind: "", index: 3 });
  const bridged: Namespace = {
    ...one,
    links: [
      ...one.links.map((link): Link => (link.name === "eth0" ? { ...link, master: "br0" } : link)),
      { name: "br0", index: 9, type: { kind: "bridge" }, up: true },
      { name: "wg0", index: 10, type: { kind: "other", name: "wireguard" }, up: true },
    ],
    addrs: [
      { link: "br0", prefix: parsePrefix("10.1.0.2/24") },
      { link: "wg0", prefix: parsePrefix("10.7.0.1/24") },
    ],
  };
  const reports = [report("node-1", [observed("node", 1, bridged)], "m1"), report("node-2", [observed("node", 1, two)], "m2")];
  assert.equal(ask(reports, "node-2", "10.1.0.2"), "answered by node-1");
  const underlay = mergeReports(reports).namespaces.find(({ name }) => name === "underlay");
  assert.deepEqual(
    underlay?.links.map(({ name }) => name),
    ["lo", "underlay", "node-1/eth0", "node-2/eth0"],
  );
});

test("of a namespace that two reports tell the later one counts", () => {
  const early = report("node-1", [observed("node", 1, host({ name: "node-1", addr: "10.1.0.2/24" }))], "m", 1);
  const late = report("node-1", [observed("node", 1, host({ name: "node-1", addr: "10.1.0.9/24" }))], "m", 2);
  const { namespaces } = mergeReports([late, early]);
  assert.deepEqual(namespaces.find(({ name }) => name === "node-1")?.addrs[0]?.prefix, parsePrefix("10.1.0.9/24"));
});
