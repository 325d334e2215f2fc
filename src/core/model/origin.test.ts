// Where a packet is said to come from: links in the postrouting hook, and rules of routing about what is made here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Mac, parseAddr, parsePrefix } from "#ip";
import { drop, equals, meta, type Statement, type Table } from "#nft";
import { type Namespace, prepareNetwork, type Question, roundTrip, TCP } from "./index.ts";
import { addr, clientRouterServer, FORWARDING, namespace, route, veth } from "./testing/world.ts";

const WEB = { protocol: TCP, port: 80 };

function droppingWhere(condition: Statement): Table {
  const base = { type: "filter", hook: "postrouting", priority: 99, policy: "accept" } as const;
  return { family: "inet", name: "t", sets: [], chains: [{ name: "base", base, rules: [{ statements: [condition, drop()] }] }] };
}

function endOf(namespaces: readonly Namespace[], question: Question): string {
  const { outcome } = roundTrip(prepareNetwork({ namespaces }), question, Math.random);
  return outcome.kind === "silence" ? `${outcome.direction} ends in ${outcome.at}: ${outcome.why}` : outcome.kind;
}

const madeHere = equals(meta("iif"), 0);

test("in postrouting, what is passed on has the link that it came in by, what is made here has none", () => {
  const server = { listeners: [WEB] };
  const world = (condition: Statement): Namespace[] => clientRouterServer({ server, router: { tables: [droppingWhere(condition)] } });
  const fromClient: Question = { from: "client", protocol: TCP, dst: parseAddr("10.0.2.2"), dstPort: 80 };
  const fromRouter: Question = { ...fromClient, from: "router" };
  assert.equal(endOf(world(madeHere), fromClient), "answered");
  assert.equal(endOf(world(madeHere), fromRouter), "request ends in router: rule");
  assert.equal(endOf(world(equals(meta("iifname"), "client")), fromClient), "request ends in router: rule");
  assert.equal(endOf(world(equals(meta("iifname"), "server")), fromClient), "reply ends in router: rule");
  assert.equal(endOf(world(equals(meta("iifname"), "client")), fromRouter), "answered");
});

const MACS: readonly Mac[] = [1, 2].map((n) => Uint8Array.of(2, 0, 0, 0, 0, n));

/** Two ends of a tunnel, 10.9.0.n, over 10.0.0.n. */
function tunnel(table: Table): Namespace[] {
  return [1, 2].map((n) => {
    const [own, other] = [MACS[n - 1], MACS[2 - n]];
    assert.ok(own !== undefined && other !== undefined);
    const [local, remote] = [parseAddr(`10.0.0.${n}`), parseAddr(`10.0.0.${3 - n}`)];
    const type = { kind: "vxlan", vni: 1, port: 8472, local, learning: false } as const;
    return namespace(`end-${n}`, {
      links: [veth("eth0", `end-${3 - n}`, "eth0"), { name: "vx", type, mac: own, mtu: 1450, up: true }],
      addrs: [addr(`10.0.0.${n}/24 dev eth0`), addr(`10.9.0.${n}/24 dev vx`)],
      neighs: [{ link: "vx", addr: parseAddr(`10.9.0.${3 - n}`), mac: other, state: "permanent" }],
      fdb: [{ link: "vx", mac: other, dst: remote }],
      listeners: [WEB],
      ...(n === 1 && { tables: [table] }),
    });
  });
}

test("in postrouting, what a tunnel makes has the tunnel as its incoming link", () => {
  const question: Question = { from: "end-1", protocol: TCP, dst: parseAddr("10.9.0.2"), dstPort: 80 };
  assert.equal(endOf(tunnel(droppingWhere(equals(meta("iifname"), "vx"))), question), "request ends in end-1: rule");
  assert.equal(endOf(tunnel(droppingWhere(equals(meta("iifname"), "eth0"))), question), "answered");
});

test("a rule about what comes in by loopback is about what is made here, and about nothing else", () => {
  const rules = [
    { family: 4, priority: 0, table: 255 },
    { family: 4, priority: 1000, table: 100, iif: "lo" },
    { family: 4, priority: 32_766, table: 254 },
  ] as const;
  const far = namespace("far", {
    links: [veth("eth0", "middle", "far")],
    addrs: [addr("10.2.0.2/24 dev eth0")],
    routes: [route("default via 10.2.0.1 dev eth0")],
    listeners: [WEB],
  });
  const middle = namespace("middle", {
    links: [veth("far", "far", "eth0"), veth("near", "near", "eth0")],
    addrs: [addr("10.2.0.1/32 dev far"), addr("10.1.0.1/24 dev near")],
    routes: [{ dst: parsePrefix("10.2.0.0/24"), nextHops: [{ link: "far" }], table: 100 }],
    rules,
    sysctls: FORWARDING,
  });
  const near = namespace("near", {
    links: [veth("eth0", "middle", "near")],
    addrs: [addr("10.1.0.2/24 dev eth0")],
    routes: [route("default via 10.1.0.1 dev eth0")],
  });
  const ask = (from: string): string => endOf([far, middle, near], { from, protocol: TCP, dst: parseAddr("10.2.0.2"), dstPort: 80 });
  assert.equal(ask("middle"), "answered");
  assert.notEqual(ask("near"), "answered");
});
