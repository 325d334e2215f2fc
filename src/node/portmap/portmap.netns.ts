// Real packets through the real table.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { formatAddr, parseAddr, parsePrefix } from "#ip";
import { openNft, openRoute } from "#linux";
import { SETS, TABLE } from "./layout.ts";
import { type TestPod, tcp, UdpClient, udp, World } from "./testing/world.ts";
import type { HostPorts, PortMapping } from "./types.ts";

let world: World;
let a: TestPod;
let b: TestPod;

before(() => {
  world = new World();
  a = world.pod("pod-a");
  b = world.pod("pod-b");
});

after(() => world.close());

const both = (hostPort: number, hostIp?: string): PortMapping[] =>
  (["TCP", "UDP"] as const).map((protocol) => ({ protocol, containerPort: 8080, hostPort, ...(hostIp !== undefined && { hostIp }) }));

const FAMILIES = [
  {
    name: "IPv4",
    index: 0,
    node: "172.18.0.11",
    gateway: "10.244.1.1",
    outside: "172.18.0.1",
    foreign: "192.0.2.9",
    loopback: "127.0.0.1",
  },
  {
    name: "IPv6",
    index: 1,
    node: "fd00:18::11",
    gateway: "fd00:10:244:1::1",
    outside: "fd00:18::1",
    foreign: "2001:db8:5::9",
    loopback: "::1",
  },
] as const;

for (const { name, index, node, gateway, outside, foreign, loopback } of FAMILIES) {
  describe(`host ports over ${name}`, () => {
    let ports: HostPorts;
    const addrOf = (pod: TestPod): string => formatAddr(pod.addrs[index] ?? assert.fail(`${pod.name} has no ${name} address`));

    before(() => {
      ports = world.start();
    });

    afterEach(() => {
      for (const pod of [a, b]) ports.del(pod.name);
    });

    after(() => ports.stop());

    for (const [protocol, ask] of [
      ["TCP", tcp],
      ["UDP", udp],
    ] as const) {
      test(`${protocol}: from everywhere, and who it is that asks`, async () => {
        ports.add(world.ports(a, both(5000)));
        const seen = {
          outside: await ask(world.outside, node, 5000),
          node: await ask(world.node, node, 5000),
          "node, at its gateway address": await ask(world.node, gateway, 5000),
          "node, at localhost": await ask(world.node, loopback, 5000),
          "another pod": await ask(b, node, 5000),
          "another pod, at its gateway": await ask(b, gateway, 5000),
          itself: await ask(a, node, 5000),
        };
        assert.deepEqual(seen, {
          outside: `pod-a ${outside}`,
          node: `pod-a ${node}`,
          "node, at its gateway address": `pod-a ${gateway}`,
          "node, at localhost": index === 0 ? `pod-a ${gateway}` : "ECONNREFUSED",
          "another pod": `pod-a ${addrOf(b)}`,
          "another pod, at its gateway": `pod-a ${addrOf(b)}`,
          itself: `pod-a ${gateway}`,
        });
      });

      test(`${protocol}: what is not the node's is not taken`, async () => {
        const one = { protocol, containerPort: 8080, hostPort: 8080 };
        ports.add(world.ports(a, [one, { ...one, hostIp: foreign }]));
        assert.equal(await ask(a, addrOf(b), 8080), `pod-b ${addrOf(a)}`, "a pod's own port of the same number");
        assert.equal(await Promise.race([ask(world.outside, foreign, 8080), silence()]), "silence", "an address that is nobody's");
      });

      test(`${protocol}: the same port of two addresses`, async () => {
        ports.add(world.ports(a, both(5001, gateway)));
        ports.add(world.ports(b, both(5001, node)));
        assert.match(await ask(world.node, gateway, 5001), /^pod-a /);
        assert.match(await ask(world.node, node, 5001), /^pod-b /);
        assert.match(await ask(world.outside, node, 5001), /^pod-b /);
        assert.equal(await ask(world.node, loopback, 5001), "ECONNREFUSED");
      });

      test(`${protocol}: closed again`, async () => {
        ports.add(world.ports(a, both(5002)));
        assert.match(await ask(world.outside, node, 5002), /^pod-a /);
        ports.del(a.name);
        assert.equal(await ask(world.outside, node, 5002), "ECONNREFUSED");
        assert.equal(await ask(world.node, node, 5002), "ECONNREFUSED");
        ports.del(a.name);
      });

      test(`${protocol}: the newer of two pods has the port, and gives it back`, async () => {
        ports.add(world.ports(a, both(5003)));
        ports.add(world.ports(b, both(5003)));
        assert.match(await ask(world.outside, node, 5003), /^pod-b /);
        ports.del(b.name);
        assert.match(await ask(world.outside, node, 5003), /^pod-a /);
      });

      test(`${protocol}: a Service that has the port keeps it`, async () => {
        const nft = openNft(world.node.ns);
        const table = { family: "inet", name: "services" } as const;
        ports.add(world.ports(a, both(5004)));
        const to = { kind: "value", type: index === 0 ? "ipv4_addr" : "ipv6_addr", value: b.addrs[index] ?? assert.fail() } as const;
        const port = { kind: "value", type: "inet_service", value: 8080 } as const;
        nft.apply([
          { op: "add table", table },
          { op: "add chain", table, chain: "p", base: { type: "nat", hook: "prerouting", priority: -100, policy: "accept" } },
          {
            op: "add rule",
            table,
            chain: "p",
            rule: {
              statements: [
                { kind: "match", left: { kind: "meta", key: "nfproto" }, op: "==", right: index === 0 ? 2 : 10 },
                { kind: "match", left: { kind: "meta", key: "l4proto" }, op: "==", right: protocol === "TCP" ? 6 : 17 },
                { kind: "match", left: { kind: "payload", field: "th dport" }, op: "==", right: 5004 },
                { kind: "dnat", family: index === 0 ? "ip" : "ip6", to: { kind: "concat", parts: [to, port] } },
              ],
            },
          },
        ]);
        const answer = await ask(world.outside, node, 5004);
        nft.apply([{ op: "delete table", table }]);
        nft.close();
        assert.match(answer, /^pod-b /);
        assert.match(await ask(world.outside, node, 5004), /^pod-a /);
      });
    }

    test("a UDP client that goes on sending follows the port: refused, to a pod, to another, refused", async () => {
      const client = new UdpClient(world.outside, node, 5005);
      const local = new UdpClient(world.node, index === 0 ? loopback : node, 5005);
      const ask = (): Promise<string[]> => Promise.all([client, local].map(async (one) => (await one.ask()).split(" ")[0] ?? ""));
      assert.deepEqual(await ask(), ["ECONNREFUSED", "ECONNREFUSED"]);
      ports.add(world.ports(a, both(5005)));
      assert.deepEqual(await ask(), ["pod-a", "pod-a"]);
      ports.add(world.ports(b, both(5005)));
      assert.deepEqual(await ask(), ["pod-b", "pod-b"]);
      ports.del(b.name);
      assert.deepEqual(await ask(), ["pod-a", "pod-a"]);
      ports.del(a.name);
      assert.deepEqual(await ask(), ["ECONNREFUSED", "ECONNREFUSED"]);
      for (const one of [client, local]) one.close();
    });

    test("localhost from another address of the node", async () => {
      ports.add(world.ports(a, both(5006, loopback)));
      const client = new UdpClient(world.node, loopback, 5006, node);
      assert.equal(await client.ask(), `pod-a ${node}`);
      client.close();
    });
  });
}

function silence(): Promise<string> {
  return new Promise((resolve) => setTimeout(() => resolve("silence"), 250));
}

test("kernel objects exist while they are needed, and no longer", () => {
  const ports = world.start();
  const localnet = (): string => world.node.ns.sysctl("net/ipv4/conf/cni0/route_localnet");
  const { nft } = world.options;
  assert.equal(nft.list(TABLE), undefined);
  assert.equal(localnet(), "0");
  ports.add(world.ports(a, both(5000)));
  assert.equal(localnet(), "1");
  assert.equal(nft.elements(TABLE, SETS[6].anyAddr).length, 2);
  ports.del(a.name);
  assert.equal(nft.list(TABLE), undefined);
  assert.equal(localnet(), "0");
  ports.stop();
});

test("127.0.0.0/8 is let in from no link", async (t) => {
  let ports = world.start();
  t.after(() => ports.stop());
  const wanted = world.ports(a, both(5000));
  ports.add(wanted);
  world.serve(world.node, "node", [parseAddr("127.0.0.1")], 9000);
  assert.equal(await tcp(world.node, "127.0.0.1", 9000), "node 127.0.0.1");
  world.node.ns.setSysctl("net/ipv4/conf/eth0/route_localnet", 1);
  // CVE-2020-8558: who may send as it likes sends to the node's loopback address, a pod as well as a neighbour of the node.
  for (const [from, via] of [
    [a, "10.244.1.1"],
    [world.outside, "172.18.0.11"],
  ] as const) {
    const route = openRoute(from.ns);
    from.ns.setSysctl("net/ipv4/conf/eth0/route_localnet", 1);
    route.addrs.del({ link: "lo", prefix: parsePrefix("127.0.0.1/8") });
    route.routes.set({ dst: parsePrefix("127.0.0.1/32"), nextHops: [{ via: parseAddr(via), link: "eth0", onlink: true }] });
    route.close();
    const ask = (port: number): Promise<string> => Promise.race([tcp(from, "127.0.0.1", port), silence()]);
    for (const port of [9000, 5000]) assert.equal(await ask(port), "silence");
    world.options.nft.apply([{ op: "flush chain", table: TABLE, chain: "guard" }]);
    assert.match(await ask(9000), /^node /, "without the guard");
    ports.stop();
    ports = world.start([wanted]);
    for (const port of [9000, 5000]) assert.equal(await ask(port), "silence", "the next agent has put the guard right");
  }
  ports.del(a.name);
});

describe("an agent that comes after another", () => {
  const nft = (): number => world.options.nft.generation();

  test("changes nothing where all is as it was, and flows go on", async () => {
    const wanted = [world.ports(a, both(5000)), world.ports(b, both(5001, "172.18.0.11"))];
    const first = world.start();
    for (const pod of wanted) first.add(pod);
    const client = new UdpClient(world.outside, "172.18.0.11", 5000);
    assert.equal(await client.ask(), "pod-a 172.18.0.1");
    first.stop();
    assert.equal(await client.ask(), "pod-a 172.18.0.1", "while there is none");
    const generation = nft();
    const second = world.start(wanted);
    for (const pod of wanted) second.add(pod);
    assert.equal(nft(), generation);
    assert.equal(second.metrics.conntrack_deleted_entries_total, 0);
    assert.equal(await client.ask(), "pod-a 172.18.0.1");
    client.close();
    for (const pod of [a, b]) second.del(pod.name);
    second.stop();
  });

  test("closes what has gone and opens what is missing, in one transaction, and what stays is not touched", async () => {
    const [stays, goes] = [world.ports(a, both(5000)), world.ports(b, both(5001))];
    const first = world.start();
    first.add(stays);
    first.add(goes);
    first.stop();
    const gone = new UdpClient(world.outside, "172.18.0.11", 5001);
    assert.equal(await gone.ask(), "pod-b 172.18.0.1");
    const { nft: socket } = world.options;
    const before = nft();
    const sets = SETS[4];
    const lost = socket.elements(TABLE, sets.anyAddr).filter(({ key }) => key[0] === 6 && key[1] === 5000);
    socket.apply([{ op: "delete elements", table: TABLE, set: sets.anyAddr, elements: lost }]);
    const second = world.start([stays]);
    assert.equal(nft(), before + 2);
    assert.match(await tcp(world.outside, "172.18.0.11", 5000), /^pod-a /);
    assert.equal(await tcp(world.outside, "172.18.0.11", 5001), "ECONNREFUSED");
    assert.equal(await gone.ask(), "ECONNREFUSED");
    gone.close();
    second.del(a.name);
    second.stop();
  });

  test("a table that somebody removed comes back with the next pod, a bridge that was made again is let through", async () => {
    const ports = world.start();
    ports.add(world.ports(a, both(5000)));
    world.options.nft.apply([{ op: "delete table", table: TABLE }]);
    ports.add(world.ports(b, both(5001)));
    for (const port of [5000, 5001]) assert.match(await tcp(world.outside, "172.18.0.11", port), /^pod-/);
    const { ns, route } = world.node;
    route.links.del("cni0");
    const localnet = (): string => (route.links.get("cni0") === undefined ? "" : ns.sysctl("net/ipv4/conf/cni0/route_localnet"));
    while (localnet() !== "1") await new Promise((resolve) => setImmediate(resolve));
    assert.match(await tcp(world.node, "127.0.0.1", 5000), /^pod-a /);
    ports.stop();
  });
});
