// A cluster of two nodes with vxlan between them, walked over what the rooms of a node compile: pod links, overlay, masquerade, Services.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, describe, test } from "node:test";
import { silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { type Addr, FAMILIES, type Family, formatAddr, nthAddr, type Prefix, parseAddr, parsePrefix } from "#ip";
import type { KubeObject } from "#kube";
import { FakeNft } from "#linux/fake";
import type { Table } from "#nft";
import { compileBridge, compilePod } from "../../node/cni/compile.ts";
import type { PodRange } from "../../node/cni/types.ts";
import { vxlan } from "../../node/overlay/compile.ts";
import { compileMasquerade } from "../../node/overlay/masquerade.ts";
import type { LocalNode } from "../../node/overlay/types.ts";
import { compile as compileHostPorts } from "../../node/portmap/compile.ts";
import { NftablesDataplane } from "../../node/proxy/nftables/dataplane.ts";
import { TABLE } from "../../node/proxy/nftables/layout.ts";
import { startProxy } from "../../node/proxy/start.ts";
import { CIDRS, service, slice } from "../../node/proxy/testing.ts";
import {
  formatRoundTrip,
  ICMP,
  ICMPV6,
  type Link,
  type Namespace,
  type Network,
  prepareNetwork,
  type Question,
  type RoundTrip,
  roundTrip,
  roundTrips,
  SCTP,
  TCP,
  TCP_FLAGS,
  UDP,
} from "./index.ts";
import { addr, namespace, route, veth } from "./testing/world.ts";

const MTU = 1450;

interface NodeSpec {
  readonly n: number;
  readonly local: LocalNode;
  readonly ranges: readonly PodRange[];
}

function nodeSpec(n: number): NodeSpec {
  const podCidrs: Prefix[] = [parsePrefix(`10.244.${n}.0/24`), parsePrefix(`fd00:10:244:${n}::/64`)];
  const addrs: Addr[] = [parseAddr(`172.18.0.1${n}`), parseAddr(`fd00:18::1${n}`)];
  const underlay = { link: "eth0", mtu: 1500, onLink: [parsePrefix("172.18.0.0/16"), parsePrefix("fd00:18::/64")] };
  return {
    n,
    local: { name: `node-${n}`, addrs, podCidrs, underlay },
    ranges: podCidrs.map((prefix) => ({ prefix, gateway: nthAddr(prefix, 1) })),
  };
}

/** The Services' table on a node, as its proxy writes it. */
async function proxyTable({ local }: NodeSpec, objects: readonly unknown[]): Promise<Table> {
  const nft = new FakeNft();
  const proxy = startProxy({
    client: createFakeClient(objects as KubeObject[]),
    node: { name: local.name, addresses: local.addrs },
    ...CIDRS,
    logger: silentLogger,
    openDataplane: ({ cidrs, metrics }) => new NftablesDataplane({ nft, cidrs, metrics, logger: silentLogger }),
  });
  await proxy.synced;
  proxy.stop();
  return nft.list(TABLE) ?? assert.fail("there is no table");
}

/** Pod `i` of a node has the address number i + 1; all of them answer TCP, UDP and SCTP at 8080. */
function podNamespaces(node: NodeSpec): {
  readonly pods: Namespace[];
  readonly links: Link[];
  readonly plans: ReturnType<typeof compilePod>[];
} {
  const names = ["a", "b"].map((letter) => `${letter}${node.n}`);
  const plans = names.map((name, i) =>
    compilePod(
      node.ranges,
      { containerId: name, ifName: "eth0" },
      node.local.podCidrs.map((cidr) => nthAddr(cidr, i + 2)),
      MTU,
    ),
  );
  const pods = plans.map(({ mac, hostLink, pod }, i) =>
    namespace(names[i] ?? "", {
      ...pod,
      sysctls: {},
      links: [veth("eth0", node.local.name, hostLink, { mac, mtu: MTU })],
      listeners: [TCP, UDP, SCTP].map((protocol) => ({ protocol, port: 8080, name: `${names[i]} web` })),
    }),
  );
  const port = { isolated: true, learning: false };
  const links = plans.map(({ hostLink }, i) => veth(hostLink, names[i] ?? "", "eth0", { mtu: MTU, master: "cni0", port }));
  return { pods, links, plans };
}

function nodeNamespaces(node: NodeSpec, peer: NodeSpec, tables: readonly Table[]): Namespace[] {
  const { local } = node;
  const { state } = vxlan.compile(local, [{ ...peer.local, vtepMac: vxlan.vtepMac(peer.local) ?? assert.fail() }]);
  const { pods, links, plans } = podNamespaces(node);
  const bridge = compileBridge(node.ranges, MTU);
  const overlayLinks = state.links.map(({ name, mac, mtu, type }): Link => {
    assert.ok(type.kind === "vxlan" && mac !== undefined && mtu !== undefined);
    return { name, mac, mtu, type, up: true };
  });
  const self = namespace(local.name, {
    links: [
      veth("eth0", "outside", local.name),
      { ...bridge.link, mtu: MTU, type: { kind: "bridge" }, up: true },
      ...links,
      ...overlayLinks,
    ],
    addrs: [addr(`172.18.0.1${node.n}/16 dev eth0`), addr(`fd00:18::1${node.n}/64 dev eth0`), ...bridge.addrs, ...state.addrs],
    routes: [route("default via 172.18.0.1 dev eth0"), route("default via fd00:18::1 dev eth0"), ...state.routes],
    neighs: [...state.neighs, ...plans.flatMap((plan) => plan.node.neighs)],
    fdb: [...state.fdb, ...plans.map((plan) => plan.node.fdb)],
    sysctls: Object.fromEntries(bridge.sysctls.map(({ name, value }) => [name, value])),
    tables,
    listeners: [{ protocol: TCP, port: 10_250, name: "kubelet" }],
  });
  return [self, ...pods];
}

/** The underlay is a bridge, whose own addresses are the world outside. */
function outsideNamespace(nodes: readonly NodeSpec[]): Namespace {
  return namespace("outside", {
    links: [
      { name: "underlay", type: { kind: "bridge" }, up: true },
      ...nodes.map(({ local }) => veth(local.name, local.name, "eth0", { master: "underlay" })),
    ],
    addrs: [addr("172.18.0.1/16 dev underlay"), addr("fd00:18::1/64 dev underlay")],
    routes: [route("10.96.0.0/16 via 172.18.0.11 dev underlay"), route("fd00:10:96::/112 via fd00:18::11 dev underlay")],
    listeners: [{ protocol: TCP, port: 8080 }],
  });
}

const PORTS = (
  [
    ["tcp", "TCP"],
    ["udp", "UDP"],
    ["sctp", "SCTP"],
  ] as const
).map(([name, protocol]) => ({
  name,
  protocol,
  port: 80,
  targetPort: 8080,
  nodePort: 30_080,
}));

const VIP: Readonly<Record<Family, (n: number) => string>> = { 4: (n) => `10.96.0.${n}`, 6: (n) => `fd00:10:96::${n}` };
const POD: Readonly<Record<string, Readonly<Record<Family, string>>>> = {
  a1: { 4: "10.244.1.2", 6: "fd00:10:244:1::2" },
  b1: { 4: "10.244.1.3", 6: "fd00:10:244:1::3" },
  a2: { 4: "10.244.2.2", 6: "fd00:10:244:2::2" },
  b2: { 4: "10.244.2.3", 6: "fd00:10:244:2::3" },
};
const NODE: Readonly<Record<string, Readonly<Record<Family, string>>>> = {
  "node-1": { 4: "172.18.0.11", 6: "fd00:18::11" },
  "node-2": { 4: "172.18.0.12", 6: "fd00:18::12" },
  outside: { 4: "172.18.0.1", 6: "fd00:18::1" },
};
/** The gateway of node 1, which has it on the vxlan link too. */
const GATEWAY: Readonly<Record<Family, string>> = { 4: "10.244.1.1", 6: "fd00:10:244:1::1" };

async function cluster(change: (namespaces: Namespace[]) => Namespace[] = (same) => same): Promise<Network> {
  const nodes = [nodeSpec(1), nodeSpec(2)] as const;
  const at = (family: Family, ...names: string[]): string[] => names.map((name) => `${POD[name]?.[family]}@node-${name.slice(1)}`);
  const objects = FAMILIES.flatMap((family) => {
    const withPorts = (n: number, offset: number): typeof PORTS => PORTS.map((port) => ({ ...port, nodePort: 30_080 + offset + n }));
    const both = `both${family}`;
    const none = `none${family}`;
    const local = `local${family}`;
    const sticky = `sticky${family}`;
    return [
      service(both, [VIP[family](1)], withPorts(1, 0)),
      { ...slice(both, at(family, "a1", "a2"), PORTS), addressType: `IPv${family}` },
      service(none, [VIP[family](2)], withPorts(2, 0)),
      service(local, [VIP[family](3)], withPorts(3, 0), { externalTrafficPolicy: "Local" }),
      { ...slice(local, at(family, "a1"), PORTS), addressType: `IPv${family}` },
      service(sticky, [VIP[family](4)], withPorts(4, 0), { sessionAffinity: "ClientIP" }),
      { ...slice(sticky, at(family, "a1", "a2"), PORTS), addressType: `IPv${family}` },
    ];
  });
  const masquerade = compileMasquerade(CIDRS.podCidrs);
  const tables = await Promise.all(nodes.map(async (node) => [await proxyTable(node, objects), masquerade]));
  const [one, two] = nodes;
  const namespaces = [...nodeNamespaces(one, two, tables[0] ?? []), ...nodeNamespaces(two, one, tables[1] ?? []), outsideNamespace(nodes)];
  return prepareNetwork({ namespaces: change(namespaces) });
}

function say({ outcome }: RoundTrip): string {
  switch (outcome.kind) {
    case "answered":
      return `${outcome.by} sees ${formatAddr(outcome.seenAs.addr)}`;
    case "refused":
      return `refused by ${outcome.by}: ${outcome.with}`;
    case "silence":
      return `silence: ${outcome.direction} ends in ${outcome.at}: ${outcome.why}`;
  }
}

/** Everything that can happen, with equal chances. */
function all(network: Network, question: Question): string[] {
  const branches = roundTrips(network, question);
  for (const { probability } of branches) assert.ok(Math.abs(probability - 1 / branches.length) < 1e-9);
  return branches.map(({ result }) => say(result)).sort();
}

let network: Network;
before(async () => {
  network = await cluster();
});

function ask(from: string, to: string, dstPort: number, protocol: number = TCP): string[] {
  return all(network, { from, protocol, dst: parseAddr(to), dstPort });
}

for (const family of FAMILIES) {
  const vip = VIP[family];
  const pod = (name: string): string => POD[name]?.[family] ?? assert.fail(name);
  const node = (name: string): string => NODE[name]?.[family] ?? assert.fail(name);
  const gateway = GATEWAY[family];
  const reset = ["refused by node-1: tcp reset"];
  const unreachable = ["refused by node-1: port-unreachable"];

  describe(`IPv${family}`, () => {
    test("pods reach pods of their node and of others with their own addresses; closed ports refuse", () => {
      for (const protocol of [TCP, UDP, SCTP]) {
        assert.deepEqual(ask("a1", pod("b1"), 8080, protocol), [`b1 sees ${pod("a1")}`]);
        assert.deepEqual(ask("a1", pod("b2"), 8080, protocol), [`b2 sees ${pod("a1")}`]);
      }
      assert.deepEqual(ask("a1", pod("b2"), 81), ["refused by b2: tcp reset"]);
      assert.deepEqual(ask("a1", pod("b2"), 81, UDP), ["refused by b2: port-unreachable"]);
      assert.deepEqual(ask("a1", pod("b2"), 81, SCTP), ["refused by b2: sctp abort"]);
      assert.deepEqual(ask("a1", pod("b2"), 0, family === 4 ? ICMP : ICMPV6), [`b2 sees ${pod("a1")}`]);
    });

    test("pods reach nodes and the outside, where the node's address stands for them", () => {
      assert.deepEqual(ask("a1", node("node-1"), 10_250), [`node-1 sees ${pod("a1")}`]);
      assert.deepEqual(ask("a1", gateway, 10_250), [`node-1 sees ${pod("a1")}`]);
      assert.deepEqual(ask("a1", node("outside"), 8080), [`outside sees ${node("node-1")}`]);
      assert.deepEqual(ask("a1", node("outside"), 81), ["refused by outside: tcp reset"]);
      assert.deepEqual(ask("a1", node("outside"), 81, UDP), ["refused by outside: port-unreachable"]);
      assert.deepEqual(ask("a1", node("outside"), 0, family === 4 ? ICMP : ICMPV6), [`outside sees ${node("node-1")}`]);
    });

    test("nodes reach pods", () => {
      assert.deepEqual(ask("node-1", pod("a1"), 8080), [`a1 sees ${gateway}`]);
      assert.deepEqual(ask("node-1", pod("a2"), 8080), [`a2 sees ${gateway}`]);
    });

    test("a Service leads to its endpoints, with the pod's address; who calls itself sees the node", () => {
      for (const protocol of [TCP, UDP, SCTP]) {
        assert.deepEqual(ask("b1", vip(1), 80, protocol), [`a1 sees ${pod("b1")}`, `a2 sees ${pod("b1")}`]);
        assert.deepEqual(ask("a1", vip(1), 80, protocol), [`a1 sees ${gateway}`, `a2 sees ${pod("a1")}`]);
      }
    });

    test("the node and the outside get a Service from the node's address", () => {
      assert.deepEqual(ask("node-1", vip(1), 80), [`a1 sees ${gateway}`, `a2 sees ${gateway}`]);
      assert.deepEqual(ask("outside", vip(1), 80), [`a1 sees ${gateway}`, `a2 sees ${gateway}`]);
      assert.deepEqual(ask("outside", node("node-1"), 30_081), [`a1 sees ${gateway}`, `a2 sees ${gateway}`]);
      assert.deepEqual(ask("b1", node("node-1"), 30_081), [`a1 sees ${gateway}`, `a2 sees ${gateway}`]);
    });

    test("without endpoints, or at another port, a Service refuses; where no Service is, there is silence", () => {
      assert.deepEqual(ask("a1", vip(2), 80), reset);
      assert.deepEqual(ask("a1", vip(2), 80, UDP), unreachable);
      assert.deepEqual(ask("a1", vip(1), 81), reset);
      assert.deepEqual(ask("node-1", vip(2), 80), reset);
      assert.deepEqual(ask("outside", node("node-1"), 30_082), reset);
      assert.deepEqual(ask("outside", node("node-1"), 30_082, UDP), unreachable);
      assert.deepEqual(ask("a1", vip(77), 80), ["silence: request ends in node-1: rule"]);
    });

    test("externalTrafficPolicy Local: the client's own address where an endpoint is, silence where none is", () => {
      assert.deepEqual(ask("outside", node("node-1"), 30_083), [`a1 sees ${node("outside")}`]);
      assert.deepEqual(ask("outside", node("node-2"), 30_083), ["silence: request ends in node-2: rule"]);
    });

    test("affinity: the client stays where it went, until its time is over", () => {
      const question: Question = { from: "b1", protocol: TCP, dst: parseAddr(vip(4)), dstPort: 80 };
      const [first, second] = roundTrips(network, question, { remember: true });
      assert.ok(first !== undefined && second !== undefined);
      for (const { result } of [first, second]) {
        const memory = result.memory ?? assert.fail();
        const again = { memory, now: 5000 };
        assert.deepEqual(
          roundTrips(network, { ...question, srcPort: 40_001 }, again).map((branch) => say(branch.result)),
          [say(result)],
        );
        const late = { memory, now: 3 * 3_600_000 + 1 };
        assert.equal(roundTrips(network, { ...question, srcPort: 40_001 }, late).length, 2);
      }
    });
  });
}

test("an established connection goes on when its Service has no endpoints any more; a new one is refused", async () => {
  const question: Question = { from: "b1", protocol: TCP, dst: parseAddr(VIP[4](3)), dstPort: 80 };
  const [begun] = roundTrips(network, question, { remember: true });
  assert.ok(begun !== undefined);
  const emptied = await cluster((namespaces) =>
    namespaces.map((one) => ({
      ...one,
      ...(one.tables !== undefined && { tables: one.tables.map((table) => without(table, "10.96.0.3")) }),
    })),
  );
  const memory = begun.result.memory ?? assert.fail();
  const segment = { ...question, tcpFlags: TCP_FLAGS.ack | TCP_FLAGS.psh };
  assert.deepEqual(
    roundTrips(emptied, segment, { memory }).map(({ result }) => say(result)),
    [`a1 sees ${POD["b1"]?.[4]}`],
  );
  assert.deepEqual(
    roundTrips(emptied, { ...question, srcPort: 40_001 }, { memory }).map(({ result }) => say(result)),
    ["refused by node-1: tcp reset"],
  );
});

/** The table without what leads from an address to endpoints. */
function without(table: Table, vip: string): Table {
  const sets = table.sets.map((set) => {
    if (!/^(services|inside|endpoints)4$/.test(set.name)) return set;
    const elements = set.elements.filter(
      ({ key: [first] }) => !(typeof first === "object" && "family" in first && formatAddr(first) === vip),
    );
    return { ...set, elements };
  });
  return { ...table, sets };
}

test("host ports of a pod: from outside, from pods, from itself, and at the node's loopback address", async () => {
  const mappings = [{ protocol: "TCP", hostPort: 8088, containerPort: 8080 } as const];
  const { table } = compileHostPorts([
    { containerId: "0123456789ab", pod: "default/a1", addrs: [parseAddr("10.244.1.2"), parseAddr("fd00:10:244:1::2")], mappings },
  ]);
  const withPorts = (localnet: number): Promise<Network> =>
    cluster((namespaces) =>
      namespaces.map((one) => {
        if (one.name !== "node-1") return one;
        return {
          ...one,
          tables: [...(one.tables ?? []), table ?? assert.fail()],
          sysctls: { ...one.sysctls, "net/ipv4/conf/cni0/route_localnet": localnet },
        };
      }),
    );
  const open = await withPorts(1);
  const asked = (from: string, to: string, at: Network = open): string[] =>
    all(at, { from, protocol: TCP, dst: parseAddr(to), dstPort: 8088 });
  assert.deepEqual(asked("outside", "172.18.0.11"), ["a1 sees 172.18.0.1"]);
  assert.deepEqual(asked("outside", "fd00:18::11"), ["a1 sees fd00:18::1"]);
  assert.deepEqual(asked("b1", "172.18.0.11"), ["a1 sees 10.244.1.3"]);
  assert.deepEqual(asked("a1", "172.18.0.11"), ["a1 sees 10.244.1.1"]);
  assert.deepEqual(asked("node-1", "127.0.0.1"), ["a1 sees 10.244.1.1"]);
  assert.deepEqual(asked("node-1", "127.0.0.1", await withPorts(0)), ["silence: reply ends in node-1: martian"]);
  assert.deepEqual(asked("node-1", "::1"), ["refused by node-1: tcp reset"]);
  assert.deepEqual(asked("a1", "172.18.0.12"), ["refused by node-2: tcp reset"]);
});

test("what a large packet meets: the pod's own MTU, and the tunnel's", async () => {
  const [large] = roundTrips(network, { from: "a1", protocol: UDP, dst: parseAddr("10.244.2.3"), dstPort: 8080, payload: 3000 });
  assert.deepEqual(
    large?.result.request.hops.flatMap(({ decisions }) => decisions).filter(({ kind }) => kind === "fragment"),
    [
      // Where it is made, and at both nodes, whose conntrack has put it together before.
      { kind: "fragment", mtu: MTU },
      { kind: "fragment", mtu: MTU },
      { kind: "fragment", mtu: MTU },
    ],
  );
  assert.deepEqual(all(network, { from: "a1", protocol: TCP, dst: parseAddr("10.244.2.3"), dstPort: 8080, payload: 1411 }), [
    "silence: request ends in a1: mtu",
  ]);
  const wide = await cluster((namespaces) =>
    namespaces.map((one) => ({ ...one, links: one.links.map((link) => (link.name === "fairlead.vx" ? link : { ...link, mtu: 1500 })) })),
  );
  assert.deepEqual(all(wide, { from: "a1", protocol: TCP, dst: parseAddr("10.244.2.3"), dstPort: 8080, payload: 1411 }), [
    "refused by node-1: fragmentation-needed",
  ]);
});

test("faults: a removed FDB entry, a missing route, a link that is down, forwarding off, a spoofed source", async () => {
  const question: Question = { from: "a1", protocol: TCP, dst: parseAddr("10.244.2.3"), dstPort: 8080 };
  const on = (name: string, change: (one: Namespace) => Partial<Namespace>): Promise<Network> =>
    cluster((namespaces) => namespaces.map((one) => (one.name === name ? { ...one, ...change(one) } : one)));
  const withoutFdb = await on("node-1", ({ fdb = [] }) => ({ fdb: fdb.filter(({ dst }) => dst === undefined) }));
  assert.deepEqual(all(withoutFdb, question), ["silence: request ends in node-1: no such mac"]);
  const withoutRoute = await on("node-1", ({ routes }) => ({ routes: routes.filter(({ dst }) => dst.bits === 0) }));
  assert.deepEqual(all(withoutRoute, question), ["silence: request ends in outside: not forwarding"]);
  const down = await on("a1", ({ links }) => ({ links: links.map((link) => (link.name === "eth0" ? { ...link, up: false } : link)) }));
  assert.deepEqual(all(down, question), ["silence: request ends in a1: no route"]);
  const stuck = await on("node-1", () => ({ sysctls: {} }));
  assert.deepEqual(all(stuck, question), ["silence: request ends in node-1: not forwarding"]);
  assert.deepEqual(all(network, { ...question, src: parseAddr("10.9.9.9") }), ["silence: request ends in node-1: rp_filter"]);
});

test("a walk through the cluster reads like this", () => {
  const trip = roundTrip(network, { from: "b1", protocol: TCP, dst: parseAddr("10.96.0.1"), dstPort: 80 }, () => 0.75);
  assert.equal(`${formatRoundTrip(trip)}\n`, readFileSync(new URL("pod-to-service.txt", import.meta.url), "utf8"));
});

test("what is found out is plain data", () => {
  const [branch] = roundTrips(network, { from: "a1", protocol: TCP, dst: parseAddr("10.96.0.1"), dstPort: 80 });
  assert.deepEqual(structuredClone(branch?.result), branch?.result);
  assert.ok(JSON.stringify(branch?.result).length < 30_000);
});
