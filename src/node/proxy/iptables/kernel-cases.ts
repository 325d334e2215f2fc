// What only a real iptables can say: that it prints what was written, keeps what is not ours, and forgets whom it should.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { silentLogger } from "#base";
import { formatAddr, formatAddrPort, parseAddr, parsePrefix } from "#ip";
import { SCTP, TCP, UDP } from "#nft";
import { frontendKey } from "../compile.ts";
import { Fixture, tcp } from "../fixture.ts";
import { createMetrics } from "../metrics.ts";
import { CIDRS } from "../testing.ts";
import type { Backend, Frontend } from "../types.ts";
import { IptablesDataplane } from "./dataplane.ts";
import { TABLES } from "./rules.ts";
import { type Iptables, openIptables } from "./tool.ts";

const VIPS: readonly [string, string] = ["10.96.0.1", "fd00:10:96::1"];
const FAMILIES = [4, 6] as const;

function backendsOf(fixture: Fixture, family: 4 | 6): Backend[] {
  return [fixture.podA, fixture.podB].map(({ addrs }) => {
    const addr = addrs[family === 4 ? 0 : 1];
    return { addr, port: 8080, id: formatAddrPort(addr, 8080), local: true };
  });
}

function frontend(vip: string, given: Partial<Frontend>): Frontend {
  const addr = parseAddr(vip);
  const { port = 80, protocol = TCP } = given;
  return {
    kind: "ClusterIP",
    service: `default/web:${port}`,
    backends: [],
    draining: [],
    whenEmpty: "reject",
    ...given,
    family: addr.family,
    addr,
    protocol,
    port,
    since: "",
    key: frontendKey(addr, protocol, port),
  };
}

/** One of each thing that a rule can say, in both families. */
function everything(fixture: Fixture): Frontend[] {
  return FAMILIES.flatMap((family) => {
    const vip = VIPS[family === 4 ? 0 : 1];
    const external = family === 4 ? "192.0.2.1" : "2001:db8:5::1";
    const node = formatAddr(fixture.node.addrs[family === 4 ? 0 : 1]);
    const backends = backendsOf(fixture, family);
    const many = Array.from(
      { length: 7 },
      (_, i): Backend => ({ ...(backends[1] ?? assert.fail()), port: 9000 + i, id: `many-${i}`, local: false }),
    );
    const sources = [parsePrefix(family === 4 ? "198.51.100.0/24" : "2001:db8:6::/48")];
    return [
      ...[TCP, UDP, SCTP].map((protocol) => frontend(vip, { protocol, backends, service: `default/web:${protocol}` })),
      frontend(vip, { port: 81, backends: many }),
      frontend(vip, { port: 82, backends, affinitySeconds: 10_800 }),
      frontend(vip, { port: 83, whenEmpty: "drop" }),
      frontend(external, { kind: "LoadBalancer", port: 84, backends: backends.slice(0, 1), inside: backends, sources }),
      frontend(external, { kind: "ExternalIP", port: 85, backends }),
      frontend(node, { kind: "NodePort", port: 30_080, backends, affinitySeconds: 60 }),
      frontend(node, { kind: "NodePort", port: 30_081 }),
    ];
  });
}

const FOREIGN = `*filter
:FOREIGN - [0:0]
-A FORWARD -m comment --comment "not FL-SERVICES" -j FOREIGN
-A FOREIGN -p tcp -m tcp --dport 1 -j DROP
COMMIT
*nat
:FOREIGN - [0:0]
-A PREROUTING -j FOREIGN
-A FOREIGN -p tcp -m tcp --dport 1 -j RETURN
COMMIT
`;

interface Place {
  /** There while tests run, and so is the next one. */
  readonly fixture: Fixture;
  readonly iptables: Iptables;
  /** A dataplane that has just been started. */
  open(): IptablesDataplane;
}

/** All rules of all tables, without counters, time and version. */
async function rules({ iptables }: Place): Promise<string[]> {
  const texts: string[] = [];
  for (const family of FAMILIES) for (const table of TABLES) texts.push(`IPv${family} ${table}\n${await iptables.save(family, table)}`);
  return texts.flatMap((text) => text.split("\n")).filter((line) => /^(IPv|-A|:\S+ - )/.test(line));
}

export function kernelCases(): void {
  describe("iptables of this machine", () => {
    let fixture: Fixture | undefined;
    const running = (): Fixture => fixture ?? assert.fail("the fixture is there only while a test runs");
    const at: Place = {
      get fixture() {
        return running();
      },
      get iptables() {
        return openIptables(running().node.ns);
      },
      open: () =>
        new IptablesDataplane({
          iptables: at.iptables,
          netns: running().node.ns,
          cidrs: CIDRS,
          metrics: createMetrics(),
          logger: silentLogger,
        }),
    };
    before(() => {
      fixture = new Fixture();
      for (const host of [fixture.podA, fixture.podB]) fixture.serve(host, 8080);
    });
    after(() => fixture?.close());
    tableCases(at);
    for (const family of FAMILIES) clientCases(at, family);
  });
}

function tableCases(at: Place): void {
  test("it prints rules as they were written: a restart finds nothing to do", async () => {
    const all = everything(at.fixture);
    assert.equal((await at.open().replace(all)).adopted, false);
    const dataplane = at.open();
    assert.deepEqual(await dataplane.replace(all), { changes: 0, adopted: true });
    const [first, ...others] = all;
    assert.ok(first);
    await dataplane.update(others.map((old) => ({ key: old.key, old, next: undefined })));
    assert.deepEqual(await at.open().replace([first]), { changes: 0, adopted: true });
    await dataplane.remove();
  });

  test("it goes with everything of ours and leaves what is not", async () => {
    for (const family of FAMILIES) await at.iptables.restore(family, FOREIGN);
    const before = await rules(at);
    const dataplane = at.open();
    await dataplane.replace(everything(at.fixture));
    const between = await rules(at);
    for (const line of before.filter((text) => text.includes("FOREIGN"))) assert.ok(between.includes(line), line);
    assert.equal((await dataplane.remove()).length, 4);
    assert.deepEqual(await rules(at), before);
    assert.deepEqual(await dataplane.remove(), []);
  });

  test("a rule that it refuses is named, and everything stays as it was", async () => {
    const before = await rules(at);
    const text = "*nat\n:FL-A - [0:0]\n-A FL-A -m nosuchmatch -j RETURN\nCOMMIT\n";
    await assert.rejects(at.iptables.restore(4, text), /line 3, "-A FL-A -m nosuchmatch -j RETURN"/);
    assert.deepEqual(await rules(at), before);
  });
}

function clientCases(at: Place, family: 4 | 6): void {
  const index = family === 4 ? 0 : 1;
  const vip = VIPS[index];

  test(`IPv${family}: who is remembered stays so when others come, and is forgotten with the backend`, async () => {
    const { podB } = at.fixture;
    const [a, b] = backendsOf(at.fixture, family);
    assert.ok(a && b);
    const sticky = (backends: readonly Backend[]): Frontend => frontend(vip, { backends, affinitySeconds: 3600 });
    const dataplane = at.open();
    let now = sticky([a]);
    const change = async (backends: readonly Backend[]): Promise<void> => {
      const old = now;
      now = sticky(backends);
      await dataplane.update([{ key: now.key, old, next: now }]);
    };
    await dataplane.replace([now]);
    assert.match(await tcp(podB, vip, 80), /^pod-a /);
    const known = (await dataplane.affinities()).map(({ client, frontend: key, backend }) => [formatAddr(client), key, backend]);
    assert.deepEqual(known, [[formatAddr(podB.addrs[index]), now.key, a.id]]);
    await change([a, b]);
    for (let i = 0; i < 12; i++) assert.match(await tcp(podB, vip, 80), /^pod-a /);
    await change([b]);
    assert.deepEqual(await dataplane.affinities(), []);
    assert.match(await tcp(podB, vip, 80), /^pod-b /);
    await change([]);
    assert.equal(await tcp(podB, vip, 80), "ECONNREFUSED");
    await dataplane.remove();
  });

  test(`IPv${family}: clients notice nothing of changes, restarts and repairs`, async () => {
    const web = frontend(vip, { backends: backendsOf(at.fixture, family) });
    const others = everything(at.fixture).filter(({ key }) => key !== web.key);
    await at.open().replace([web]);
    const work = { done: false, answers: 0 };
    const client = (async (): Promise<void> => {
      while (!work.done) {
        assert.match(await tcp(at.fixture.podB, vip, 80), /^pod-[ab] /);
        work.answers++;
      }
    })();
    for (let i = 0; i < 6; i++) await at.open().replace(i % 2 === 0 ? [web, ...others] : [web]);
    work.done = true;
    await client;
    assert.ok(work.answers > 0);
    await at.open().remove();
  });
}
