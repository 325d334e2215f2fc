// Faults in a world of three namespaces: what is predicted, and the cause with the fact that shows it.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseAddr } from "#ip";
import type { Namespace } from "#model";
import type { Table } from "#nft";
import { FORWARDING, route, veth } from "../../core/model/testing/world.ts";
import { predict } from "./predict.ts";
import { addr, askServer, reportOf, sceneOf } from "./testing/fixture.ts";
import { withFullTables } from "./trace.ts";
import type { CauseCode, Scene } from "./types.ts";

function table(name: string, verdict: "drop" | "accept", comment?: string): Table {
  const rule = { statements: [{ kind: "verdict", verdict: { kind: verdict } }], ...(comment !== undefined && { comment }) } as const;
  const base = { type: "filter", hook: "forward", priority: 0, policy: "accept" } as const;
  return { family: "inet", name, sets: [], chains: [{ name: "c", base, rules: [rule] }] };
}

const routerLinks = (parts: { mtu?: number; up?: boolean }): Partial<Namespace> => ({
  links: [veth("client", "client", "eth0"), veth("server", "server", "eth0", parts)],
});
const rpFilter: Partial<Namespace> = {
  sysctls: { ...FORWARDING, "net/ipv4/conf/client/rp_filter": 1 },
  routes: [route("10.0.1.2/32 dev server")],
};
const tracked: Table = {
  family: "inet",
  name: "theirs",
  sets: [],
  chains: [
    {
      name: "c",
      base: { type: "filter", hook: "forward", priority: 0, policy: "accept" },
      rules: [{ statements: [{ kind: "match", left: { kind: "ct", key: "state" }, op: "==", right: 8 }] }],
    },
  ],
};

type Parts = Parameters<typeof sceneOf>[0];

const FAULTS: readonly (readonly [name: string, Parts, CauseCode, RegExp, Partial<Scene>?])[] = [
  ["nobody listens", { server: { listeners: [] } }, "port closed", /nobody listens at 80\/tcp in server/],
  [
    "at localhost only",
    { server: { listeners: [{ protocol: 6, port: 80, addr: parseAddr("127.0.0.1") }] } },
    "localhost only",
    /127\.0\.0\.1:80\/tcp only/,
  ],
  ["another protocol", { server: { listeners: [{ protocol: 17, port: 80 }] } }, "other protocol", /listens at \*:80\/udp/],
  [
    "at another address",
    { server: { listeners: [{ protocol: 6, port: 80, addr: parseAddr("10.0.2.9") }] } },
    "port closed",
    /listens at 10\.0\.2\.9:80/,
  ],
  ["no route", { client: { routes: [] } }, "no route", /client has no route to 10\.0\.2\.2/],
  ["a route that says no", { router: { routes: [route("unreachable 10.0.2.2/32")] } }, "no route", /route unreachable 10\.0\.2\.2\/32/],
  ["no neighbour", { server: { addrs: [addr("10.0.2.3/24 dev eth0")] } }, "no neighbour", /link server of router/],
  ["link down", { router: routerLinks({ up: false }) }, "link down", /link server is down/],
  ["not forwarding", { router: { sysctls: {} } }, "not forwarding", /router does not forward IPv4/],
  ["rp_filter", { router: rpFilter }, "rp_filter", /rp_filter is 1/],
  ["foreign rule", { router: { tables: [table("theirs", "drop", "no")] } }, "foreign rule", /table inet theirs, chain c, on router/],
  ["a table of ours", { router: { tables: [table("fairlead-other", "drop")] } }, "fairlead rule", /inet fairlead-other/],
  ["MTU that nobody tells of", { server: { links: [veth("eth0", "router", "server", { mtu: 1300 })] } }, "mtu", /MTU 1300/],
];

suite("faults", () => {
  for (const [name, parts, code, says, more = {}] of FAULTS) {
    test(name, () => {
      const { cause } = predict(sceneOf(parts, more));
      assert.equal(cause?.code, code, cause?.sentence);
      assert.match([cause?.sentence, ...(cause?.facts ?? [])].join("\n"), says);
    });
  }

  test("a full table of connections", () => {
    const scene = sceneOf({ router: { tables: [tracked] } });
    const reports = [reportOf(scene.state.namespaces, { count: 5000, max: 5000 })];
    const { state, memory } = withFullTables(scene.state, reports);
    const { cause } = predict({ ...scene, state, reports }, memory);
    assert.deepEqual(
      [cause?.code, cause?.facts],
      ["conntrack full", ["5000 connections, of at most 5000 (net/netfilter/nf_conntrack_max)"]],
    );
  });

  test("the answer's way", () => {
    const { cause, verdict } = predict(sceneOf({ server: { routes: [] } }));
    assert.equal(verdict, "silence");
    assert.match(cause?.sentence ?? "", /^the answer is lost: server has no route to 10\.0\.1\.2/);
  });
});

suite("without faults", () => {
  test("it is answered", () => {
    const { verdict, ways, cause, large } = predict(sceneOf({}));
    assert.deepEqual([verdict, ways.length, cause, large], ["allowed", 1, undefined, undefined]);
  });

  test("a narrower link whose router says so is no fault", () => {
    const { verdict, large } = predict(sceneOf({ router: routerLinks({ mtu: 1300 }) }));
    assert.deepEqual([verdict, large], ["allowed", undefined]);
  });

  test("echo, datagrams, IPv6", () => {
    assert.equal(predict(sceneOf({}, { ask: askServer({ protocol: "icmp" }) })).verdict, "allowed");
    assert.equal(predict(sceneOf({}, { ask: askServer({ dst: parseAddr("fd00:2::2") }) })).verdict, "allowed");
    assert.equal(predict(sceneOf({}, { ask: askServer({ protocol: "udp" }) })).cause?.code, "other protocol");
  });
});
