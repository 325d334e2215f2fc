// The model against the kernel: pods behind bridges, a tunnel between nodes, what stands outside, and what is broken on purpose.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, describe, test } from "node:test";
import { silentLogger } from "#base";
import { createEventRecorder, createInformer } from "#client";
import { createFakeClient } from "#client/fake";
import { createPodNetwork, type PodNetwork } from "#cni";
import { formatAddr, parseAddr, parsePrefix } from "#ip";
import { openIpam } from "#ipam";
import { NODES } from "#kube";
import { type NetNs, netns, openNft, openRoute, type RouteSocket } from "#linux";
import * as model from "#model";
import { accept, type BaseChain, drop, equals, meta, payload } from "#nft";
import { type ReadableNamespace, readNetworkState } from "../../app/testing/network-state.ts";
import { PORT, type Station, startStation } from "../cni/testing/station.ts";
import { BACKENDS, podMtu, startMasquerade, startOverlay, VXLAN_LINK } from "./index.ts";

const CLUSTER = ["10.244.0.0/16", "fd00:10:244::/56"].map((text) => parsePrefix(text));

interface Place {
  readonly name: string;
  readonly ns: NetNs;
  readonly route: RouteSocket;
  readonly addrs: readonly string[];
  readonly peers: Record<string, { namespace: string; link: string }>;
  readonly station: Station;
}

/** outside ─ underlay ─┬─ node-1 ─┬─ a1 and the same with node-2, a2, b2. */
class World {
  readonly places: Map<string, Place> = new Map();
  readonly #cleanUps: (() => void)[] = [];

  static async start(): Promise<World> {
    const world = new World();
    const client = createFakeClient();
    const outside = await world.#place("outside", netns.createAnonymous(), ["172.18.0.1", "fd00:18::1"]);
    outside.route.links.add({ name: "underlay", type: { kind: "bridge" }, up: true });
    outside.ns.setSysctl("net/ipv6/conf/underlay/accept_dad", 0);
    for (const text of ["172.18.0.1/16", "fd00:18::1/64"]) outside.route.addrs.set({ link: "underlay", prefix: parsePrefix(text) });
    const nodes = await Promise.all([1, 2].map((n) => world.#node(n, outside)));
    for (const { name, addrs } of nodes) {
      client.seed(NODES, {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name },
        spec: { podCIDRs: podCidrs(name) },
        status: { addresses: addrs.map((address) => ({ type: "InternalIP", address })) },
      });
    }
    const running = await Promise.all(nodes.map((node) => world.#overlay(node, client)));
    for (const node of nodes) await untilRoutes(node, 2);
    // What they made stays, and nobody repairs what is broken from now on.
    for (const stop of running) stop();
    for (const node of nodes) {
      const network = world.#podNetwork(node);
      for (const letter of ["a", "b"]) await world.#pod(node, network, letter);
    }
    return world;
  }

  place(name: string): Place {
    return this.places.get(name) ?? assert.fail(name);
  }

  read(): model.Network {
    const listeners: model.Listener[] = [model.TCP, model.UDP].map((protocol) => ({ protocol, port: PORT }));
    return model.prepareNetwork(readNetworkState([...this.places.values()].map((place): ReadableNamespace => ({ ...place, listeners }))));
  }

  close(): void {
    for (const cleanUp of this.#cleanUps.reverse()) cleanUp();
  }

  async #place(name: string, ns: NetNs, addrs: readonly string[]): Promise<Place> {
    const route = openRoute(ns);
    for (const which of ["all", "default"]) ns.setSysctl(`net/ipv6/conf/${which}/accept_dad`, 0);
    // A router tells one client six times, and then once a second, that it cannot (inet_peer_xrlim_allow).
    for (const sysctl of ["net/ipv4/icmp_ratelimit", "net/ipv6/icmp/ratelimit"]) ns.setSysctl(sysctl, 0);
    route.links.change("lo", { up: true });
    const station = await startStation(ns);
    this.#cleanUps.push(() => {
      station.stop();
      route.close();
      ns.close();
    });
    const place: Place = { name, ns, route, addrs, peers: {}, station };
    this.places.set(name, place);
    return place;
  }

  async #node(n: number, outside: Place): Promise<Place> {
    const node = await this.#place(`node-${n}`, netns.createAnonymous(), [`172.18.0.1${n}`, `fd00:18::1${n}`]);
    const peer = { name: "eth0", netns: node.ns };
    outside.route.links.add({ name: node.name, type: { kind: "veth", peer }, master: "underlay", up: true });
    outside.peers[node.name] = { namespace: node.name, link: "eth0" };
    node.peers["eth0"] = { namespace: "outside", link: node.name };
    for (const [i, text] of node.addrs.entries()) {
      node.route.addrs.set({ link: "eth0", prefix: parsePrefix(`${text}/${i === 0 ? 16 : 64}`) });
    }
    node.route.links.change("eth0", { up: true });
    for (const [i, via] of outside.addrs.entries()) {
      node.route.routes.set({ dst: parsePrefix(i === 0 ? "0.0.0.0/0" : "::/0"), nextHops: [{ via: parseAddr(via), link: "eth0" }] });
    }
    return node;
  }

  async #overlay(node: Place, client: ReturnType<typeof createFakeClient>): Promise<() => void> {
    const nodes = createInformer(client, NODES);
    const overlay = startOverlay({
      backend: BACKENDS.vxlan,
      nodeName: node.name,
      nodeAddrs: node.addrs.map((text) => parseAddr(text)),
      clusterCidrs: CLUSTER,
      ns: node.ns,
      route: node.route,
      client,
      nodes,
      events: createEventRecorder(client, { component: "fairlead-overlay", host: node.name, delayMs: 0 }),
      logger: silentLogger,
    });
    const nft = openNft(node.ns);
    const masquerade = startMasquerade({ nft, podCidrs: CLUSTER, logger: silentLogger });
    await Promise.all([overlay.ready, masquerade.ready]);
    return () => {
      overlay.stop();
      masquerade.stop();
      nodes.stop();
      nft.close();
    };
  }

  #podNetwork(node: Place): PodNetwork {
    const dir = mkdtempSync(`${tmpdir()}/fairlead-model-`);
    const ipam = openIpam({ dir, podCidrs: podCidrs(node.name).map((text) => parsePrefix(text)), logger: silentLogger });
    const nodeAddrs = node.addrs.map((text) => parseAddr(text));
    const mtu = (): number => podMtu({ backend: BACKENDS.vxlan, nodeAddrs, ns: node.ns, route: node.route });
    const network = createPodNetwork({ node, openRoute, ipam, mtu, logger: silentLogger });
    this.#cleanUps.push(() => {
      network.stop();
      rmSync(dir, { recursive: true, force: true });
    });
    return network;
  }

  async #pod(node: Place, network: PodNetwork, letter: string): Promise<void> {
    const name = `${letter}${node.name.slice(-1)}`;
    const ns = netns.createAnonymous();
    const { ips, interfaces } = network.add({ containerId: name, ifName: "eth0", netns: ns });
    const addrs = ips.map(({ address }) => address.slice(0, address.indexOf("/")));
    const place = await this.#place(name, ns, addrs);
    const hostLink = interfaces.find(({ sandbox, name: link }) => sandbox === undefined && link.startsWith("veth"))?.name ?? assert.fail();
    node.peers[hostLink] = { namespace: name, link: "eth0" };
    place.peers["eth0"] = { namespace: node.name, link: hostLink };
  }
}

function podCidrs(node: string): string[] {
  const n = node.slice(-1);
  return [`10.244.${n}.0/24`, `fd00:10:244:${n}::/64`];
}

function untilRoutes({ route }: Place, count: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = (): void => {
    if (route.routes.list({ protocol: 200 }).length >= count) resolve();
  };
  const watch = route.watch(look);
  look();
  return promise.finally(() => watch.close());
}

/** A datagram's sender hears of nothing; a segment's hears what its own namespace cannot do, and what others say. */
function foreseen({ outcome, request }: model.RoundTrip, { from, protocol }: Asked): string {
  if (outcome.kind === "answered") return `answered, seen as ${formatAddr(outcome.seenAs.addr)}`;
  if (protocol === "udp") return "silence";
  if (outcome.kind === "refused") return ERRORS[outcome.with] ?? outcome.with;
  return outcome.at === from && outcome.why === "no route" && request.hops.length === 1 ? "ENETUNREACH" : "silence";
}

/** What a TCP socket hears of a refusal (icmp_err_convert, net/ipv4/icmp.c). */
const ERRORS: Readonly<Record<string, string>> = {
  "tcp reset": "ECONNREFUSED",
  "port-unreachable": "ECONNREFUSED",
  "host-unreachable": "EHOSTUNREACH",
  "net-unreachable": "ENETUNREACH",
};

interface Asked {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
}

async function heard(world: World, { from, to, port, protocol }: Asked, timeoutMs: number): Promise<string> {
  try {
    const { seenAs } = await world.place(from).station.ask({ protocol, host: to, port, timeoutMs });
    return `answered, seen as ${seenAs}`;
  } catch (err) {
    return /\bE[A-Z]{3,}/.exec(String(err))?.[0] ?? "silence";
  }
}

const SILENCE_MS = 400;
/** A neighbour that nobody is is asked for three times, a second apart. */
const NEIGHBOUR_MS = 20_000;

/** Everything that they do not agree about. */
async function disagreements(world: World, asked: readonly Asked[]): Promise<string[]> {
  const network = world.read();
  const found = asked.map(async (one): Promise<string[]> => {
    const { from, to, port, protocol } = one;
    const question = { from, protocol: protocol === "tcp" ? model.TCP : model.UDP, dst: parseAddr(to), dstPort: port };
    const branches = model.roundTrips(network, question);
    const [branch] = branches;
    assert.ok(branch !== undefined && branches.length === 1);
    const { outcome } = branch.result;
    const waits = outcome.kind !== "answered" && outcome.why === "no neighbour";
    // An ICMP error that comes while the program is still in connect() is only remembered (sk_err_soft, tcp_v4_err and tcp_v6_err).
    const mayBeLost = outcome.kind === "refused" && outcome.with !== "tcp reset" && !waits;
    const [expected, observed] = [foreseen(branch.result, one), await heard(world, one, waits ? NEIGHBOUR_MS : SILENCE_MS)];
    if (expected === observed || (mayBeLost && observed === "silence")) return [];
    return [
      `${protocol} ${from} to ${to}:${port}: the model says ${expected}, the kernel ${observed}\n${model.formatRoundTrip(branch.result)}`,
    ];
  });
  return (await Promise.all(found)).flat();
}

const ASKERS = ["a1", "b1", "node-1", "a2", "outside"] as const;

function everything(world: World): Asked[] {
  const all = ASKERS.flatMap((from) =>
    [...world.places.values()].flatMap(({ addrs }) =>
      addrs.flatMap((to): Asked[] => [
        { from, to, port: PORT, protocol: "tcp" },
        { from, to, port: PORT, protocol: "udp" },
        { from, to, port: 9, protocol: "tcp" },
      ]),
    ),
  );
  const nobody = ["10.244.1.99", "fd00:10:244:1::99"].flatMap((to) =>
    (["a1", "a2"] as const).map((from): Asked => ({ from, to, port: PORT, protocol: "tcp" })),
  );
  return [...all, ...nobody];
}

const TABLE = { family: "inet", name: "foreign" } as const;
const FORWARD: BaseChain = { type: "filter", hook: "forward", priority: 0, policy: "accept" };

describe("the model and the kernel agree about pods, nodes and the outside", () => {
  let world: World;
  before(async () => {
    world = await World.start();
  });
  after(() => world.close());

  const between = (from: string, to: string): Asked[] =>
    world.place(to).addrs.map((addr): Asked => ({ from, to: addr, port: PORT, protocol: "tcp" }));

  test("when all is well", async () => {
    assert.deepEqual(await disagreements(world, everything(world)), []);
  });

  test("when a table of somebody else drops and accepts", async () => {
    const nft = openNft(world.place("node-2").ns);
    const rules = [
      { statements: [equals(payload("ip saddr"), parseAddr(world.place("a1").addrs[0] ?? "")), drop()] },
      { statements: [accept()] },
    ];
    nft.apply([
      { op: "add table", table: TABLE },
      { op: "add chain", table: TABLE, chain: "forward", base: FORWARD },
      ...rules.map((rule) => ({ op: "add rule", table: TABLE, chain: "forward", rule }) as const),
    ]);
    const asked = [...between("a1", "a2"), ...between("b1", "a2"), ...between("a2", "a1")];
    const found = await disagreements(world, asked);
    nft.apply([{ op: "delete table", table: TABLE }]);
    nft.close();
    assert.deepEqual(found, []);
  });

  test("when rules ask in postrouting where a packet has come from: nowhere, a pod, the tunnel", async () => {
    const nft = openNft(world.place("node-1").ns);
    const asked = [...between("a1", "b1"), ...between("a1", "a2"), ...between("node-1", "a1"), ...between("node-1", "a2")];
    const found: string[] = [];
    for (const condition of [equals(meta("iif"), 0), ...["cni0", "eth0", VXLAN_LINK].map((link) => equals(meta("iifname"), link))]) {
      nft.apply([
        { op: "add table", table: TABLE },
        { op: "add chain", table: TABLE, chain: "postrouting", base: { ...FORWARD, hook: "postrouting" } },
        { op: "add rule", table: TABLE, chain: "postrouting", rule: { statements: [condition, drop()] } },
      ]);
      found.push(...(await disagreements(world, asked)));
      nft.apply([{ op: "delete table", table: TABLE }]);
    }
    nft.close();
    assert.deepEqual(found, []);
  });

  test("when a forwarding entry, then a route is gone", async () => {
    const { route } = world.place("node-2");
    const [entry] = route.fdb.list(VXLAN_LINK).filter(({ dst }) => dst !== undefined);
    assert.ok(entry !== undefined);
    const asked = [...between("a1", "a2"), ...between("a2", "a1"), ...between("a2", "b2"), ...between("node-2", "a1")];
    route.fdb.del(entry);
    const withoutEntry = await disagreements(world, asked);
    route.fdb.set(entry);
    assert.deepEqual(withoutEntry, []);
    const [gone] = route.routes.list({ protocol: 200 });
    assert.ok(gone !== undefined);
    route.routes.del(gone);
    const withoutRoute = await disagreements(world, asked);
    route.routes.set(gone);
    assert.deepEqual(withoutRoute, []);
  });

  test("when forwarding is off, and when a node's link is down", async () => {
    const { ns, route } = world.place("node-1");
    const asked = [...between("a1", "b1"), ...between("a1", "a2"), ...between("a1", "node-1"), ...between("node-1", "a2")];
    ns.setSysctl("net/ipv4/ip_forward", 0);
    const still = await disagreements(world, asked);
    ns.setSysctl("net/ipv4/ip_forward", 1);
    assert.deepEqual(still, []);
    route.links.change("eth0", { up: false });
    assert.deepEqual(await disagreements(world, asked), []);
  });
});
