// Packets that are not the usual ones: clashes, fragments, ICMP errors, segments out of window. In any mode.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { describe, test } from "node:test";
import { formatAddr, parseAddr } from "#ip";
import { connectSocket, listenFd, udpFd } from "#linux";
import type { ProxyMode } from "../dataplane.ts";
import { connect, type Host, tcp, udp, unlessSilent } from "../fixture.ts";
import { FAMILIES } from "../fixture-cluster.ts";
import { service, slice } from "../testing.ts";
import { type Stage, stage } from "./stage.ts";

export function packetCases(mode: ProxyMode): void {
  for (const family of FAMILIES) {
    describe(`${mode}: unusual packets over ${family.name}`, () => {
      const at = stage(mode, family, async (cluster) => {
        await cluster.set(1, family, [family.pods[1]]);
        await cluster.set(2, family, [family.pods[1]]);
      });
      addressCases(at);
      sizeCases(at);
      windowCases(at);
    });
  }
}

/** A UDP socket that says who answers it, with what. */
class Asker {
  readonly #socket: UdpSocket;

  constructor(from: Host, family: 4 | 6) {
    this.#socket = createSocket(family === 4 ? "udp4" : "udp6");
    this.#socket.bind({ fd: udpFd(from.ns, parseAddr(family === 4 ? "0.0.0.0" : "::"), 0) });
  }

  async ask(to: string, port: number, bytes = 1): Promise<string> {
    this.#socket.send(Buffer.alloc(bytes, "?"), port, to);
    const [message, from] = await once(this.#socket, "message");
    return `${formatAddr(parseAddr(from.address))}: ${String(message).split(" ")[0]}`;
  }

  close(): void {
    this.#socket.close();
  }
}

function addressCases(at: Stage): void {
  const { vip, index } = at.family;
  const version = index === 0 ? 4 : 6;

  test("a ClusterIP that is nobody's: silence, for pods and the node", async () => {
    for (const from of [at.fixture.podA, at.fixture.node]) {
      for (const ask of [tcp, udp]) assert.equal(await unlessSilent(ask(from, vip(200), 80)), "silence");
    }
  });

  const collide = at.mode === "ipvs" && "IPVS does not choose another source port";
  test("two ClusterIPs that lead to one backend, asked from one port: each answers", { skip: collide }, async () => {
    for (const from of [at.fixture.podA, at.fixture.node]) {
      const asker = new Asker(from, version);
      for (let i = 0; i < 3; i++) {
        for (const n of [1, 2]) assert.equal(await asker.ask(vip(n), 80), `${vip(n)}: pod-b`);
      }
      asker.close();
    }
  });
}

function sizeCases(at: Stage): void {
  const { family } = at;
  const { vip, node } = family;

  test("a datagram in fragments, of which only the first has ports", async () => {
    const ways: (readonly [from: Host, to: string, port: number])[] = [
      [at.fixture.podA, vip(1), 80],
      [at.fixture.outside, node, 30_001],
    ];
    // ipvs/README.md
    if (at.mode !== "ipvs" || family.index === 0) ways.push([at.fixture.node, vip(1), 80]);
    for (const [from, to, port] of ways) {
      const asker = new Asker(from, family.index === 0 ? 4 : 6);
      assert.equal(await asker.ask(to, port, 8000), `${to}: pod-b`);
      asker.close();
    }
  });

  test("a narrower link behind the translation: its ICMP errors find the client", async () => {
    const { node: router, podB, podA, outside } = at.fixture;
    const server = await countingServer(podB, family.index);
    const ports = [{ name: "count", port: 90, targetPort: 9090, nodePort: 30_090 }];
    await at.cluster.put(service("count", [vip(90)], ports), {
      ...slice("count", [family.pods[1]], ports),
      addressType: family.name,
    });
    router.route.links.change("veth-b", { mtu: 1300 });
    try {
      for (const [from, to, port] of [
        [podA, vip(90), 90],
        [outside, node, 30_090],
      ] as const) {
        assert.equal(await upload(from, to, port), UPLOAD);
      }
    } finally {
      router.route.links.change("veth-b", { mtu: 1500 });
      server.close();
    }
  });
}

const UPLOAD = 300_000;

async function upload(from: Host, to: string, port: number): Promise<number> {
  const socket = connectSocket(from.ns, { addr: parseAddr(to), port }, { allowHalfOpen: true });
  from.clients.add(socket);
  socket.end(Buffer.alloc(UPLOAD));
  const [answer] = await once(socket, "data");
  socket.destroy();
  return Number(String(answer));
}

/** Says how many bytes a client has sent when that has said all. */
async function countingServer(at: Host, index: 0 | 1): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    socket.on("end", () => socket.end(String(bytes)));
  });
  server.listen({ fd: listenFd(at.ns, at.addrs[index], 9090) });
  await once(server, "listening");
  return server;
}

/** Makes what the backend sends be far out of the window: the conntrack of a busy or asymmetric network sees such segments. */
const OUT_OF_WINDOW = `table inet odd {
  chain output {
    type filter hook output priority 0
    tcp sport 8080 tcp flags & psh == psh counter tcp sequence set 1
  }
}
`;

/** Far more than a segment takes that is sent again. */
const LOST_MS = 10_000;

function windowCases(at: Stage): void {
  const { vip } = at.family;
  const hasNft = spawnSync("nft", ["--version"]).error === undefined;
  const skip = hasNft ? false : "the program nft, which spoils the segments, is not on this machine";

  test("a segment out of window does not reset the connection", { skip }, async () => {
    const { podA, podB, node } = at.fixture;
    const nft = (...args: readonly string[]): string => podB.ns.run(() => spawnSync("nft", args, { encoding: "utf8" }).stdout);
    const broken = async (): Promise<string> => {
      const connection = await connect(podA, vip(1), 80);
      assert.match(await connection.ask(), /^pod-b /);
      assert.equal(podB.ns.run(() => spawnSync("nft", ["-f", "-"], { input: OUT_OF_WINDOW, encoding: "utf8" })).stderr, "");
      const answer = connection.ask().catch((err: NodeJS.ErrnoException) => err.code ?? "");
      while (!/packets [1-9]/.test(nft("list", "table", "inet", "odd"))) await new Promise((resolve) => setImmediate(resolve));
      nft("delete", "table", "inet", "odd");
      // In the end nobody may know of the connection any more but the client.
      const result = await Promise.race([
        answer,
        new Promise<string>((resolve) => setTimeout(() => resolve("no answer"), LOST_MS).unref()),
      ]);
      connection.end();
      return result;
    };
    // Half of all connections have sequence numbers to which this one is too high, and not an old one.
    for (let i = 0; i < 8; i++) assert.match(await broken(), /^pod-b /);
    // IPVS knows its connections itself, and translates also what conntrack calls INVALID.
    if (at.mode === "ipvs") return;
    // The test can fail: this is what happens otherwise.
    node.ns.setSysctl("net.netfilter.nf_conntrack_tcp_be_liberal", 0);
    const answers: string[] = [];
    const isBroken = (): boolean => answers.some((answer) => !answer.startsWith("pod-b "));
    for (let i = 0; i < 24 && !isBroken(); i++) answers.push(await broken());
    assert.ok(isBroken(), "segments out of window did no harm");
    node.ns.setSysctl("net.netfilter.nf_conntrack_tcp_be_liberal", 1);
  });
}
