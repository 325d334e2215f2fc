// Real probes between two namespaces: each kind of answer, and who gave it.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { formatAddr, parseAddr, parsePrefix } from "#ip";
import { listenFd, type NetNs, netns, openNft, openRoute, udpFd } from "#linux";
import { drop, equals, meta, payload, type RejectWith, type Statement, TCP, UDP } from "#nft";
import { probe } from "./probe.ts";
import type { ProbeRequest, ProbeResult } from "./types.ts";

const near = netns.createAnonymous();
const far = netns.createAnonymous();
const open: { close(): void }[] = [near, far];
after(() => {
  for (const one of open.toReversed()) one.close();
});

before(() => {
  const [nearRoute, farRoute] = [openRoute(near), openRoute(far)];
  open.push(nearRoute, farRoute);
  nearRoute.links.add({ name: "eth0", type: { kind: "veth", peer: { name: "eth0", netns: far } }, up: true });
  farRoute.links.change("eth0", { up: true });
  for (const [route, n] of [
    [nearRoute, 1],
    [farRoute, 2],
  ] as const) {
    route.links.change("lo", { up: true });
    for (const family of ["ipv4", "ipv6"]) (n === 1 ? near : far).setSysctl(`net/${family}/neigh/eth0/retrans_time_ms`, 20);
    for (const prefix of [`10.9.0.${n}/24`, `fd09::${n}/64`]) route.addrs.set({ link: "eth0", prefix: parsePrefix(prefix), noDad: true });
  }
  for (const text of ["10.9.0.2", "fd09::2"]) serve(text);
  refuse(far, 7001, "icmpx admin-prohibited");
  refuse(far, 7002, undefined);
  refuse(far, 7004, "tcp reset");
});

/** TCP 8000 greets whoever says something; UDP 5000 sends back what it gets. */
function serve(text: string): void {
  const addr = parseAddr(text);
  const server: Server = createServer((socket) => socket.on("error", () => {}).on("data", (data) => socket.write(`hello ${String(data)}`)));
  server.listen({ fd: listenFd(far, addr, 8000) }).unref();
  open.push({ close: () => void server.close() });
  const udp = createSocket(addr.family === 4 ? "udp4" : "udp6");
  udp.on("message", (data, from) => udp.send(data, from.port, from.address));
  udp.bind({ fd: udpFd(far, addr, 5000) });
  udp.unref();
  open.push(udp);
}

function refuse(ns: NetNs, port: number, how: RejectWith | undefined): void {
  const nft = openNft(ns);
  const table = { family: "inet", name: `refuse-${port}` } as const;
  const verdict: Statement = how === undefined ? drop() : { kind: "reject", with: how };
  const protocol: Statement[] = how === "tcp reset" ? [equals(meta("l4proto"), TCP)] : [];
  nft.apply([
    { op: "add table", table },
    { op: "add chain", table, chain: "in", base: { type: "filter", hook: "input", priority: 0, policy: "accept" } },
    { op: "add rule", table, chain: "in", rule: { statements: [...protocol, equals(payload("th dport"), port), verdict] } },
  ]);
  nft.close();
}

function ask(dst: string, protocol: ProbeRequest["protocol"], more: Partial<ProbeRequest> = {}): Promise<ProbeResult> {
  return probe(near, { from: { kind: "outside" }, protocol, dst: parseAddr(dst), timeoutMs: 5000, ...more });
}

for (const [dst, own] of [
  ["10.9.0.2", "10.9.0.1"],
  ["fd09::2", "fd09::1"],
] as const) {
  const six = dst.includes(":");
  describe(dst, () => {
    test("TCP: answered, and where it came from", async () => {
      const result = await ask(dst, "tcp", { dstPort: 8000, srcPort: 41_000 });
      assert.equal(result.outcome, "answered", JSON.stringify(result));
      assert.deepEqual(result.local, { addr: parseAddr(own), port: 41_000 });
      assert.ok((result.rttUs ?? 0) > 0);
      const again = await ask(dst, "tcp", { dstPort: 8000, payload: Buffer.from("you") });
      assert.equal(Buffer.from(again.firstBytes ?? []).toString(), "hello you");
    });

    test("TCP: refused by a reset, by a rule's reset, and by an ICMP error", async () => {
      for (const dstPort of [8001, 7004]) {
        const { outcome, errno, icmp } = await ask(dst, "tcp", { dstPort });
        assert.deepEqual([outcome, errno, icmp], ["refused", "ECONNREFUSED", undefined]);
      }
      const { outcome, errno, icmp } = await ask(dst, "tcp", { dstPort: 7001 });
      assert.deepEqual([outcome, errno], ["refused", six ? "EACCES" : "EHOSTUNREACH"]);
      assert.deepEqual(icmp, { type: six ? 1 : 3, code: six ? 1 : 13, from: parseAddr(dst) });
    });

    test("silence", async () => {
      for (const protocol of ["tcp", "udp"] as const) {
        const { outcome, local } = await ask(dst, protocol, { dstPort: 7002, timeoutMs: 50 });
        assert.deepEqual([outcome, local && formatAddr(local.addr)], ["silence", own]);
      }
    });

    test("UDP: answered, also with nothing; port unreachable", async () => {
      const { outcome, firstBytes } = await ask(dst, "udp", { dstPort: 5000, payload: Uint8Array.of(1, 2) });
      assert.deepEqual([outcome, firstBytes], ["answered", Uint8Array.of(1, 2)]);
      const empty = await ask(dst, "udp", { dstPort: 5000 });
      assert.deepEqual([empty.outcome, empty.firstBytes], ["answered", new Uint8Array(0)]);
      const refused = await ask(dst, "udp", { dstPort: 5001 });
      assert.deepEqual([refused.outcome, refused.errno], ["refused", "ECONNREFUSED"]);
      assert.deepEqual(refused.icmp, { type: six ? 1 : 3, code: six ? 4 : 3, from: parseAddr(dst) });
    });

    test("echo: answered with its data; a time that is up", async () => {
      const answered = await ask(dst, "icmp", { payload: Uint8Array.of(7, 8, 9), srcPort: 77 });
      assert.deepEqual([answered.outcome, answered.firstBytes], ["answered", Uint8Array.of(7, 8, 9)], JSON.stringify(answered));
      assert.deepEqual(answered.local, { addr: parseAddr(own), port: 77 });
    });

    test("the own kernel knows better: no route, an address that is not here, no neighbour", async () => {
      const nowhere = await ask(six ? "fd77::1" : "10.77.0.1", "tcp", { dstPort: 1 });
      assert.deepEqual([nowhere.outcome, nowhere.errno, nowhere.icmp], ["error", "ENETUNREACH", undefined]);
      const foreign = await ask(dst, "udp", { dstPort: 1, src: parseAddr(six ? "fd77::1" : "10.77.0.1") });
      assert.deepEqual([foreign.outcome, foreign.errno], ["error", "EADDRNOTAVAIL"]);
      const nobody = await ask(six ? "fd09::99" : "10.9.0.99", "udp", { dstPort: 1 });
      assert.deepEqual([nobody.outcome, nobody.errno], ["error", "EHOSTUNREACH"], JSON.stringify(nobody));
    });
  });
}

test("a rule of the own output forbids it", async () => {
  const nft = openNft(near);
  const table = { family: "inet", name: "own" } as const;
  nft.apply([
    { op: "add table", table },
    { op: "add chain", table, chain: "out", base: { type: "filter", hook: "output", priority: 0, policy: "accept" } },
    { op: "add rule", table, chain: "out", rule: { statements: [equals(meta("l4proto"), UDP), drop()] } },
  ]);
  const { outcome, errno } = await ask("10.9.0.2", "udp", { dstPort: 5000 });
  assert.deepEqual([outcome, errno], ["error", "EPERM"]);
  nft.apply([{ op: "delete table", table }]);
  nft.close();
});

test("families that do not go together are refused, and a probe may be called off", async () => {
  await assert.rejects(ask("10.9.0.2", "udp", { src: parseAddr("fd09::1") }), /src: of another family/);
  const dst = parseAddr("10.9.0.2");
  const off = await probe(
    near,
    { from: { kind: "outside" }, protocol: "tcp", dst, dstPort: 7002, timeoutMs: 60_000 },
    AbortSignal.timeout(10),
  );
  assert.equal(off.outcome, "silence");
});
