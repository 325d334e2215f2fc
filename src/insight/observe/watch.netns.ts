// A watch over a client, a router that translates and forbids, a server behind vxlan: what is seen where, and that nothing is left.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { after, before, test } from "node:test";
import { formatAddr, parseAddr, parsePrefix } from "#ip";
import { type NetNs, netns, openNft, openRoute, type RouteSocket, udpFd } from "#linux";
import { drop, equals, meta, payload, type Statement, UDP } from "#nft";
import { probe } from "./probe.ts";
import type { OpenNamespace } from "./read.ts";
import type { ProbeResult, Sighting, WatchRequest } from "./types.ts";
import { watch } from "./watch.ts";

const client = netns.createAnonymous();
const router = netns.createAnonymous();
const server = netns.createAnonymous();
const closing: { close(): void }[] = [client, router, server];
const keepAlive: NodeJS.Timeout = setInterval(() => {}, 1000);
after(() => {
  clearInterval(keepAlive);
  for (const one of closing.toReversed()) one.close();
});

const NAMESPACES: readonly OpenNamespace[] = [
  { role: "pod", name: "default/client", ns: client },
  { role: "node", name: "router", ns: router },
  { role: "pod", name: "default/server", ns: server },
];
const TABLE = { family: "inet", name: "translate" } as const;

/** client 10.1.0.2 — 10.1.0.1 router 10.2.0.1 — vxlan over 192.168.0.0/24 — 10.2.0.2 server; 10.96.0.1:53 is the server's 5000. */
before(() => {
  const [c, r, s] = [client, router, server].map((ns): RouteSocket => openRoute(ns));
  assert.ok(c && r && s);
  closing.push(c, r, s);
  r.links.add({ name: "pod", type: { kind: "veth", peer: { name: "eth0", netns: client } }, up: true });
  r.links.add({ name: "wire", type: { kind: "veth", peer: { name: "wire", netns: server } }, up: true });
  c.links.change("eth0", { up: true });
  s.links.change("wire", { up: true });
  const set = (route: RouteSocket, link: string, text: string): void => route.addrs.set({ link, prefix: parsePrefix(text), noDad: true });
  set(c, "eth0", "10.1.0.2/24");
  set(r, "pod", "10.1.0.1/24");
  set(r, "wire", "192.168.0.1/24");
  set(s, "wire", "192.168.0.2/24");
  for (const [route, own, other] of [
    [r, 1, 2],
    [s, 2, 1],
  ] as const) {
    const local = parseAddr(`192.168.0.${own}`);
    route.links.add({ name: "vx", type: { kind: "vxlan", vni: 7, port: 8472, local, learning: true }, up: true });
    route.fdb.set({ link: "vx", mac: new Uint8Array(6), dst: parseAddr(`192.168.0.${other}`) });
    set(route, "vx", `10.2.0.${own}/24`);
  }
  c.routes.set({ dst: parsePrefix("0.0.0.0/0"), nextHops: [{ via: parseAddr("10.1.0.1"), link: "eth0" }] });
  s.routes.set({ dst: parsePrefix("10.1.0.0/24"), nextHops: [{ via: parseAddr("10.2.0.1"), link: "vx" }] });
  router.setSysctl("net.ipv4.ip_forward", 1);
  translate();
  const echo = createSocket("udp4");
  echo.on("message", (data, from) => echo.send(data, from.port, from.address));
  echo.bind({ fd: udpFd(server, parseAddr("0.0.0.0"), 5000) });
  closing.push(echo);
});

function translate(): void {
  const nft = openNft(router);
  closing.push(nft);
  const to = parseAddr("10.2.0.2");
  const dnat: Statement = {
    kind: "dnat",
    family: "ip",
    to: {
      kind: "concat",
      parts: [
        { kind: "value", type: "ipv4_addr", value: to },
        { kind: "value", type: "inet_service", value: 5000 },
      ],
    },
  };
  const port = (n: number): Statement[] => [equals(meta("l4proto"), UDP), equals(payload("th dport"), n)];
  nft.apply([
    { op: "add table", table: TABLE },
    { op: "add chain", table: TABLE, chain: "pre", base: { type: "nat", hook: "prerouting", priority: -100, policy: "accept" } },
    { op: "add rule", table: TABLE, chain: "pre", rule: { statements: [...port(53), dnat], comment: "default/dns" } },
    { op: "add chain", table: TABLE, chain: "fwd", base: { type: "filter", hook: "forward", priority: 0, policy: "accept" } },
    { op: "add rule", table: TABLE, chain: "fwd", rule: { statements: [...port(5001), drop()], comment: "default/deny" } },
  ]);
}

const SERVICE = parseAddr("10.96.0.1");

async function watched(
  request: Partial<WatchRequest>,
  send: () => Promise<ProbeResult>,
): Promise<{ seen: Sighting[]; result: ProbeResult }> {
  const stop = new AbortController();
  const match = { protocol: "udp", addrs: [], ports: [41_000] } as const;
  const seen: Sighting[] = [];
  let sent: Promise<ProbeResult> | undefined;
  for await (const one of watch({ node: "node-1", namespaces: NAMESPACES }, { match, seconds: 30, ...request }, stop.signal)) {
    seen.push(one);
    if (one.kind === "armed") sent = send().finally(() => stop.abort());
  }
  assert.ok(sent !== undefined, "armed comes first");
  return { seen, result: await sent };
}

function ask(dst: string, dstPort: number, timeoutMs = 5000): Promise<ProbeResult> {
  const from = { kind: "pod", namespace: "default", name: "client" } as const;
  return probe(client, {
    from,
    protocol: "udp",
    dst: parseAddr(dst),
    dstPort,
    srcPort: 41_000,
    payload: Buffer.alloc(100, "x"),
    timeoutMs,
  });
}

const ends = (one: Sighting): string => {
  if (one.kind !== "capture" && one.kind !== "trace") return one.kind;
  const carried = one.packet?.vxlan?.inner ?? one.packet;
  const where = carried?.ip === undefined ? "" : `${formatAddr(carried.ip.dst)}:${carried.udp?.dstPort}`;
  const what =
    one.kind === "capture"
      ? `${one.direction} ${one.link}${one.packet.vxlan ? " vxlan" : ""}`
      : `${one.hook} ${one.comment ?? one.step} ${one.verdict}`;
  return `${one.namespace} ${what} ${where}`;
};

test("there and back: at every link and through every rule, before and after translation, also inside vxlan", async () => {
  const { seen, result } = await watched({}, () => ask("10.96.0.1", 53));
  assert.equal(result.outcome, "answered", JSON.stringify(result));
  const captures = seen
    .filter(({ kind }) => kind === "capture")
    .toSorted((a, b) => ("timeNs" in a && "timeNs" in b ? Number(a.timeNs - b.timeNs) : 0));
  assert.deepEqual(captures.map(ends), [
    "default/client out eth0 10.96.0.1:53",
    "router in pod 10.96.0.1:53",
    "router out vx 10.2.0.2:5000",
    "router out wire vxlan 10.2.0.2:5000",
    "default/server in wire vxlan 10.2.0.2:5000",
    "default/server in vx 10.2.0.2:5000",
    "default/server out vx 10.1.0.2:41000",
    "default/server out wire vxlan 10.1.0.2:41000",
    "router in wire vxlan 10.1.0.2:41000",
    "router in vx 10.1.0.2:41000",
    "router out pod 10.1.0.2:41000",
    "default/client in eth0 10.1.0.2:41000",
  ]);
  const traces = seen.filter(({ kind }) => kind === "trace").map(ends);
  assert.deepEqual(traces, [
    "router prerouting default/dns accept 10.96.0.1:53",
    "router forward policy accept 10.2.0.2:5000",
    "router forward policy accept 10.1.0.2:41000",
  ]);
  const [first] = seen.filter((one) => one.kind === "trace");
  assert.deepEqual(
    [first?.node, first?.family, first?.table, first?.chain, first?.priority, first?.linkIn],
    ["node-1", "inet", "translate", "pre", -100, "pod"],
  );
  assert.match(first?.rule ?? "", /^meta l4proto udp th dport 53 dnat ip to 10\.2\.0\.2:5000 comment "default\/dns"$/);
});

test("a packet that a rule drops: the rule, and nothing after it; others are not seen", async () => {
  const { seen, result } = await watched({}, async () => {
    await probe(client, {
      from: { kind: "outside" },
      protocol: "udp",
      dst: SERVICE,
      dstPort: 53,
      payload: Buffer.from("y"),
      timeoutMs: 5000,
    });
    return ask("10.2.0.2", 5001, 50);
  });
  assert.equal(result.outcome, "silence");
  assert.ok(!seen.some((one) => ends(one).includes(":53")), "the other probe");
  assert.deepEqual(seen.filter(({ kind }) => kind === "trace").map(ends), [
    "router prerouting policy accept 10.2.0.2:5001",
    "router forward default/deny drop 10.2.0.2:5001",
  ]);
  assert.deepEqual(
    seen
      .filter(({ kind }) => kind === "capture")
      .map(ends)
      .toSorted(),
    ["default/client out eth0 10.2.0.2:5001", "router in pod 10.2.0.2:5001"],
  );
});

test("an ICMP error about a packet that is meant", async () => {
  const { seen, result } = await watched({ namespaces: ["default/client"], traces: false }, () => ask("10.2.0.2", 5002));
  assert.deepEqual([result.outcome, result.icmp?.type, result.icmp?.code], ["refused", 3, 3]);
  const errors = seen.flatMap((one) => (one.kind === "capture" && one.packet.icmp?.about ? [one.packet.icmp] : []));
  assert.deepEqual(
    errors.map(({ type, code }) => [type, code]),
    [[3, 3]],
  );
  assert.deepEqual(seen[0]?.kind === "armed" && seen[0].namespaces, ["default/client"]);
});

test("after it nothing of it is in the kernel; what cannot be watched is told", async () => {
  const gone = netns.createAnonymous();
  gone.close();
  const stop = new AbortController();
  const match = { protocol: "icmp", addrs: [SERVICE], ports: [] } as const;
  const tables = (ns: NetNs): string[] => {
    const nft = openNft(ns);
    const names = nft.tables().map(({ name }) => name);
    nft.close();
    return names;
  };
  for await (const one of watch(
    { node: "n", namespaces: [...NAMESPACES, { role: "pod", name: "default/gone", ns: gone }] },
    { match, seconds: 30 },
    stop.signal,
  )) {
    assert.ok(one.kind === "armed");
    assert.match(one.problems.join(), /default\/gone: Cannot enter network namespace/);
    assert.equal(tables(router).filter((name) => name.startsWith("fairlead-trace-")).length, 1);
    stop.abort();
  }
  assert.deepEqual(tables(router), ["translate"]);
});
