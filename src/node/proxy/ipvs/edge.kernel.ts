// What only this mode can get wrong, with real packets.
import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { silentLogger } from "#base";
import { formatAddrPort, parseAddr } from "#ip";
import { type IpvsSocket, listenFd, openIpvs, openNft, openRoute } from "#linux";
import { accept, type Change, meta, type Rule, type TableId } from "#nft";
import { type Stage, seen, stage } from "../cases/stage.ts";
import { connect, tcp } from "../fixture.ts";
import { FAMILIES } from "../fixture-cluster.ts";
import { createMetrics } from "../metrics.ts";
import { DATAPLANES } from "../modes.ts";
import { CIDRS } from "../testing.ts";
import { destinationId, serverId } from "./compile.ts";
import { LINK, MARK_BASE, MARK_MASK, TABLE } from "./names.ts";

/** By their text. */
function sorted<T>(list: readonly T[]): T[] {
  return [...list].sort((a, b) => (String(a) < String(b) ? -1 : 1));
}

const PROGRAM = "a program of the node";

const WATCH: TableId = { family: "inet", name: "watch" };

/** Counts packets that carry a mark of ours, where IPVS gets them and where they leave. */
function watchMarks(): Change[] {
  const isMarked: Rule = {
    statements: [
      { kind: "match", left: { kind: "bitwise", of: meta("mark"), mask: MARK_MASK }, op: "==", right: MARK_BASE },
      { kind: "counter", packets: 0, bytes: 0 },
      accept(),
    ],
  };
  return [
    { op: "add table", table: WATCH },
    ...(["input", "postrouting"] as const).flatMap((hook): Change[] => [
      { op: "add chain", table: WATCH, chain: hook, base: { type: "filter", hook, priority: 60, policy: "accept" } },
      { op: "add rule", table: WATCH, chain: hook, rule: isMarked },
    ]),
  ];
}

/** What the tests of one family stand on, there while they run. */
interface Edge {
  readonly at: Stage;
  readonly ipvs: () => IpvsSocket;
  /** One line per virtual service: `protocol address -> destination weight, …`. */
  readonly servers: () => string[];
  /** That of ClusterIP number `n` and TCP. */
  readonly serverAt: (n: number) => string | undefined;
}

function edgeOf(at: Stage): Edge {
  let program: Server | undefined;
  let socket: IpvsSocket | undefined;
  before(() => {
    // It listens on all addresses of the node.
    program = createServer((client) => client.on("data", () => client.write(PROGRAM)));
    program.listen({ fd: listenFd(at.fixture.node.ns, parseAddr(at.family.index === 0 ? "0.0.0.0" : "::"), 9090) });
    socket = openIpvs(at.fixture.node.ns);
  });
  after(() => {
    program?.close();
    socket?.close();
  });
  const ipvs = (): IpvsSocket => {
    assert.ok(socket !== undefined);
    return socket;
  };
  const servers = (): string[] => {
    const lines = ipvs()
      .services()
      .map((service) => {
        const destinations = ipvs()
          .destinations(service)
          .map((each) => `${destinationId(each)} ${each.weight}`);
        return `${serverId(service)} -> ${sorted(destinations).join(", ")}`;
      });
    return sorted(lines);
  };
  const serverAt = (n: number): string | undefined =>
    servers().find((line) => line.startsWith(`tcp ${formatAddrPort(parseAddr(at.family.vip(n)), 80)} `));
  return { at, ipvs, servers, serverAt };
}

for (const family of FAMILIES) {
  describe(`ipvs: its own edges over ${family.name}`, () => {
    const at = stage("ipvs", family, async (cluster) => {
      await cluster.set(1, family, [family.pods[1]], { type: "LoadBalancer", ips: [family.external(1)] });
    });
    const edge = edgeOf(at);
    addressTests(edge);
    lingerTests(edge);
    policyTests(edge);
    ownershipTests(edge);
  });
}

function addressTests({ at }: Edge): void {
  const { external, node, vip } = at.family;

  test("programs of the node are reached at its own addresses, not at those of Services", async () => {
    const { outside, podA: pod, node: host } = at.fixture;
    for (const from of [outside, pod, host]) assert.equal(await tcp(from, node, 9090), PROGRAM);
    for (const from of [pod, host]) assert.equal(await tcp(from, vip(1), 9090), "ECONNREFUSED");
    for (const from of [outside, pod, host]) assert.equal(await tcp(from, external(1), 9090), "ECONNREFUSED");
  });
}

function lingerTests({ at, serverAt }: Edge): void {
  const { family } = at;
  const { node, vip } = family;
  const [podA, podB] = family.pods;

  test("a connection keeps a backend that is gone, with weight 0, and it gets its weight back when it returns", async () => {
    await at.cluster.set(2, family, [podA, podB]);
    const both = serverAt(2);
    const one = await connect(at.fixture.podA, vip(2), 80);
    const two = await connect(at.fixture.podA, vip(2), 80);
    const ask = async (): Promise<string[]> => sorted([await one.ask(), await two.ask()].map((answer) => answer.slice(0, 5)));
    const answers = await ask();
    assert.deepEqual(answers, ["pod-a", "pod-b"]);
    await at.cluster.set(2, family, [podA]);
    assert.equal(serverAt(2), both?.replace(/1$/, "0"));
    assert.deepEqual(await seen(async () => (await tcp(at.fixture.outside, node, 30_002)).split(" ")[0] ?? ""), ["pod-a"]);
    await at.cluster.restart();
    await at.cluster.set(2, family, [podA, podB]);
    assert.equal(serverAt(2), both);
    assert.deepEqual(await ask(), answers);
    one.end();
    two.end();
  });

  test("a Service that is deleted: its connection goes on, new ones are not answered by the node", async () => {
    await at.cluster.set(3, family, [podB]);
    const connection = await connect(at.fixture.podA, vip(3), 80);
    assert.match(await connection.ask(), /^pod-b /);
    await at.cluster.drop(`s3-${family.name.toLowerCase()}`);
    assert.match(await connection.ask(), /^pod-b /);
    assert.match(serverAt(3) ?? "", / 0$/);
    connection.end();
  });
}

function policyTests({ at }: Edge): void {
  const { family } = at;
  const { node } = family;
  const [podA, podB] = family.pods;

  test("policy Local with affinity: the outside stays with one of this node's, at another port; the inside with one of all", async () => {
    const given = { externalTrafficPolicy: "Local", sessionAffinity: "ClientIP", type: "NodePort" } as const;
    await at.cluster.set(4, family, [podA, podB], given);
    const who = (from: "outside" | "podA" | "node") => async (): Promise<string> =>
      (await tcp(at.fixture[from], node, 30_004)).split(" ")[0] ?? "";
    for (const from of ["outside", "podA", "node"] as const) assert.equal((await seen(who(from))).length, 1, from);
    const dataplane = DATAPLANES.ipvs?.({ netns: at.fixture.node.ns, cidrs: CIDRS, metrics: createMetrics(), logger: silentLogger });
    const remembered = (await dataplane?.affinities()) ?? [];
    dataplane?.close();
    const [mine] = remembered.filter(({ frontend }) => frontend === `${node} 6 30004`);
    assert.equal(mine?.backend, (await who("outside")()) === "pod-a" ? destinationOf(podA) : destinationOf(podB));
    assert.ok((mine?.expiresMs ?? 0) > 10_000_000, `${mine?.expiresMs}`);
  });

  test("marks reach IPVS and no link", async () => {
    const nft = openNft(at.fixture.node.ns);
    nft.apply(watchMarks());
    await at.cluster.set(5, family, [podA, podB], { externalTrafficPolicy: "Local", type: "NodePort" });
    await tcp(at.fixture.podA, node, 30_005);
    await tcp(at.fixture.node, node, 30_005);
    const counted = (nft.list(WATCH)?.chains ?? []).map(({ name, rules }) => {
      const counter = rules.flatMap(({ statements }) => statements).find((statement) => statement.kind === "counter");
      return [name, counter?.kind === "counter" && counter.packets > 0];
    });
    nft.apply([{ op: "delete table", table: WATCH }]);
    nft.close();
    assert.deepEqual(sorted(counted), [
      ["input", true],
      ["postrouting", false],
    ]);
  });
}

function ownershipTests({ at, ipvs, servers }: Edge): void {
  test("a restart changes nothing in the kernel", async () => {
    const nft = openNft(at.fixture.node.ns);
    const [generation, before] = [nft.generation(), servers()];
    await at.cluster.restart();
    await at.cluster.proxy.resync();
    assert.equal(nft.generation(), generation);
    assert.deepEqual(servers(), before);
    nft.close();
  });

  test("services of others stay; ours go with all that is ours", async () => {
    ipvs().apply([{ op: "add service", service: { family: 4, fwmark: 7, scheduler: "rr" } }]);
    await at.cluster.remove();
    assert.deepEqual(servers(), ["fwmark 7 (IPv4) -> "]);
    ipvs().flush();
    const { ns } = at.fixture.node;
    const route = openRoute(ns);
    const nft = openNft(ns);
    assert.equal(route.links.get(LINK), undefined);
    assert.deepEqual(route.routes.list({ table: 255, protocol: 202 }), []);
    assert.ok(!nft.tables().some(({ name }) => name === TABLE.name));
    nft.close();
    route.close();
  });
}

/** `10.244.1.2@node-1` at the pods' port. */
function destinationOf(pod: string): string {
  return destinationId({ addr: parseAddr(pod.split("@")[0] ?? ""), port: 8080 });
}
