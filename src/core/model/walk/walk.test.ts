// The walk by itself: routing, neighbours, links, hooks, connections, and how each of them can end a packet.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatAddr, macOfAddr, parseAddr, parsePrefix } from "#ip";
import {
  accept,
  type BaseChain,
  drop,
  type Expr,
  equals,
  hasFlags,
  meta,
  payload,
  type Rule,
  reject,
  type Statement,
  type Table,
} from "#nft";
import { STATUS } from "../conntrack/types.ts";
import {
  type Branch,
  ICMP,
  ICMPV6,
  type Listener,
  type Namespace,
  type Packet,
  prepareNetwork,
  type Question,
  type RoundTrip,
  roundTrip,
  roundTrips,
  SCTP,
  TCP,
  TCP_FLAGS,
  UDP,
  type WalkOptions,
} from "../index.ts";
import { addr, clientRouterServer, FORWARDING, namespace, route, veth } from "../testing/world.ts";

const SERVER = parseAddr("10.0.2.2");
const SERVER6 = parseAddr("fd00:2::2");
const WEB = { protocol: TCP, port: 80, name: "web" };
const DNS = { protocol: UDP, port: 53, name: "dns" };
const ASK: Question = { from: "client", protocol: TCP, dst: SERVER, dstPort: 80 };
const ASK_UDP: Question = { from: "client", protocol: UDP, dst: SERVER, dstPort: 53 };
const PING: Question = { from: "client", protocol: ICMP, dst: SERVER };

function say({ outcome, request, reply }: RoundTrip): string {
  switch (outcome.kind) {
    case "answered":
      return `${outcome.by} sees ${formatAddr(outcome.seenAs.addr)}:${outcome.seenAs.port ?? ""}`;
    case "refused":
      return `refused by ${outcome.by} with ${outcome.with}: ${outcome.why}`;
    case "silence":
      return `${outcome.direction} ends in ${outcome.at}: ${outcome.why} after ${(outcome.direction === "request" ? request : reply)?.hops.length} hops`;
  }
}

function ways(namespaces: readonly Namespace[], question: Question, options?: WalkOptions): Branch<RoundTrip>[] {
  return roundTrips(prepareNetwork({ namespaces }), question, options);
}

function ask(namespaces: readonly Namespace[], question: Question, options?: WalkOptions): string {
  const branches = ways(namespaces, question, options);
  assert.equal(branches.length, 1);
  return say(branches[0]?.result ?? assert.fail());
}

function only(namespaces: readonly Namespace[], question: Question, options?: WalkOptions): RoundTrip {
  return ways(namespaces, question, options)[0]?.result ?? assert.fail();
}

type On = Pick<BaseChain, "hook" | "type" | "priority">;

function tableOf(name: string, on: On, ...rules: readonly Statement[][]): Table {
  return baseOf(
    name,
    { ...on, policy: "accept" },
    rules.map((statements) => ({ statements })),
  );
}

function baseOf(name: string, base: BaseChain, rules: readonly Rule[]): Table {
  return { family: "inet", name, sets: [], chains: [{ name: "base", base, rules }] };
}

const world = (parts: Parameters<typeof clientRouterServer>[0] = {}): Namespace[] =>
  clientRouterServer({ ...parts, server: { listeners: [WEB, DNS], ...parts.server } });
const behind = (...tables: readonly Table[]): Namespace[] => world({ router: { tables } });

describe("delivery", () => {
  test("open and closed ports, echo", () => {
    assert.equal(ask(world(), ASK), "server sees 10.0.1.2:40000");
    assert.equal(ask(world(), { ...ASK, dst: SERVER6 }), "server sees fd00:1::2:40000");
    assert.equal(ask(world(), { ...ASK, dstPort: 81 }), "refused by server with tcp reset: port closed");
    assert.equal(ask(world(), { ...ASK_UDP, dstPort: 81 }), "refused by server with port-unreachable: port closed");
    assert.equal(ask(world(), { ...ASK, protocol: SCTP }), "refused by server with sctp abort: port closed");
    assert.equal(ask(world(), { ...ASK, protocol: 47 }), "refused by server with protocol-unreachable: port closed");
    assert.equal(ask(world(), PING), "server sees 10.0.1.2:");
    assert.equal(ask(world(), { ...PING, protocol: ICMPV6, dst: SERVER6 }), "server sees fd00:1::2:");
    assert.equal(ask(world(), { ...PING, dst: parseAddr("10.0.2.1") }), "router sees 10.0.1.2:");
  });

  test("sockets of one address, of one family; a namespace asks itself", () => {
    const at = (listener: Partial<Listener>): Namespace[] => world({ server: { listeners: [{ ...WEB, ...listener }] } });
    assert.equal(ask(at({ addr: parseAddr("127.0.0.1") }), ASK), "refused by server with tcp reset: port closed");
    assert.equal(
      ask(at({ addr: parseAddr("127.0.0.1") }), { ...ASK, from: "server", dst: parseAddr("127.0.0.1") }),
      "server sees 127.0.0.1:40000",
    );
    assert.equal(ask(at({ addr: SERVER }), { ...ASK, from: "server" }), "server sees 10.0.2.2:40000");
    assert.equal(ask(at({ addr: SERVER }), ASK), "server sees 10.0.1.2:40000");
    assert.equal(ask(at({ family: 6 }), ASK), "refused by server with tcp reset: port closed");
    assert.equal(ask(at({ family: 6 }), { ...ASK, dst: SERVER6 }), "server sees fd00:1::2:40000");
  });

  test("an answer from another address than was asked is not taken", () => {
    // Both are behind one link, so what is translated on the way there comes back past the router.
    const dnat: Statement = { kind: "dnat", family: "ip", to: { kind: "value", type: "ipv4_addr", value: parseAddr("10.0.1.3") } };
    const neighbour = namespace("neighbour", {
      links: [veth("eth0", "switch", "b")],
      addrs: [addr("10.0.1.3/24 dev eth0")],
      routes: [route("default via 10.0.1.1 dev eth0")],
      listeners: [WEB],
    });
    const client = namespace("client", {
      links: [veth("eth0", "switch", "a")],
      addrs: [addr("10.0.1.2/24 dev eth0")],
      routes: [route("default via 10.0.1.1 dev eth0")],
    });
    const gateway = namespace("router", {
      links: [veth("eth0", "switch", "c")],
      addrs: [addr("10.0.1.1/24 dev eth0")],
      sysctls: FORWARDING,
      tables: [
        tableOf("t", { type: "nat", hook: "prerouting", priority: -100 }, [equals(payload("ip daddr"), parseAddr("10.9.9.9")), dnat]),
      ],
    });
    const ports = [veth("a", "client", "eth0"), veth("b", "neighbour", "eth0"), veth("c", "router", "eth0")].map((link) => ({
      ...link,
      master: "br",
    }));
    const bridge = namespace("switch", { links: [{ name: "br", type: { kind: "bridge" }, up: true }, ...ports] });
    const trip = only([client, neighbour, gateway, bridge], { ...ASK, dst: parseAddr("10.9.9.9") });
    assert.equal(say(trip), "reply ends in client: port closed after 3 hops");
    assert.equal(trip.reply?.end.packet.src && formatAddr(trip.reply.end.packet.src), "10.0.1.3");
  });
});

describe("routing", () => {
  const routed = (...routes: Namespace["routes"]): Namespace[] =>
    world({ client: { routes: [route("default via 10.0.1.1 dev eth0"), ...routes] } });

  test("the longest prefix, then the smallest metric; what a route says of itself", () => {
    assert.equal(ask(routed(route("10.0.2.0/24 via 10.0.1.77 dev eth0")), ASK), "request ends in client: no neighbour after 1 hops");
    const worse = route("10.0.2.0/24 via 10.0.1.77 dev eth0", { metric: 100 });
    assert.equal(ask(routed(worse, route("10.0.2.0/24 via 10.0.1.1 dev eth0", { metric: 50 })), ASK), "server sees 10.0.1.2:40000");
    assert.equal(ask(routed(route("unreachable 10.0.2.0/24")), ASK), "request ends in client: no route after 1 hops");
    assert.equal(
      ask(routed(route("10.0.2.2/32 via 10.0.1.1 dev eth0"), route("blackhole 10.0.2.0/24")), ASK),
      "server sees 10.0.1.2:40000",
    );
    assert.equal(ask(routed(route("10.0.2.0/24 via 10.0.1.1")), ASK), "server sees 10.0.1.2:40000");
  });

  test("a router says what it cannot do", () => {
    const at = (...texts: string[]): Namespace[] =>
      world().map((one) => (one.name === "router" ? { ...one, routes: texts.map((text) => route(text)) } : one));
    const far = { ...ASK, dst: parseAddr("10.7.7.7") };
    assert.equal(ask(at(), far), "refused by router with net-unreachable: no route");
    assert.equal(ask(at("unreachable 10.7.7.0/24"), far), "refused by router with host-unreachable: no route");
    assert.equal(ask(at("prohibit 10.7.7.0/24"), far), "refused by router with admin-prohibited: no route");
    assert.equal(ask(at("blackhole 10.7.7.0/24"), far), "request ends in router: no route after 2 hops");
    assert.equal(ask(at(), { ...ASK, dst: parseAddr("fd00:7::7") }), "refused by router with net-unreachable: no route");
    assert.equal(ask(at(), { ...ASK, dst: parseAddr("10.0.2.77") }), "refused by router with host-unreachable: no neighbour");
    assert.equal(ask(at(), { ...PING, dst: parseAddr("10.0.2.255") }), "request ends in router: not modelled after 2 hops");
  });

  test("several next hops are ways to go, by their weights; one whose link is down is none", () => {
    const hops = [
      { via: parseAddr("10.0.1.1"), link: "eth0", weight: 3 },
      { via: parseAddr("10.0.1.77"), link: "eth0", weight: 1 },
    ];
    const many = route("10.0.2.0/24", { nextHops: hops });
    const found = ways(routed(many), ASK).map(({ probability, choices, result }) => [probability, choices[0]?.what, say(result)]);
    assert.deepEqual(found, [
      [0.75, "which next hop", "server sees 10.0.1.2:40000"],
      [0.25, "which next hop", "request ends in client: no neighbour after 1 hops"],
    ]);
    const dead = route("10.0.2.0/24", { nextHops: [{ link: "eth9" }, { via: parseAddr("10.0.1.1"), link: "eth0" }] });
    assert.equal(ask(routed(dead), ASK), "server sees 10.0.1.2:40000");
  });

  test("rules: by mark, by source, by incoming link", () => {
    const rules = [
      { family: 4, priority: 0, table: 255 },
      { family: 4, priority: 10, table: 100, fwmark: { value: 1, mask: 0xff } },
      { family: 4, priority: 11, table: 101, from: parsePrefix("10.0.1.9/32") },
      { family: 4, priority: 12, table: 102, iif: "server" },
      { family: 4, priority: 32_766, table: 254 },
    ] as const;
    const elsewhere = [100, 101, 102].map((table) => route("blackhole 10.0.0.0/16", { table }));
    const one: Expr = { kind: "value", type: "mark", value: 1 };
    const marking = tableOf("t", { type: "filter", hook: "prerouting", priority: -150 }, [
      { kind: "set", target: { kind: "meta", key: "mark" }, value: one },
    ]);
    const at = (more: Partial<Namespace>): Namespace[] =>
      world().map((each) => (each.name === "router" ? { ...each, rules, ...more } : each));
    assert.equal(ask(at({ routes: elsewhere.slice(0, 2) }), ASK), "server sees 10.0.1.2:40000");
    assert.equal(ask(at({ routes: elsewhere.slice(0, 1), tables: [marking] }), ASK), "request ends in router: no route after 2 hops");
    assert.equal(
      ask(at({ routes: elsewhere.slice(0, 2) }), { ...ASK, src: parseAddr("10.0.1.9") }),
      "request ends in router: no route after 2 hops",
    );
    assert.equal(ask(at({ routes: elsewhere }), ASK), "reply ends in router: no route after 2 hops");
  });

  test("addresses that packets are sent from", () => {
    const seen = (addrs: readonly string[], more: Partial<Question> = {}): string =>
      ask(world({ client: { addrs: addrs.map((text) => addr(text)) } }), { ...ASK, ...more });
    // The first of a subnet; one out of the next hop's subnet before another.
    assert.equal(seen(["10.0.1.2/24 dev eth0", "10.0.1.9/24 dev eth0"]), "server sees 10.0.1.2:40000");
    assert.equal(seen(["10.9.9.9/32 dev eth0", "10.0.1.2/24 dev eth0"]), "server sees 10.0.1.2:40000");
    const six = { dst: SERVER6 };
    assert.equal(seen(["fe80::1/64 dev eth0", "fd00:1::2/64 dev eth0"], six), "server sees fd00:1::2:40000");
    assert.equal(seen(["2001:db8::2/64 dev eth0", "fd00:1::2/64 dev eth0"], six), "server sees fd00:1::2:40000");
    const preferred = [route("default via 10.0.1.1 dev eth0", { src: parseAddr("10.0.1.9") })];
    const both = [addr("10.0.1.2/24 dev eth0"), addr("10.0.1.9/24 dev eth0")];
    assert.equal(ask(world({ client: { routes: preferred, addrs: both } }), ASK), "server sees 10.0.1.9:40000");
  });

  test("rp_filter: strict, loose, and sources that cannot be", () => {
    const at = (sysctls: Readonly<Record<string, number>>): Namespace[] => world({ router: { sysctls: { ...FORWARDING, ...sysctls } } });
    const spoofed = { ...ASK, src: parseAddr("10.0.2.99") };
    const strict = { "net/ipv4/conf/client/rp_filter": 1 };
    assert.equal(ask(at(strict), ASK), "server sees 10.0.1.2:40000");
    assert.equal(ask(at(strict), spoofed), "request ends in router: rp_filter after 2 hops");
    assert.equal(ask(at({ "net/ipv4/conf/all/rp_filter": 1 }), spoofed), "request ends in router: rp_filter after 2 hops");
    const loose = { ...strict, "net/ipv4/conf/all/rp_filter": 2 };
    assert.equal(ask(at(loose), spoofed), "reply ends in server: no neighbour after 1 hops");
    assert.equal(ask(at(loose), { ...ASK, src: parseAddr("198.51.100.1") }), "request ends in router: rp_filter after 2 hops");
    assert.equal(ask(at({}), { ...ASK, src: parseAddr("10.0.2.1") }), "request ends in router: martian after 2 hops");
    assert.equal(ask(at({}), { ...ASK, src: parseAddr("127.0.0.1") }), "request ends in router: martian after 2 hops");
  });

  test("forwarding is off unless it is on, of each family by itself", () => {
    const at = (sysctls: Readonly<Record<string, number>>): Namespace[] => world({ router: { sysctls } });
    assert.equal(ask(at({}), ASK), "request ends in router: not forwarding after 2 hops");
    assert.equal(ask(at({ "net/ipv4/ip_forward": 1 }), { ...ASK, dst: SERVER6 }), "request ends in router: not forwarding after 2 hops");
    assert.equal(
      ask(at({ "net/ipv4/ip_forward": 1, "net/ipv4/conf/client/forwarding": 0 }), ASK),
      "request ends in router: not forwarding after 2 hops",
    );
    assert.equal(
      ask(at({ "net/ipv4/ip_forward": 1, "net/ipv4/conf/server/forwarding": 0 }), ASK),
      "reply ends in router: not forwarding after 2 hops",
    );
  });

  test("two routers that send a packet to each other end it by its TTL", () => {
    const [client, router] = world();
    assert.ok(client !== undefined && router !== undefined);
    const there = { ...router, routes: [route("10.5.0.0/16 via 10.0.1.2 dev client")] };
    const back = { ...client, sysctls: FORWARDING };
    const trip = only([back, there, ...world().slice(2)], { ...ASK, from: "server", dst: parseAddr("10.5.5.5") });
    assert.equal(say(trip), "refused by client with time-exceeded: ttl");
    assert.equal(trip.request.hops.length, 65);
  });
});

describe("links", () => {
  test("sizes: the sender's own link, a router's next one, and a black hole behind a veth", () => {
    const mtu = (sizes: Readonly<Record<string, number>>): Namespace[] =>
      world().map((one) => ({
        ...one,
        links: one.links.map((link) => ({
          ...link,
          mtu: sizes[`${one.name} ${link.name}`] ?? link.mtu ?? (link.name === "lo" ? 65_536 : 1500),
        })),
      }));
    const large = { ...ASK, payload: 1400 };
    assert.equal(ask(mtu({ "client eth0": 1400 }), large), "request ends in client: mtu after 1 hops");
    assert.equal(ask(mtu({ "router server": 1400 }), large), "refused by router with fragmentation-needed: mtu");
    assert.equal(ask(mtu({ "router server": 1400 }), { ...large, dst: SERVER6 }), "refused by router with fragmentation-needed: mtu");
    assert.equal(only(mtu({ "router server": 1400 }), large).reply?.end.packet.icmp?.mtu, 1400);
    assert.equal(ask(mtu({ "server eth0": 1400 }), large), "request ends in server: mtu after 2 hops");
    // Datagrams may be cut by whoever has to.
    assert.equal(
      ask(mtu({ "router server": 1400, "server eth0": 1400, "client eth0": 1400 }), { ...ASK_UDP, payload: 1400 }),
      "server sees 10.0.1.2:40000",
    );
    assert.equal(
      ask(mtu({ "router server": 1400 }), { ...ASK_UDP, dst: SERVER6, payload: 1400 }),
      "refused by router with fragmentation-needed: mtu",
    );
    const narrow = route("10.0.2.0/24 dev server", { mtu: 1300 });
    assert.equal(
      ask(
        mtu({}).map((one) =>
          one.name === "router"
            ? {
                ...one,
                routes: [{ ...narrow, metric: 0 }],
                addrs: one.addrs.map((each) => (each.link === "server" ? addr("10.0.2.1/32 dev server") : each)),
              }
            : one,
        ),
        large,
      ),
      "refused by router with fragmentation-needed: mtu",
    );
  });

  test("a link that is down, a dummy, a link of a kind that is not known", () => {
    const change = (name: string, link: string, more: object): Namespace[] =>
      world().map((one) =>
        one.name === name ? { ...one, links: one.links.map((each) => (each.name === link ? { ...each, ...more } : each)) } : one,
      );
    assert.equal(ask(change("client", "eth0", { up: false }), ASK), "request ends in client: no route after 1 hops");
    assert.equal(ask(change("server", "eth0", { up: false }), ASK), "refused by router with host-unreachable: no neighbour");
    assert.equal(ask(change("router", "server", { type: { kind: "dummy" } }), ASK), "request ends in router: not modelled after 2 hops");
    assert.equal(
      ask(change("router", "server", { type: { kind: "other", name: "wireguard" } }), ASK),
      "request ends in router: not modelled after 2 hops",
    );
  });

  test("neighbours: written ones count, wrong ones lose packets, failed ones are asked again", () => {
    const neigh = (more: object): Namespace[] =>
      world().map((one) => (one.name === "router" ? { ...one, neighs: [{ link: "server", addr: SERVER, ...more }] } : one));
    const wrong = macOfAddr(SERVER, 1);
    assert.equal(ask(neigh({ mac: wrong, state: "permanent" }), ASK), "request ends in server: other host after 2 hops");
    assert.equal(ask(neigh({ mac: wrong, state: "failed" }), ASK), "server sees 10.0.1.2:40000");
    assert.equal(ask(neigh({ state: "incomplete" }), ASK), "server sees 10.0.1.2:40000");
  });
});

describe("bridges", () => {
  interface Bridged {
    readonly isolated?: boolean;
    readonly sysctls?: Readonly<Record<string, number>>;
    readonly fdb?: Namespace["fdb"];
  }

  /** a and b are ports of a bridge, whose own address is 10.0.0.1. */
  function bridged({ isolated = false, sysctls = {}, fdb = [] }: Bridged): Namespace[] {
    const pod = (name: string, n: number): Namespace =>
      namespace(name, { links: [veth("eth0", "node", name)], addrs: [addr(`10.0.0.${n}/24 dev eth0`)], listeners: [WEB] });
    const links = ["a", "b"].map((name) => veth(name, name, "eth0", { master: "br", port: { isolated } }));
    const node = namespace("node", {
      links: [{ name: "br", type: { kind: "bridge" }, up: true }, ...links],
      addrs: [addr("10.0.0.1/24 dev br")],
      listeners: [WEB],
      sysctls,
      fdb,
    });
    return [pod("a", 2), pod("b", 3), node];
  }

  const TO_B: Question = { from: "a", protocol: TCP, dst: parseAddr("10.0.0.3"), dstPort: 80 };

  test("ports see each other, and the bridge itself", () => {
    const trip = only(bridged({}), TO_B);
    assert.equal(say(trip), "b sees 10.0.0.2:40000");
    assert.deepEqual(
      trip.request.hops.map((hop) => [hop.namespace, hop.linkIn, hop.linkOut]),
      [
        ["a", undefined, "eth0"],
        ["node", "a", "b"],
        ["b", "eth0", undefined],
      ],
    );
    assert.equal(ask(bridged({}), { ...TO_B, dst: parseAddr("10.0.0.1") }), "node sees 10.0.0.2:40000");
    assert.equal(ask(bridged({}), { ...TO_B, from: "node" }), "b sees 10.0.0.1:40000");
  });

  test("isolated ports see the bridge only; proxy_arp_pvlan brings the packet to the node, which routes it", () => {
    assert.equal(ask(bridged({ isolated: true }), TO_B), "request ends in a: no neighbour after 1 hops");
    assert.equal(ask(bridged({ isolated: true }), { ...TO_B, dst: parseAddr("10.0.0.1") }), "node sees 10.0.0.2:40000");
    const [a, b, node] = bridged({ isolated: true });
    assert.ok(a !== undefined && b !== undefined && node !== undefined);
    const mac = macOfAddr(parseAddr("10.0.0.3"), 0);
    const known = { ...a, neighs: [{ link: "eth0", addr: parseAddr("10.0.0.3"), mac, state: "permanent" } as const] };
    const withMac = { ...b, links: b.links.map((link) => (link.name === "eth0" ? { ...link, mac } : link)) };
    assert.equal(ask([known, withMac, node], TO_B), "request ends in node: no such mac after 1 hops");
    const proxied = { "net/ipv4/conf/br/proxy_arp_pvlan": 1, "net/ipv4/ip_forward": 1 };
    const trip = only(bridged({ isolated: true, sysctls: proxied }), TO_B);
    assert.equal(say(trip), "b sees 10.0.0.2:40000");
    assert.deepEqual(
      trip.request.hops.map((hop) => [hop.namespace, hop.linkIn, hop.linkOut]),
      [
        ["a", undefined, "eth0"],
        ["node", "br", "br"],
        ["b", "eth0", undefined],
      ],
    );
  });

  test("a MAC that an entry makes the bridge's own ends there; one that an entry puts behind another port goes there", () => {
    const namespaces = bridged({});
    const mac = macOfAddr(parseAddr("10.0.0.3"), 0);
    const withMac = namespaces.map((one) =>
      one.name === "b" ? { ...one, links: one.links.map((link) => (link.name === "eth0" ? { ...link, mac } : link)) } : one,
    );
    const entry = (link: string, permanent: boolean): Namespace[] =>
      withMac.map((one) => (one.name === "node" ? { ...one, fdb: [{ link, mac, permanent }] } : one));
    assert.equal(ask(withMac, TO_B), "b sees 10.0.0.2:40000");
    assert.equal(ask(entry("b", true), TO_B), "request ends in node: other host after 1 hops");
    assert.equal(ask(entry("b", false), TO_B), "b sees 10.0.0.2:40000");
    assert.equal(ask(entry("a", false), { ...TO_B, from: "node" }), "request ends in a: other host after 1 hops");
  });
});

describe("hooks", () => {
  const filter = (hook: BaseChain["hook"], priority = 0): On => ({ type: "filter", hook, priority });
  const ends = (...tables: Table[]): string => ask(behind(...tables), ASK);

  test("a drop anywhere is one, an accept is one of its chain; policies", () => {
    for (const hook of ["prerouting", "forward", "postrouting"] as const) {
      assert.equal(ends(tableOf("t", filter(hook), [drop()])), "request ends in router: rule after 2 hops");
    }
    assert.equal(ends(tableOf("t", filter("input"), [drop()]), tableOf("u", filter("output"), [drop()])), "server sees 10.0.1.2:40000");
    assert.equal(
      ends(tableOf("a", filter("forward", -5), [accept()]), tableOf("b", filter("forward", 5), [drop()])),
      "request ends in router: rule after 2 hops",
    );
    const base: BaseChain = { ...filter("forward"), policy: "drop" };
    assert.equal(ends(baseOf("t", base, [])), "request ends in router: rule after 2 hops");
    const trip = only(behind(baseOf("t", base, [])), ASK);
    assert.ok(trip.outcome.kind === "silence");
    assert.deepEqual(trip.outcome.rule, { table: "inet t", chain: "base" });
    assert.equal(ends({ ...tableOf("t", filter("forward"), [drop()]), family: "ip6" }), "server sees 10.0.1.2:40000");
    assert.equal(ends({ ...tableOf("t", filter("forward"), [drop()]), family: "ip" }), "request ends in router: rule after 2 hops");
  });

  test("chains go by priority; of two with one priority the later made goes first", () => {
    const order = (...tables: Table[]): string[] =>
      only(behind(...tables), ASK).request.hops.flatMap(({ decisions }) =>
        decisions.flatMap((each) => (each.kind === "rule" ? [each.table] : [])),
      );
    const at = (name: string, priority: number): Table =>
      tableOf(name, filter("forward", priority), [{ kind: "counter", packets: 0, bytes: 0 }]);
    assert.deepEqual(order(at("a", 10), at("b", 0), at("c", 0), at("d", -10)), ["inet d", "inet c", "inet b", "inet a"]);
  });

  test("reject says so, of each kind; errors of the other family say nothing", () => {
    const refusal = (how: Parameters<typeof reject>[0], question = ASK): string =>
      ask(behind(tableOf("t", filter("forward"), [reject(how)])), question);
    assert.equal(refusal("tcp reset"), "refused by router with tcp reset: rule");
    assert.equal(refusal("tcp reset", ASK_UDP), "request ends in router: rule after 2 hops");
    assert.equal(refusal("icmpx admin-prohibited"), "refused by router with admin-prohibited: rule");
    assert.equal(refusal("icmpx no-route", { ...ASK, dst: SERVER6 }), "refused by router with net-unreachable: rule");
    assert.equal(refusal("icmp host-unreachable"), "refused by router with host-unreachable: rule");
    assert.equal(refusal("icmp host-unreachable", { ...ASK, dst: SERVER6 }), "request ends in router: rule after 2 hops");
    assert.equal(refusal("icmpv6 addr-unreachable", { ...ASK, dst: SERVER6 }), "refused by router with host-unreachable: rule");
    const own = world({
      client: { tables: [tableOf("t", filter("output"), [equals(meta("l4proto"), UDP), reject("icmpx port-unreachable")])] },
    });
    assert.equal(ask(own, ASK_UDP), "refused by client with port-unreachable: rule");
  });

  test("without record there are no hops, and the same outcome", () => {
    const trip = only(behind(tableOf("t", filter("forward"), [drop()])), ASK, { record: false });
    assert.deepEqual([say(trip), trip.request.hops], ["request ends in router: rule after 0 hops", []]);
  });
});

describe("connections", () => {
  const on = (hook: BaseChain["hook"]): On => ({ type: "filter", hook, priority: 0 });
  const newOnly = (hook: BaseChain["hook"] = "forward"): Table =>
    tableOf(
      "t",
      on(hook),
      [hasFlags("state", "established", "related"), accept()],
      [equals(meta("iifname"), "client"), hasFlags("state", "new"), accept()],
      [drop()],
    );
  const value = (text: string): Expr => ({ kind: "value", type: "ipv4_addr", value: parseAddr(text) });
  const nat = (name: string, hook: "prerouting" | "postrouting", ...statements: Statement[]): Table =>
    tableOf(name, { type: "nat", hook, priority: hook === "prerouting" ? -100 : 100 }, statements);
  const VIP = parseAddr("10.96.0.1");
  const toServer = nat("dnat", "prerouting", equals(payload("ip daddr"), VIP), { kind: "dnat", family: "ip", to: value("10.0.2.2") });
  const masquerade = nat("snat", "postrouting", { kind: "masquerade" });

  test("replies and related errors pass, strangers do not", () => {
    assert.equal(ask(behind(newOnly()), ASK), "server sees 10.0.1.2:40000");
    assert.equal(ask(behind(newOnly()), { ...ASK_UDP, dstPort: 99 }), "refused by server with port-unreachable: port closed");
    assert.equal(
      ask(behind(newOnly()), { ...ASK, from: "server", dst: parseAddr("10.0.1.2") }),
      "request ends in router: rule after 2 hops",
    );
    assert.equal(ask(behind(newOnly()), PING), "server sees 10.0.1.2:");
  });

  test("what cannot begin a connection is invalid; an ACK takes one up that is there, unless that is forbidden", () => {
    const invalid = tableOf("t", on("forward"), [hasFlags("state", "invalid"), drop()]);
    const flags = (tcpFlags: number, sysctls = {}): string =>
      ask(world({ router: { tables: [invalid], sysctls: { ...FORWARDING, ...sysctls } } }), { ...ASK, tcpFlags }).replace(/ .*/, "");
    const { syn, ack, rst, fin } = TCP_FLAGS;
    assert.deepEqual(
      [flags(syn), flags(ack), flags(syn | ack), flags(rst), flags(fin | ack)],
      ["server", "server", "request", "request", "request"],
    );
    assert.equal(flags(ack, { "net/netfilter/nf_conntrack_tcp_loose": 0 }), "request");
  });

  test("dnat, snat, and their way back; what the memory holds then", () => {
    const trip = only(behind(toServer, masquerade), { ...ASK, dst: VIP }, { remember: true });
    assert.equal(say(trip), "server sees 10.0.2.1:40000");
    const [entry] = trip.memory?.conntrack["router"] ?? [];
    assert.ok(entry !== undefined);
    const { seenReply, confirmed, srcNat, dstNat, srcNatDone, dstNatDone } = STATUS;
    assert.equal(entry.status, seenReply | confirmed | srcNat | dstNat | srcNatDone | dstNatDone);
    assert.deepEqual(
      [formatAddr(entry.original.dst), formatAddr(entry.reply.src), formatAddr(entry.reply.dst)],
      ["10.96.0.1", "10.0.2.2", "10.0.2.1"],
    );
    assert.ok(entry.expiresMs > 0);
  });

  test("a refusal of what was translated comes back from where the client asked", () => {
    for (const [question, refusal] of [
      [{ ...ASK, dst: VIP, dstPort: 81 }, "tcp reset"],
      [{ ...ASK_UDP, dst: VIP, dstPort: 81 }, "port-unreachable"],
    ] as const) {
      const trip = only(behind(toServer, masquerade), question);
      assert.equal(say(trip), `refused by server with ${refusal}: port closed`);
      const back: Packet | undefined = trip.reply?.end.packet;
      assert.equal(back && formatAddr(back.src), "10.96.0.1");
      if (back?.icmp?.about !== undefined)
        assert.deepEqual([formatAddr(back.icmp.about.src), formatAddr(back.icmp.about.dst)], ["10.0.1.2", "10.96.0.1"]);
    }
    const rejected = behind(toServer, tableOf("t", on("forward"), [reject("tcp reset")]));
    assert.equal(ask(rejected, { ...ASK, dst: VIP }), "refused by router with tcp reset: rule");
    const rejectedIcmp = behind(toServer, tableOf("t", on("forward"), [reject("icmpx port-unreachable")]));
    assert.equal(ask(rejectedIcmp, { ...ASK, dst: VIP }), "refused by router with port-unreachable: rule");
  });

  test("what is refused before it is confirmed leaves nothing behind, and the refusal is asked nothing", () => {
    const how: Parameters<typeof reject>[0][] = ["tcp reset", "icmpx port-unreachable"];
    for (const each of how) {
      const trip = only(
        behind(toServer, masquerade, tableOf("t", on("forward"), [reject(each)])),
        { ...ASK, dst: VIP },
        { remember: true },
      );
      assert.equal(trip.outcome.kind, "refused");
      assert.deepEqual(trip.memory?.conntrack["router"], []);
      assert.equal(trip.reply && formatAddr(trip.reply.end.packet.src), "10.96.0.1");
      const asked = trip.reply?.hops
        .flatMap(({ decisions }) => decisions)
        .filter((each_) => each_.kind === "rule" && each_.table === "inet snat");
      assert.equal(asked?.length, each === "tcp reset" ? 1 : 0);
    }
  });

  test("a connection is new until it is answered", () => {
    const silent = { listeners: [DNS], tables: [tableOf("mute", on("input"), [drop()])] };
    const noEstablished = tableOf("t", on("forward"), [hasFlags("state", "established"), reject("icmpx admin-prohibited")]);
    const namespaces = world({ router: { tables: [noEstablished] }, server: silent });
    const memory = only(namespaces, ASK_UDP, { remember: true }).memory ?? assert.fail();
    assert.equal(memory.conntrack["router"]?.length, 1);
    assert.equal(ask(namespaces, ASK_UDP, { memory }), "request ends in server: rule after 3 hops");
    const answered = only(behind(noEstablished), ASK_UDP, { remember: true });
    assert.equal(say(answered), "reply ends in router: rule after 2 hops");
  });

  test("masquerade takes the address that is in the next hop's subnet", () => {
    const namespaces = behind(masquerade).map((one) => {
      if (one.name === "server") return { ...one, addrs: [...one.addrs, addr("10.7.7.7/32 dev lo")] };
      if (one.name !== "router") return one;
      return { ...one, addrs: [addr("10.9.9.1/24 dev server"), ...one.addrs], routes: [route("10.7.0.0/16 via 10.0.2.2 dev server")] };
    });
    assert.equal(ask(namespaces, { ...ASK, dst: parseAddr("10.7.7.7") }), "server sees 10.0.2.1:40000");
  });

  test("echo requests are translated by their identifier", () => {
    assert.equal(ask(behind(toServer, masquerade), { ...PING, dst: VIP }), "server sees 10.0.2.1:");
  });

  test("nat chains are asked for the first packet only, and the first that translates is the last", () => {
    const first = only(behind(toServer), { ...ASK, dst: VIP }, { remember: true });
    const elsewhere = nat("dnat", "prerouting", equals(payload("ip daddr"), VIP), { kind: "dnat", family: "ip", to: value("10.0.2.99") });
    const memory = first.memory ?? assert.fail();
    const segment = { ...ASK, dst: VIP, tcpFlags: TCP_FLAGS.ack };
    assert.equal(ask(behind(elsewhere), segment, { memory }), "server sees 10.0.1.2:40000");
    assert.equal(
      ask(behind(elsewhere), { ...segment, tcpFlags: TCP_FLAGS.syn, srcPort: 40_001 }, { memory }),
      "refused by router with host-unreachable: no neighbour",
    );
    const never = tableOf("never", { type: "nat", hook: "prerouting", priority: -99 }, [drop()]);
    assert.equal(ask(behind(never, toServer), { ...ASK, dst: VIP }), "server sees 10.0.1.2:40000");
    const later = {
      ...elsewhere,
      name: "later",
      chains: elsewhere.chains.map((chain) => ({
        ...chain,
        base: { type: "nat", hook: "prerouting", priority: -99, policy: "accept" } as const,
      })),
    };
    assert.equal(ask(behind(later, toServer), { ...ASK, dst: VIP }), "server sees 10.0.1.2:40000");
  });

  test("a port that another connection has is exchanged for a free one", () => {
    const memory = only(behind(toServer), { ...ASK, dst: VIP }, { remember: true }).memory ?? assert.fail();
    // Directly to the endpoint: the reply's tuple would be the same.
    assert.equal(ask(behind(toServer), ASK, { memory }), "server sees 10.0.1.2:40001");
    assert.equal(ask(behind(toServer), { ...ASK, srcPort: 600 }, { memory }), "server sees 10.0.1.2:600");
  });

  test("with fully-random any port comes out, by the source of randomness that is given", () => {
    const random = nat("snat", "postrouting", { kind: "masquerade", flags: ["fully-random"] });
    const port = (chance: number): string => say(roundTrip(prepareNetwork({ namespaces: behind(random) }), ASK, () => chance));
    assert.deepEqual(
      [port(0), port(0.5), port(0.99999)],
      ["server sees 10.0.2.1:1024", "server sees 10.0.2.1:33280", "server sees 10.0.2.1:65535"],
    );
  });

  test("connections end; a full table takes no new ones", () => {
    const first = only(behind(newOnly()), ASK_UDP, { remember: true });
    const memory = first.memory ?? assert.fail();
    const back: Question = { from: "server", protocol: UDP, src: SERVER, srcPort: 53, dst: parseAddr("10.0.1.2"), dstPort: 40_000 };
    const stateAt = (now: number): string => ask(behind(newOnly()), back, { memory, now }).replace(/: .*/, "");
    assert.equal(stateAt(119_000), "refused by client with port-unreachable");
    assert.equal(stateAt(120_000), "request ends in router");
    const full = world({ router: { tables: [newOnly()], sysctls: { ...FORWARDING, "net/netfilter/nf_conntrack_max": 1 } } });
    assert.equal(ask(full, { ...ASK_UDP, srcPort: 40_001 }, { memory }), "request ends in router: conntrack full after 2 hops");
    assert.equal(ask(full, ASK_UDP, { memory }), "server sees 10.0.1.2:40000");
  });

  test("what is not tracked has no connection, and is not translated", () => {
    const notrack = tableOf("raw", { type: "filter", hook: "prerouting", priority: -300 }, [{ kind: "notrack" }]);
    const untracked = tableOf("t", on("forward"), [hasFlags("state", "untracked"), drop()]);
    assert.equal(ask(behind(notrack, untracked), ASK), "request ends in router: rule after 2 hops");
    assert.equal(ask(behind(notrack, toServer), { ...ASK, dst: VIP }), "refused by router with net-unreachable: no route");
  });

  test("what is marked in the output hook takes another route; the mark stays in its namespace", () => {
    const one: Expr = { kind: "value", type: "mark", value: 1 };
    const marking = tableOf("t", { type: "route", hook: "output", priority: -150 }, [
      { kind: "set", target: { kind: "meta", key: "mark" }, value: one },
    ]);
    const marked = tableOf("u", on("forward"), [equals(meta("mark"), 1), drop()]);
    const rules = [
      { family: 4, priority: 10, table: 100, fwmark: { value: 1, mask: 0xff } },
      { family: 4, priority: 32_766, table: 254 },
    ] as const;
    const client = (routes: Namespace["routes"]): Namespace[] =>
      world({ client: { tables: [marking], rules, routes }, router: { tables: [marked] } });
    const usual = route("default via 10.0.1.1 dev eth0");
    assert.equal(ask(client([usual]), ASK), "reply ends in client: not forwarding after 3 hops");
    const local = { family: 4, priority: 0, table: 255 } as const;
    const whole = (routes: Namespace["routes"]): Namespace[] =>
      client(routes).map((each) => (each.name === "client" ? { ...each, rules: [local, ...rules] } : each));
    assert.equal(ask(whole([usual]), ASK), "server sees 10.0.1.2:40000");
    assert.equal(ask(whole([usual, route("blackhole 10.0.2.0/24", { table: 100 })]), ASK), "request ends in client: no route after 1 hops");
  });

  test("what is translated in the output hook takes another route", () => {
    const own = world({
      client: {
        tables: [
          tableOf("dnat", { type: "nat", hook: "output", priority: -100 }, [
            equals(payload("ip daddr"), VIP),
            { kind: "dnat", family: "ip", to: value("127.0.0.1") },
          ]),
        ],
        listeners: [WEB],
      },
    });
    assert.equal(ask(own, { ...ASK, dst: VIP }), "client sees 10.0.1.2:40000");
  });
});

test("namespaces that two states share are made ready once; what lies between them is not mixed up", () => {
  const [client, router, server] = world();
  assert.ok(client !== undefined && router !== undefined && server !== undefined);
  const one = prepareNetwork({ namespaces: [client, router, server] });
  assert.equal(say(roundTrip(one, ASK, Math.random)), "server sees 10.0.1.2:40000");
  const other = prepareNetwork({ namespaces: [client, router, { ...server, addrs: [addr("10.0.2.3/24 dev eth0")] }] });
  assert.equal(one.hosts.get("router"), other.hosts.get("router"));
  assert.equal(say(roundTrip(other, ASK, Math.random)), "refused by router with host-unreachable: no neighbour");
  assert.throws(() => roundTrip(one, { ...ASK, from: "nobody" }, Math.random), /no namespace "nobody"/);
});
